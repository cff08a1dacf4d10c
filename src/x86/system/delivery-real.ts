import { S, SEG } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import type { Delivery } from './delivery-event.ts';
import { gp } from './exception.ts';
import { loadRealSegment, readTable } from './segments.ts';
import { currentStack } from './stack.ts';
import type { SystemCpu } from './system-cpu.ts';

/** Delivery through the interrupt vector table of real mode; there are no error codes. @spec SDM-3B §20.1.4 */
export function deliverReal(cpu: SystemCpu, { vector }: Delivery, flags: number): void {
  const { state } = cpu;
  if (vector * 4 + 3 > (state.get32(S.idtLimit) & 0xffff)) throw gp(vector * 8 + 2);
  const entry = readTable(cpu, S.idtBase, vector * 4);
  const stack = currentStack(cpu);
  stack.push(BigInt(flags & 0xffff), 2);
  stack.push(BigInt(state.selector(SEG.CS)), 2);
  stack.push(state.rip & 0xffffn, 2);
  stack.store();
  loadRealSegment(state, SEG.CS, entry >>> 16);
  state.rip = BigInt(entry & 0xffff);
  state.set32(S.flags, state.get32(S.flags) & ~(FLAG.IF | FLAG.TF | FLAG.RF | FLAG.AC));
}
