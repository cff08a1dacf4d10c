/** Local APIC register offsets in the memory-mapped page; x2APIC MSR is 0x800 + offset / 16. @spec SDM-3A §11.4.1 */
export const APIC = {
  ID: 0x020,
  VERSION: 0x030,
  TPR: 0x080,
  APR: 0x090,
  PPR: 0x0a0,
  EOI: 0x0b0,
  RRD: 0x0c0,
  LDR: 0x0d0,
  DFR: 0x0e0,
  SVR: 0x0f0,
  ISR: 0x100,
  TMR: 0x180,
  IRR: 0x200,
  ESR: 0x280,
  ICR_LOW: 0x300,
  ICR_HIGH: 0x310,
  LVT_TIMER: 0x320,
  LVT_THERMAL: 0x330,
  LVT_PERFORMANCE: 0x340,
  LVT_LINT0: 0x350,
  LVT_LINT1: 0x360,
  LVT_ERROR: 0x370,
  TIMER_INITIAL_COUNT: 0x380,
  TIMER_CURRENT_COUNT: 0x390,
  TIMER_DIVIDE: 0x3e0,
  SELF_IPI: 0x3f0,
} as const;

/** Version 0x14 with six LVT entries, as KVM's in-kernel APIC says. */
export const APIC_VERSION = 0x0005_0014;

export const LVT_FIRST = APIC.LVT_TIMER;
export const LVT_COUNT = 6;
export const LVT_MASKED = 1 << 16;

/** Bits of each LVT entry that software can write, from LVT_TIMER on. @spec SDM-3A §11.5.1 */
export const LVT_WRITABLE = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff] as const;

export const ESR_SEND_ILLEGAL_VECTOR = 1 << 5;
export const ESR_RECEIVE_ILLEGAL_VECTOR = 1 << 6;
export const ESR_ILLEGAL_REGISTER = 1 << 7;

export const SVR_ENABLE = 1 << 8;

export const IA32_APIC_BASE = 0x1b;
export const IA32_TSC_DEADLINE = 0x6e0;
export const X2APIC_FIRST = 0x800;
export const X2APIC_LAST = 0x83f;

/** IA32_APIC_BASE bits. @spec SDM-3A §11.12.1 */
export const BASE_BSP = 1 << 8;
export const BASE_X2APIC = 1 << 10;
export const BASE_ENABLE = 1 << 11;
