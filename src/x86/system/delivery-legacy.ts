import { ACCESS } from '../mmu/access.ts';
import { S, SEG } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { type Delivery, SOURCE } from './delivery-event.ts';
import { GuestException, gp, VECTOR } from './exception.ts';
import { ATTR, attributesOf, type Descriptor, dplOf, isNull, readDescriptor, readTable, setCodeSegment, setFromDescriptor, setNull, TYPE } from './segments.ts';
import { currentStack, Stack, stackSegmentOf } from './stack.ts';
import type { SystemCpu } from './system-cpu.ts';
import { switchForEvent } from './task-switch.ts';
import { isV86 } from './v86.ts';

/**
 * Delivery through a 32-bit IDT: 16- and 32-bit interrupt and trap gates, and task gates.
 * @spec SDM-3A §6.12, SDM-3B §20.3
 */
export function deliverLegacy(cpu: SystemCpu, event: Delivery, flags: number): void {
  const { state } = cpu;
  const gate = readGate(cpu, event);
  if (gate.type === TYPE.taskGate) return switchForEvent(cpu, gate.selector, event, flags);
  if (isNull(gate.selector)) throw gp(event.ext);
  const code = readDescriptor(cpu, gate.selector, VECTOR.GP, event.ext);
  const attributes = attributesOf(code);
  const errorCode = (gate.selector & 0xfffc) | event.ext;
  if ((attributes & (ATTR.S | ATTR.code)) !== (ATTR.S | ATTR.code) || dplOf(attributes) > state.cpl) throw gp(errorCode);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, errorCode);

  const cpl = attributes & ATTR.conforming ? state.cpl : dplOf(attributes);
  const v86 = isV86(state);
  // Virtual-8086 mode is left for CPL 0 only.
  if (v86 && cpl !== 0) throw gp(errorCode);
  const width = gate.type & 8 ? 4 : 2;
  const inner = cpl < state.cpl ? readInnerStack(cpu, cpl, event.ext) : undefined;
  const stack = inner?.stack ?? currentStack(cpu);
  if (v86) for (const seg of [SEG.GS, SEG.FS, SEG.DS, SEG.ES]) stack.push(BigInt(state.selector(seg)), width);
  if (inner !== undefined) {
    stack.push(BigInt(state.selector(SEG.SS)), width);
    stack.push(state.rsp & 0xffff_ffffn, width);
  }
  stack.push(BigInt(flags), width);
  stack.push(BigInt(state.selector(SEG.CS)), width);
  stack.push(state.rip & 0xffff_ffffn, width);
  if (event.errorCode >= 0) stack.push(BigInt(event.errorCode), width);

  if (inner !== undefined) setFromDescriptor(cpu, SEG.SS, inner.selector, inner.descriptor);
  setCodeSegment(cpu, gate.selector, code, cpl);
  if (v86) for (const seg of [SEG.GS, SEG.FS, SEG.DS, SEG.ES]) setNull(state, seg, 0);
  stack.store();
  state.rip = BigInt(gate.offset);
  const isInterruptGate = (gate.type & 7) === 6;
  const cleared = FLAG.TF | FLAG.NT | FLAG.RF | FLAG.VM | (isInterruptGate ? FLAG.IF : 0);
  state.set32(S.flags, state.get32(S.flags) & ~cleared);
}

interface Gate {
  readonly selector: number;
  readonly type: number;
  readonly offset: number;
}

const GATES: readonly number[] = [TYPE.interruptGate16, TYPE.trapGate16, TYPE.interruptGate32, TYPE.trapGate32, TYPE.taskGate];

function readGate(cpu: SystemCpu, { vector, source, ext }: Delivery): Gate {
  const errorCode = vector * 8 + 2 + ext;
  if (vector * 8 + 7 > (cpu.state.get32(S.idtLimit) & 0xffff)) throw gp(errorCode);
  const w0 = readTable(cpu, S.idtBase, vector * 8);
  const w1 = readTable(cpu, S.idtBase, vector * 8 + 4);
  const type = (w1 >>> 8) & 0x1f;
  if (!GATES.includes(type)) throw gp(errorCode);
  if (source === SOURCE.software && ((w1 >>> 13) & 3) < cpu.state.cpl) throw gp(errorCode);
  if ((w1 & 0x8000) === 0) throw new GuestException(VECTOR.NP, errorCode);
  const offset = type & 8 ? ((w0 & 0xffff) | (w1 & 0xffff_0000)) >>> 0 : w0 & 0xffff;
  return { selector: w0 >>> 16, type, offset };
}

/** The stack of an inner level, from the TSS. @spec SDM-3A §7.2.1 */
export function readInnerStack(cpu: SystemCpu, cpl: number, ext: number): { stack: Stack; selector: number; descriptor: Descriptor } {
  const { state } = cpu;
  const is32 = (state.attributes(SEG.TR) & 8) !== 0;
  const slot = is32 ? 4 + cpl * 8 : 2 + cpl * 4;
  const tsError = (state.selector(SEG.TR) & 0xfffc) | ext;
  if (slot + (is32 ? 5 : 3) > state.limit(SEG.TR)) throw new GuestException(VECTOR.TS, tsError);
  const pointer = readTable(cpu, S.trBase, slot);
  const sp = is32 ? pointer : pointer & 0xffff;
  const selector = is32 ? readTable(cpu, S.trBase, slot + 4) & 0xffff : pointer >>> 16;
  const descriptor = readStackDescriptor(cpu, selector, cpl, ext);
  const access = cpl === 3 ? ACCESS.user : ACCESS.implicit;
  const stack = new Stack(cpu, stackSegmentOf(descriptor), BigInt(sp), access, (selector & 0xfffc) | ext);
  return { stack, selector, descriptor };
}

function readStackDescriptor(cpu: SystemCpu, selector: number, cpl: number, ext: number): Descriptor {
  const errorCode = (selector & 0xfffc) | ext;
  if (isNull(selector)) throw new GuestException(VECTOR.TS, errorCode);
  const d = readDescriptor(cpu, selector, VECTOR.TS, ext);
  const attributes = attributesOf(d);
  const writableData = (attributes & (ATTR.S | ATTR.code | ATTR.writable)) === (ATTR.S | ATTR.writable);
  if ((selector & 3) !== cpl || dplOf(attributes) !== cpl || !writableData) throw new GuestException(VECTOR.TS, errorCode);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.SS, errorCode);
  return d;
}
