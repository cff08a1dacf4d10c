import type { AccessSize } from '../../bus/bus.ts';
import type { Lapic } from './lapic.ts';
import {
  APIC,
  BASE_ENABLE,
  BASE_X2APIC,
  IA32_APIC_BASE,
  IA32_TSC_DEADLINE,
  LVT_FIRST,
  X2APIC_FIRST,
  X2APIC_LAST,
} from './lapic-registers.ts';

const TWO_32 = 0x1_0000_0000;
/** Bits of IA32_APIC_BASE that must be written as zero, in the low word. */
const BASE_RESERVED = 0x2ff;

/** The two halves of an MSR value, unsigned. One record per CPU is reused for every access. */
export interface MsrValue {
  low: number;
  high: number;
}

/** Whether an access to a guest-physical address belongs to this APIC's page. */
export function ownsLapicPage(lapic: Lapic, gpa: number): boolean {
  if (!lapic.hardwareEnabled || lapic.x2apic) return false;
  const page = lapic.base - (lapic.base % 4096);
  return gpa >= page && gpa < page + 4096;
}

/** Reads from the page at `offset`; narrow reads see their part of the 32-bit register. */
export function readLapicPage(lapic: Lapic, offset: number, size: AccessSize): number {
  if (offset & 0xc) return 0; // registers are 16 bytes apart, the rest is reserved
  const shift = (offset & 3) * 8;
  const value = lapic.readRegister(offset & 0xff0) >>> shift;
  return size === 4 ? value : value & ((1 << (size * 8)) - 1);
}

/** Writes to the page; only aligned accesses mean anything, and narrow ones are taken as the whole register. */
export function writeLapicPage(lapic: Lapic, offset: number, value: number): void {
  if ((offset & 0xf) === 0) lapic.writeRegister(offset, value);
}

/**
 * RDMSR of IA32_APIC_BASE, IA32_TSC_DEADLINE or an x2APIC register. @spec SDM-3A §11.12.1.2
 *
 * @returns false for #GP(0)
 */
export function readLapicMsr(lapic: Lapic, index: number, into: MsrValue): boolean {
  into.high = 0;
  if (index === IA32_APIC_BASE) return split(lapic.base, into);
  if (index === IA32_TSC_DEADLINE) return split(lapic.timer.deadlineTsc, into);
  if (index < X2APIC_FIRST || index > X2APIC_LAST || !lapic.x2apic) return false;
  const offset = (index - X2APIC_FIRST) * 16;
  if (!isReadable(offset)) return false;
  into.low = lapic.readRegister(offset) >>> 0;
  if (offset === APIC.ICR_LOW) into.high = lapic.readRegister(APIC.ICR_HIGH) >>> 0;
  return true;
}

/**
 * WRMSR, see `readLapicMsr`.
 *
 * @returns false for #GP(0)
 */
export function writeLapicMsr(lapic: Lapic, index: number, low: number, high: number): boolean {
  if (index === IA32_APIC_BASE) return writeBase(lapic, low, high);
  if (index === IA32_TSC_DEADLINE) {
    lapic.timer.setDeadlineTsc(high * TWO_32 + low);
    return true;
  }
  if (index < X2APIC_FIRST || index > X2APIC_LAST || !lapic.x2apic) return false;
  const offset = (index - X2APIC_FIRST) * 16;
  if (offset === APIC.ICR_LOW) {
    lapic.writeIcr(low, high);
    return true;
  }
  if (high !== 0) return false;
  return writeX2Apic(lapic, offset, low);
}

function writeX2Apic(lapic: Lapic, offset: number, low: number): boolean {
  switch (offset) {
    case APIC.EOI:
    case APIC.ESR:
      if (low !== 0) return false;
      break;
    case APIC.TPR:
      if (low > 0xff) return false;
      break;
    case APIC.SELF_IPI:
      if (low > 0xff) return false;
      lapic.writeIcr(low | (1 << 18), 0);
      return true;
    case APIC.SVR:
    case APIC.TIMER_INITIAL_COUNT:
    case APIC.TIMER_DIVIDE:
      break;
    default:
      if (offset < LVT_FIRST || offset > APIC.LVT_ERROR) return false;
  }
  lapic.writeRegister(offset, low);
  return true;
}

function isReadable(offset: number): boolean {
  if (offset >= APIC.ISR && offset <= APIC.ESR) return true;
  if (offset >= LVT_FIRST && offset <= APIC.TIMER_CURRENT_COUNT) return true;
  switch (offset) {
    case APIC.ID:
    case APIC.VERSION:
    case APIC.TPR:
    case APIC.PPR:
    case APIC.LDR:
    case APIC.SVR:
    case APIC.ICR_LOW:
    case APIC.TIMER_DIVIDE:
      return true;
    default:
      return false;
  }
}

/** Off, xAPIC, x2APIC: off is left to xAPIC only, x2APIC is left to off only. @spec SDM-3A §11.12.5 */
function writeBase(lapic: Lapic, low: number, high: number): boolean {
  const enable = (low & BASE_ENABLE) !== 0;
  const extended = (low & BASE_X2APIC) !== 0;
  if (low & BASE_RESERVED || high > 0x3fff) return false;
  if (extended && !enable) return false;
  if (extended && !lapic.hardwareEnabled) return false;
  if (!extended && enable && lapic.x2apic) return false;
  lapic.setBase(high * TWO_32 + low);
  return true;
}

function split(value: number, into: MsrValue): boolean {
  into.low = value % TWO_32;
  into.high = Math.floor(value / TWO_32);
  return true;
}
