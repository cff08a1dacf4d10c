import { S } from './layout.ts';

/** Architectural and model-specific register numbers. @spec SDM-4 §2.1, LINUX-KVM "KVM-specific MSRs" */
export const MSR = {
  IA32_TSC: 0x10,
  KVM_WALL_CLOCK: 0x11,
  KVM_SYSTEM_TIME: 0x12,
  IA32_PLATFORM_ID: 0x17,
  IA32_APIC_BASE: 0x1b,
  IA32_FEATURE_CONTROL: 0x3a,
  IA32_TSC_ADJUST: 0x3b,
  IA32_BIOS_UPDT_TRIG: 0x79,
  IA32_BIOS_SIGN_ID: 0x8b,
  MSR_PLATFORM_INFO: 0xce,
  IA32_MTRRCAP: 0xfe,
  IA32_ARCH_CAPABILITIES: 0x10a,
  MSR_MISC_FEATURES_ENABLES: 0x140,
  IA32_SYSENTER_CS: 0x174,
  IA32_SYSENTER_ESP: 0x175,
  IA32_SYSENTER_EIP: 0x176,
  IA32_PERF_STATUS: 0x198,
  IA32_MISC_ENABLE: 0x1a0,
  IA32_DEBUGCTL: 0x1d9,
  IA32_MTRR_PHYSBASE0: 0x200,
  IA32_MTRR_FIX64K_00000: 0x250,
  IA32_MTRR_FIX16K_80000: 0x258,
  IA32_MTRR_FIX16K_A0000: 0x259,
  IA32_MTRR_FIX4K_C0000: 0x268,
  IA32_PAT: 0x277,
  IA32_MTRR_DEF_TYPE: 0x2ff,
  IA32_TSC_DEADLINE: 0x6e0,
  IA32_X2APIC_FIRST: 0x800,
  IA32_X2APIC_LAST: 0x8ff,
  IA32_XSS: 0xda0,
  KVM_WALL_CLOCK_NEW: 0x4b56_4d00,
  KVM_SYSTEM_TIME_NEW: 0x4b56_4d01,
  IA32_EFER: 0xc000_0080,
  IA32_STAR: 0xc000_0081,
  IA32_LSTAR: 0xc000_0082,
  IA32_CSTAR: 0xc000_0083,
  IA32_FMASK: 0xc000_0084,
  IA32_FS_BASE: 0xc000_0100,
  IA32_GS_BASE: 0xc000_0101,
  IA32_KERNEL_GS_BASE: 0xc000_0102,
  IA32_TSC_AUX: 0xc000_0103,
} as const;

const SLOTS = [
  'STAR',
  'LSTAR',
  'CSTAR',
  'SFMASK',
  'KERNEL_GS_BASE',
  'TSC_AUX',
  'TSC_ADJUST',
  'TSC_OFFSET',
  'SYSENTER_CS',
  'SYSENTER_ESP',
  'SYSENTER_EIP',
  'PAT',
  'MISC_ENABLE',
  'DEBUGCTL',
  'MTRR_DEF_TYPE',
  'KVM_SYSTEM_TIME',
  'KVM_WALL_CLOCK',
  'FEATURE_CONTROL',
  'MISC_FEATURES_ENABLES',
  'AMD_HWCR',
  'AMD_DE_CFG',
  'AMD_LS_CFG',
] as const;

/** Offsets in the CPU state of the MSRs that are stored. Each is an i64. TSC_OFFSET is guest TSC minus the machine's. */
export const MSR_SLOT = Object.fromEntries(SLOTS.map((name, i) => [name, S.msr + i * 8])) as Record<
  (typeof SLOTS)[number],
  number
>;
/** Eight pairs of base and mask. */
export const MTRR_PHYS_SLOT = S.msr + 32 * 8;
export const MTRR_VARIABLE_COUNT = 8;
/** 64K, two 16K, eight 4K. */
export const MTRR_FIXED_SLOT = MTRR_PHYS_SLOT + MTRR_VARIABLE_COUNT * 16;

/** An MSR that is storage with rules. */
export interface StoredMsr {
  readonly slot: number;
  /** Bits that may be set; a write with others raises #GP. */
  readonly mask: bigint;
  /** Holds a linear address: a non-canonical one raises #GP. */
  readonly canonical?: true;
  /** Reserved bytes are memory types. */
  readonly memoryTypes?: true;
  readonly vendor?: 'GenuineIntel' | 'AuthenticAMD';
}

const ALL = 0xffff_ffff_ffff_ffffn;

/** MSRs without side effects, by number. */
export const STORED_MSRS: ReadonlyMap<number, StoredMsr> = new Map<number, StoredMsr>([
  [MSR.IA32_STAR, { slot: MSR_SLOT.STAR, mask: ALL }],
  [MSR.IA32_LSTAR, { slot: MSR_SLOT.LSTAR, mask: ALL, canonical: true }],
  [MSR.IA32_CSTAR, { slot: MSR_SLOT.CSTAR, mask: ALL, canonical: true }],
  [MSR.IA32_FMASK, { slot: MSR_SLOT.SFMASK, mask: 0xffff_ffffn }],
  [MSR.IA32_FS_BASE, { slot: S.segBase + 4 * 8, mask: ALL, canonical: true }],
  [MSR.IA32_GS_BASE, { slot: S.segBase + 5 * 8, mask: ALL, canonical: true }],
  [MSR.IA32_KERNEL_GS_BASE, { slot: MSR_SLOT.KERNEL_GS_BASE, mask: ALL, canonical: true }],
  [MSR.IA32_TSC_AUX, { slot: MSR_SLOT.TSC_AUX, mask: 0xffff_ffffn }],
  [MSR.IA32_SYSENTER_CS, { slot: MSR_SLOT.SYSENTER_CS, mask: 0xffff_ffffn }],
  [MSR.IA32_SYSENTER_ESP, { slot: MSR_SLOT.SYSENTER_ESP, mask: ALL, canonical: true }],
  [MSR.IA32_SYSENTER_EIP, { slot: MSR_SLOT.SYSENTER_EIP, mask: ALL, canonical: true }],
  [MSR.IA32_PAT, { slot: MSR_SLOT.PAT, mask: 0x0707_0707_0707_0707n, memoryTypes: true }],
  [MSR.IA32_MISC_ENABLE, { slot: MSR_SLOT.MISC_ENABLE, mask: ALL }],
  [MSR.IA32_DEBUGCTL, { slot: MSR_SLOT.DEBUGCTL, mask: 0x3n }],
  [MSR.IA32_MTRR_DEF_TYPE, { slot: MSR_SLOT.MTRR_DEF_TYPE, mask: 0xcffn }],
  [MSR.IA32_FEATURE_CONTROL, { slot: MSR_SLOT.FEATURE_CONTROL, mask: 0x1n, vendor: 'GenuineIntel' }],
  [MSR.MSR_MISC_FEATURES_ENABLES, { slot: MSR_SLOT.MISC_FEATURES_ENABLES, mask: 0n, vendor: 'GenuineIntel' }],
  [0xc001_0015, { slot: MSR_SLOT.AMD_HWCR, mask: ALL, vendor: 'AuthenticAMD' }],
  [0xc001_1029, { slot: MSR_SLOT.AMD_DE_CFG, mask: ALL, vendor: 'AuthenticAMD' }],
  [0xc001_1020, { slot: MSR_SLOT.AMD_LS_CFG, mask: ALL, vendor: 'AuthenticAMD' }],
  ...mtrrs(),
]);

/** MSRs that read as a number; a write raises #GP unless it is listed as ignored. */
export const CONSTANT_MSRS: ReadonlyMap<number, { readonly value: bigint; readonly ignoreWrites?: true }> = new Map([
  [MSR.IA32_PLATFORM_ID, { value: 0n }],
  [MSR.IA32_BIOS_UPDT_TRIG, { value: 0n, ignoreWrites: true }],
  // Software writes zero and runs CPUID before it reads the microcode revision.
  [MSR.IA32_BIOS_SIGN_ID, { value: 0xd000_3d1n << 32n, ignoreWrites: true }],
  // Eight variable ranges, fixed ranges, write-combining.
  [MSR.IA32_MTRRCAP, { value: 0x508n }],
  [MSR.MSR_PLATFORM_INFO, { value: 0n }],
  [MSR.IA32_PERF_STATUS, { value: 0n }],
]);

function mtrrs(): [number, StoredMsr][] {
  const rows: [number, StoredMsr][] = [];
  for (let i = 0; i < MTRR_VARIABLE_COUNT * 2; i++) {
    const mask = i % 2 === 0 ? 0xff_ffff_f0ffn : 0xff_ffff_f800n;
    rows.push([MSR.IA32_MTRR_PHYSBASE0 + i, { slot: MTRR_PHYS_SLOT + i * 8, mask }]);
  }
  const fixed: number[] = [MSR.IA32_MTRR_FIX64K_00000, MSR.IA32_MTRR_FIX16K_80000, MSR.IA32_MTRR_FIX16K_A0000];
  for (let i = 0; i < 8; i++) fixed.push(MSR.IA32_MTRR_FIX4K_C0000 + i);
  fixed.forEach((index, i) => {
    rows.push([index, { slot: MTRR_FIXED_SLOT + i * 8, mask: 0x0707_0707_0707_0707n, memoryTypes: true }]);
  });
  return rows;
}
