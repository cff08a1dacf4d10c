/** What an access is, for the permission check of a page walk. Bits combine. @spec SDM-3A §4.6 */
export const ACCESS = {
  read: 0,
  write: 1,
  /** Made at CPL 3. */
  user: 2,
  fetch: 4,
  /** Descriptor tables and the TSS: supervisor whatever the CPL, and EFLAGS.AC does not lift SMAP. */
  implicit: 8,
  /** Non-canonical addresses raise #SS instead of #GP. */
  stack: 16,
} as const;

/** Page-fault error code bits. @spec SDM-3A §4.7 */
export const PF = { P: 1, W: 2, U: 4, RSVD: 8, I: 16 } as const;

/** Control register bits the paging unit looks at. @spec SDM-3A §2.5 */
export const CR0_WP = 0x1_0000;
export const CR0_PG = 0x8000_0000 | 0;
export const CR4_PSE = 0x10;
export const CR4_PAE = 0x20;
export const CR4_PGE = 0x80;
export const CR4_SMEP = 0x10_0000;
export const CR4_SMAP = 0x20_0000;
export const EFER_LMA = 0x400;
export const EFER_NXE = 0x800;

/** Physical address bits (MAXPHYADDR). CPUID 80000008h reports the same number. */
export const PHYSICAL_BITS = 40;

/** Added to the byte count of a slow store: the instruction reads what is there first, from a device as well. */
export const SLOW_UPDATE = 0x100;
