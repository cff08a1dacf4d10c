import { S, SEG } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { FLAG } from '../state/state.ts';
import { gp } from './exception.ts';

/**
 * Virtual-8086 mode: an 8086 program as CPL 3 of protected mode. The extensions VME and PVI are not there, as CPUID says.
 * @spec SDM-3B §20.2
 */
export function isV86(state: CpuState): boolean {
  return (state.get32(S.flags) & FLAG.VM) !== 0;
}

/** Present, writable, accessed, DPL 3. */
const V86_DATA = 0xf3;
const V86_CODE = 0xfb;

/** All segment registers as virtual-8086 mode has them. @param selectors in the order of SEG, ES to GS */
export function enterV86Segments(state: CpuState, selectors: readonly number[]): void {
  selectors.forEach((selector, seg) => {
    const attributes = seg === SEG.CS ? V86_CODE : V86_DATA;
    state.setSegment(seg, { selector, base: BigInt(selector << 4), limit: 0xffff, attributes });
  });
}

/** PUSHF, POPF, INT n, IRET, CLI and STI need IOPL 3 there. @spec SDM-3B §20.2.7 */
export function checkV86Iopl(state: CpuState): void {
  if (isV86(state) && ((state.get32(S.flags) >> 12) & 3) !== 3) throw gp(0);
}
