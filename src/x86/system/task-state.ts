import { ACCESS } from '../mmu/access.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import { GuestException, VECTOR } from './exception.ts';
import { baseOf, type Descriptor, limitOf, TYPE } from './segments.ts';
import type { SystemCpu } from './system-cpu.ts';

/** A task-state segment in memory. */
export interface TaskSegment {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  readonly wide: boolean;
}

/** What a TSS holds of a task. */
export interface TaskState {
  readonly cr3: number;
  readonly eip: number;
  readonly eflags: number;
  /** EAX ECX EDX EBX ESP EBP ESI EDI. */
  readonly registers: readonly number[];
  /** In the order of SEG, ES to GS. */
  readonly selectors: readonly number[];
  readonly ldt: number;
  readonly trap: boolean;
}

interface Layout {
  readonly bytes: 2 | 4;
  /** Lowest limit that holds everything. */
  readonly limit: number;
  readonly eip: number;
  readonly eflags: number;
  readonly registers: number;
  readonly segments: number;
  readonly segmentCount: number;
  readonly ldt: number;
}

/** @spec SDM-3A §7.2.1 figure 7-2, §7.6 figure 7-10 */
const WIDE: Layout = { bytes: 4, limit: 0x67, eip: 0x20, eflags: 0x24, registers: 0x28, segments: 0x48, segmentCount: 6, ldt: 0x60 };
const NARROW: Layout = { bytes: 2, limit: 0x2b, eip: 0xe, eflags: 0x10, registers: 0x12, segments: 0x22, segmentCount: 4, ldt: 0x2a };
const CR3 = 0x1c;
const TRAP = 0x64;

function layoutOf({ wide }: TaskSegment): Layout {
  return wide ? WIDE : NARROW;
}

export function segmentOf(d: Descriptor): TaskSegment {
  const type = (d.high >>> 8) & 0x1f;
  return { selector: d.selector, base: baseOf(d), limit: limitOf(d), wide: type === TYPE.tss32 || type === TYPE.tss32Busy };
}

/** The task that runs. */
export function currentSegment({ state }: SystemCpu): TaskSegment {
  return {
    selector: state.selector(SEG.TR),
    base: state.get32(S.trBase) >>> 0,
    limit: state.limit(SEG.TR),
    wide: (state.attributes(SEG.TR) & 8) !== 0,
  };
}

/** #TS when the segment is too short; page faults before anything has changed. */
export function checkTaskSegment(cpu: SystemCpu, segment: TaskSegment, access: number, ext: number): void {
  const { limit } = layoutOf(segment);
  if (segment.limit < limit) throw new GuestException(VECTOR.TS, (segment.selector & 0xfffc) | ext);
  cpu.mmu.probe(segment.base | 0, 0, limit + 1, ACCESS.implicit | access);
}

export function saveTask(cpu: SystemCpu, segment: TaskSegment, eflags: number): void {
  const { state } = cpu;
  const at = layoutOf(segment);
  const put = (offset: number, value: number, bytes: 2 | 4 = at.bytes): void => writeWord(cpu, segment.base + offset, bytes, value);
  put(at.eip, state.get32(S.rip));
  put(at.eflags, eflags);
  for (let i = 0; i < 8; i++) put(at.registers + i * at.bytes, state.get32(i * 8));
  for (let i = 0; i < at.segmentCount; i++) put(at.segments + i * at.bytes, state.selector(i), 2);
}

export function readTask(cpu: SystemCpu, segment: TaskSegment): TaskState {
  const at = layoutOf(segment);
  const get = (offset: number, bytes: 2 | 4 = at.bytes): number => readWord(cpu, segment.base + offset, bytes);
  const wide = segment.wide;
  return {
    cr3: wide ? get(CR3) : 0,
    eip: get(at.eip),
    eflags: get(at.eflags),
    // A 16-bit task leaves the upper halves undefined; they are ones on Intel parts.
    registers: Array.from({ length: 8 }, (_, i) => get(at.registers + i * at.bytes) | (wide ? 0 : 0xffff_0000)),
    selectors: Array.from({ length: 6 }, (_, i) => (i < at.segmentCount ? get(at.segments + i * at.bytes, 2) : 0)),
    ldt: get(at.ldt, 2),
    trap: wide && (get(TRAP, 2) & 1) !== 0,
  };
}

export function readLink(cpu: SystemCpu): number {
  return readWord(cpu, cpu.state.get32(S.trBase) >>> 0, 2);
}

export function writeLink(cpu: SystemCpu, segment: TaskSegment, selector: number): void {
  writeWord(cpu, segment.base, 2, selector);
}

export function loadRegisters({ state }: SystemCpu, task: TaskState): void {
  task.registers.forEach((value, i) => {
    state.set32(S.gpr + i * 8, value);
    state.set32(S.gpr + i * 8 + 4, 0);
  });
  state.set32(S.rip, task.eip);
  state.set32(S.rip + 4, 0);
}

/** RSP as pushes of the new task see it. */
export const STACK_POINTER = S.gpr + GPR.RSP * 8;

function readWord(cpu: SystemCpu, at: number, bytes: 2 | 4): number {
  return cpu.mmu.read(at | 0, 0, bytes, ACCESS.implicit);
}

function writeWord(cpu: SystemCpu, at: number, bytes: 2 | 4, value: number): void {
  cpu.mmu.write(at | 0, 0, bytes, ACCESS.implicit, value);
}
