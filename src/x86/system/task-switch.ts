import { ACCESS } from '../mmu/access.ts';
import { S, SEG } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { CR0 } from './control-bits.ts';
import type { Delivery } from './delivery-event.ts';
import { GuestException, gp, VECTOR } from './exception.ts';
import {
  ATTR,
  attributesOf,
  baseOf,
  type Descriptor,
  dplOf,
  findDescriptor,
  isNull,
  limitOf,
  readDescriptor,
  setFromDescriptor,
  setNull,
  setTypeBits,
  TYPE,
  clearTypeBits,
} from './segments.ts';
import { currentStack } from './stack.ts';
import type { SystemCpu } from './system-cpu.ts';
import {
  checkTaskSegment,
  currentSegment,
  loadRegisters,
  readLink,
  readTask,
  saveTask,
  segmentOf,
  type TaskSegment,
  type TaskState,
  writeLink,
} from './task-state.ts';
import { enterV86Segments } from './v86.ts';

/** What makes a switch: it decides about busy bits, NT and the link to the task before. @spec SDM-3A §7.3 table 7-1 */
export type TaskCause = 'jump' | 'call' | 'event' | 'return';

const BUSY = 2;
/** EFLAGS that a TSS may set. */
const LOADABLE = 0x003f_7fd7;
/** DR6.BT. */
const DEBUG_BT = 0x8000;

/** JMP or CALL to a TSS. */
export function switchToSegment(cpu: SystemCpu, d: Descriptor, cause: 'jump' | 'call'): void {
  const error = d.selector & 0xfffc;
  if ((d.selector & 4) !== 0 || dplOf(attributesOf(d)) < Math.max(cpu.state.cpl, d.selector & 3)) throw gp(error);
  switchTask(cpu, d, cause);
}

/** JMP or CALL to a task gate. */
export function switchThroughGate(cpu: SystemCpu, gate: Descriptor, cause: 'jump' | 'call'): void {
  const attributes = attributesOf(gate);
  const error = gate.selector & 0xfffc;
  if (dplOf(attributes) < Math.max(cpu.state.cpl, gate.selector & 3)) throw gp(error);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, error);
  switchTask(cpu, readGated(cpu, gate.low >>> 16, 0), cause);
}

/** An exception or interrupt through a task gate. The error code goes onto the stack of the new task. @spec SDM-3A §6.12.2 */
export function switchForEvent(cpu: SystemCpu, selector: number, { errorCode, ext }: Delivery, flags: number): void {
  const wide = switchTask(cpu, readGated(cpu, selector, ext), 'event', { ext, flags });
  if (errorCode < 0) return;
  inNewTask(cpu, () => {
    const stack = currentStack(cpu);
    stack.push(BigInt(errorCode), wide ? 4 : 2);
    stack.store();
  });
}

/** IRET with NT set: back to the task that the link names. */
export function returnToTask(cpu: SystemCpu): void {
  const selector = readLink(cpu);
  const error = selector & 0xfffc;
  const d = (selector & 4) !== 0 ? undefined : findDescriptor(cpu, selector);
  if (d === undefined || isNull(selector)) throw new GuestException(VECTOR.TS, error);
  const type = attributesOf(d) & 0x1f;
  if (type !== TYPE.tss32Busy && type !== TYPE.tss16Busy) throw new GuestException(VECTOR.TS, error);
  switchTask(cpu, d, 'return');
}

/** The TSS that a gate names. */
function readGated(cpu: SystemCpu, selector: number, ext: number): Descriptor {
  if ((selector & 4) !== 0) throw gp((selector & 0xfffc) | ext);
  return readDescriptor(cpu, selector, VECTOR.GP, ext);
}

/**
 * @param event flags: EFLAGS that the old task keeps
 * @returns whether the new task has a 32-bit TSS
 * @spec SDM-3A §7.3
 */
function switchTask(cpu: SystemCpu, d: Descriptor, cause: TaskCause, event?: { ext: number; flags: number }): boolean {
  const { state } = cpu;
  const { ext, flags } = event ?? { ext: 0, flags: state.rflags() & ~FLAG.RF };
  const attributes = attributesOf(d);
  const error = (d.selector & 0xfffc) | ext;
  const type = attributes & 0x1f;
  const wanted = cause === 'return' ? BUSY : 0;
  if ((type & ~BUSY & 0x17) !== TYPE.tss16 || (type & BUSY) !== wanted) throw gp(error);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, error);
  const from = currentSegment(cpu);
  const to = segmentOf(d);
  checkTaskSegment(cpu, to, cause === 'call' || cause === 'event' ? ACCESS.write : ACCESS.read, ext);
  checkTaskSegment(cpu, from, ACCESS.write, ext);
  const task = readTask(cpu, to);
  saveTask(cpu, from, cause === 'return' ? flags & ~FLAG.NT : flags);
  const nests = cause === 'call' || cause === 'event';
  if (!nests) clearBusy(cpu, from);
  if (nests) writeLink(cpu, to, from.selector);
  if (cause !== 'return') setTypeBits(cpu, d, BUSY);
  enterTask(cpu, d, task, nests);
  inNewTask(cpu, () => loadTaskSegments(cpu, task, to));
  cpu.modeChanged();
  if (task.trap) state.set32(S.breaks, state.get32(S.breaks) | DEBUG_BT);
  return to.wide;
}

function clearBusy(cpu: SystemCpu, { selector }: TaskSegment): void {
  const d = findDescriptor(cpu, selector);
  if (d !== undefined) clearTypeBits(cpu, d, BUSY);
}

/** From here on the new task runs: what faults, faults in it. */
function enterTask(cpu: SystemCpu, d: Descriptor, task: TaskState, nests: boolean): void {
  const { state } = cpu;
  const attributes = attributesOf(d) | BUSY;
  state.setSegment(SEG.TR, { selector: d.selector, base: BigInt(baseOf(d)), limit: limitOf(d), attributes });
  state.set32(S.cr0, state.get32(S.cr0) | CR0.TS);
  const wide = (attributes & 8) !== 0;
  if (wide && (state.get32(S.cr0) & CR0.PG) !== 0 && state.get32(S.cr3) !== task.cr3) {
    state.set64(S.cr3, BigInt(task.cr3 >>> 0));
    cpu.mmu.flushNonGlobal();
  }
  // A 16-bit task cannot be one of virtual-8086 mode.
  const loaded = (task.eflags & LOADABLE & (wide ? -1 : 0xffff)) | (nests ? FLAG.NT : 0) | FLAG.fixed;
  state.setRflags(loaded);
  loadRegisters(cpu, task);
  // Breakpoints enabled locally end with the task. @spec SDM-3B §17.2.4
  const dr7 = S.dr + 7 * 8;
  if ((state.get32(dr7) & 0x55) !== 0) {
    state.set64(dr7, state.get64(dr7) & ~0x155n);
    cpu.mmu.updateBreakpoints();
  }
}

/** Runs what may fault when the old task is gone already: the exception is the new task's, at its first instruction. */
function inNewTask(cpu: SystemCpu, load: () => void): void {
  try {
    load();
  } catch (error) {
    if (!(error instanceof GuestException)) throw error;
    cpu.modeChanged();
    throw new GuestException(error.vector, error.errorCode, true);
  }
}

function loadTaskSegments(cpu: SystemCpu, task: TaskState, segment: TaskSegment): void {
  const { state } = cpu;
  const v86 = (state.get32(S.flags) & FLAG.VM) !== 0;
  // All selectors are there before any descriptor is looked at.
  task.selectors.forEach((selector, seg) => void setNull(state, seg, selector));
  state.set32(S.cpl, v86 ? 3 : task.selectors[SEG.CS]! & 3);
  loadTaskLdt(cpu, task.ldt);
  if (v86) return enterV86Segments(state, task.selectors);
  loadTaskStack(cpu, task.selectors[SEG.SS]!);
  loadTaskCode(cpu, task.selectors[SEG.CS]!);
  for (const seg of [SEG.ES, SEG.DS, SEG.FS, SEG.GS]) if (seg < 4 || segment.wide) loadTaskData(cpu, seg, task.selectors[seg]!);
  if (task.eip >>> 0 > state.limit(SEG.CS)) throw gp(0);
}

function ts(selector: number): GuestException {
  return new GuestException(VECTOR.TS, selector & 0xfffc);
}

function loadTaskLdt(cpu: SystemCpu, selector: number): void {
  const { state } = cpu;
  state.setSegment(SEG.LDTR, { selector, base: 0n, limit: 0, attributes: 0 });
  if (isNull(selector)) return;
  if ((selector & 4) !== 0) throw ts(selector);
  const d = readDescriptor(cpu, selector, VECTOR.TS);
  const attributes = attributesOf(d);
  if ((attributes & 0x1f) !== TYPE.ldt || (attributes & ATTR.P) === 0) throw ts(selector);
  state.setSegment(SEG.LDTR, { selector, base: BigInt(baseOf(d)), limit: limitOf(d), attributes });
}

function loadTaskCode(cpu: SystemCpu, selector: number): void {
  if (isNull(selector)) throw ts(selector);
  const d = readDescriptor(cpu, selector, VECTOR.TS);
  const attributes = attributesOf(d);
  const rpl = selector & 3;
  if ((attributes & (ATTR.S | ATTR.code)) !== (ATTR.S | ATTR.code)) throw ts(selector);
  if (attributes & ATTR.conforming ? dplOf(attributes) > rpl : dplOf(attributes) !== rpl) throw ts(selector);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, selector & 0xfffc);
  setFromDescriptor(cpu, SEG.CS, selector, d);
}

function loadTaskStack(cpu: SystemCpu, selector: number): void {
  if (isNull(selector)) throw ts(selector);
  const d = readDescriptor(cpu, selector, VECTOR.TS);
  const attributes = attributesOf(d);
  const { cpl } = cpu.state;
  const writable = (attributes & (ATTR.S | ATTR.code | ATTR.writable)) === (ATTR.S | ATTR.writable);
  if (!writable || (selector & 3) !== cpl || dplOf(attributes) !== cpl) throw ts(selector);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.SS, selector & 0xfffc);
  setFromDescriptor(cpu, SEG.SS, selector, d);
}

function loadTaskData(cpu: SystemCpu, seg: number, selector: number): void {
  if (isNull(selector)) return;
  const d = readDescriptor(cpu, selector, VECTOR.TS);
  const attributes = attributesOf(d);
  const code = (attributes & ATTR.code) !== 0;
  if ((attributes & ATTR.S) === 0 || (code && (attributes & ATTR.readable) === 0)) throw ts(selector);
  const conforming = code && (attributes & ATTR.conforming) !== 0;
  if (!conforming && dplOf(attributes) < Math.max(selector & 3, cpu.state.cpl)) throw ts(selector);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, selector & 0xfffc);
  setFromDescriptor(cpu, seg, selector, d);
}
