import { S } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { SHADOW } from './control-bits.ts';
import { clearGeneralDetect } from './debug.ts';
import { type Delivery, SOURCE } from './delivery-event.ts';
import { deliverLegacy } from './delivery-legacy.ts';
import { deliverLong } from './delivery-long.ts';
import { deliverReal } from './delivery-real.ts';
import { GuestException, VECTOR } from './exception.ts';
import { isLong, isProtected } from './segments.ts';
import type { SystemCpu } from './system-cpu.ts';

export { type Delivery, SOURCE } from './delivery-event.ts';

/** Faults whose pushed RFLAGS has RF set; the others are traps, aborts or interrupts. @spec SDM-3B §17.3.1.1 */
const TRAPS: readonly number[] = [VECTOR.DB, VECTOR.NMI, VECTOR.BP, VECTOR.OF, VECTOR.DF, VECTOR.MC];
const CONTRIBUTORY: readonly number[] = [VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP];

/**
 * Delivers an exception; RIP must already be what the handler shall see (the faulting instruction, or the next one for traps).
 * Faults on the way become what the SDM says, up to a double fault.
 *
 * @returns false on a triple fault: the CPU shuts down
 * @spec SDM-3A §6.15 "Interrupt 8"
 */
export function deliverException(cpu: SystemCpu, vector: number, errorCode: number): boolean {
  // What a faulting instruction met before its fault it meets again.
  if (vector !== VECTOR.DB) cpu.state.set32(S.breaks, 0);
  return deliver(cpu, { vector, errorCode, source: SOURCE.exception, ext: 1 });
}

/**
 * Delivers a #DB that is a trap: after an instruction, or after an iteration of a repeated one.
 * @param midway the instruction goes on afterwards: RF keeps its own breakpoint from being met again. @spec SDM-3B §17.3.1.1
 */
export function deliverDebugTrap(cpu: SystemCpu, midway: boolean): boolean {
  const delivered = deliver(cpu, { vector: VECTOR.DB, errorCode: -1, source: SOURCE.exception, ext: 1, resume: midway });
  // The frame itself may lie under a breakpoint: not again and again for ever.
  cpu.state.set32(S.breaks, 0);
  return delivered;
}

/** Delivers an interrupt from outside, NMI included. @returns false on a triple fault */
export function deliverInterrupt(cpu: SystemCpu, vector: number): boolean {
  if (vector === VECTOR.NMI) cpu.state.set32(S.shadow, cpu.state.get32(S.shadow) | SHADOW.nmi);
  return deliver(cpu, { vector, errorCode: -1, source: SOURCE.external, ext: 1 });
}

/** INT n, INT3, INTO, INT1: RIP is the next instruction. @throws {GuestException} to be delivered at the instruction itself */
export function softwareInterrupt(cpu: SystemCpu, vector: number, source: number = SOURCE.software): void {
  attempt(cpu, { vector, errorCode: -1, source, ext: 0 });
}

function deliver(cpu: SystemCpu, first: Delivery): boolean {
  let event = first;
  for (;;) {
    try {
      attempt(cpu, event);
      return true;
    } catch (error) {
      if (!(error instanceof GuestException)) throw error;
      if (event.vector === VECTOR.DF) return false;
      event = escalate(event, error);
    }
  }
}

/** The second fault's own error code already says EXT where it has one. */
function escalate(first: Delivery, second: GuestException): Delivery {
  const base = { source: SOURCE.exception, ext: 1 };
  if (first.source === SOURCE.exception && makesDoubleFault(first.vector, second.vector)) {
    return { ...base, vector: VECTOR.DF, errorCode: 0 };
  }
  return { ...base, vector: second.vector, errorCode: second.errorCode };
}

/** @spec SDM-3A table 6-5 */
function makesDoubleFault(first: number, second: number): boolean {
  const secondCounts = CONTRIBUTORY.includes(second);
  if (first === VECTOR.PF) return secondCounts || second === VECTOR.PF;
  return CONTRIBUTORY.includes(first) && secondCounts;
}

function attempt(cpu: SystemCpu, event: Delivery): void {
  const { state } = cpu;
  const flags = state.rflags();
  const isFault = event.source === SOURCE.exception && !TRAPS.includes(event.vector);
  const pushed = isFault || event.resume === true ? flags | FLAG.RF : flags & ~FLAG.RF;
  if (event.vector === VECTOR.DB && event.source !== SOURCE.software) clearGeneralDetect(state);
  if (!isProtected(state)) deliverReal(cpu, event, flags);
  else if (isLong(state)) deliverLong(cpu, event, pushed);
  else deliverLegacy(cpu, event, pushed);
  // A delivered event ends HLT, and the shadow of STI or MOV SS.
  state.set32(S.shadow, state.get32(S.shadow) & ~(SHADOW.interrupts | SHADOW.halted | SHADOW.debug));
  cpu.modeChanged();
}
