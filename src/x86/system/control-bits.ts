/** Bits of the control registers. @spec SDM-3A §2.5 */
export const CR0 = {
  PE: 0x1,
  MP: 0x2,
  EM: 0x4,
  TS: 0x8,
  ET: 0x10,
  NE: 0x20,
  WP: 0x1_0000,
  AM: 0x4_0000,
  NW: 0x2000_0000,
  CD: 0x4000_0000,
  PG: 0x8000_0000 | 0,
} as const;

export const CR4 = {
  VME: 0x1,
  PVI: 0x2,
  TSD: 0x4,
  DE: 0x8,
  PSE: 0x10,
  PAE: 0x20,
  MCE: 0x40,
  PGE: 0x80,
  PCE: 0x100,
  OSFXSR: 0x200,
  OSXMMEXCPT: 0x400,
  UMIP: 0x800,
  FSGSBASE: 0x1_0000,
  PCIDE: 0x2_0000,
  OSXSAVE: 0x4_0000,
  SMEP: 0x10_0000,
  SMAP: 0x20_0000,
} as const;

/** @spec SDM-4 table 2-2 IA32_EFER */
export const EFER = { SCE: 0x1, LME: 0x100, LMA: 0x400, NXE: 0x800 } as const;

/** Bits of S.shadow in layout.ts. */
export const SHADOW = { interrupts: 1, nmi: 2, halted: 4, waitForSipi: 8, debug: 16 } as const;
