import { ACCESS } from '../mmu/access.ts';
import { S, SEG } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { isNonCanonical } from './canonical.ts';
import { readInnerStack } from './delivery-legacy.ts';
import { GuestException, gp, VECTOR } from './exception.ts';
import {
  ATTR,
  attributesOf,
  type Descriptor,
  dplOf,
  findDescriptor,
  isLong,
  isNull,
  is8086,
  isValidCodeWidth,
  limitOf,
  loadRealSegment,
  nullSsAttributes,
  readDescriptor,
  readTable,
  setCodeSegment,
  setFromDescriptor,
  setRaw,
  TYPE,
} from './segments.ts';
import { currentStack, Stack } from './stack.ts';
import type { SystemCpu } from './system-cpu.ts';
import { switchThroughGate, switchToSegment } from './task-switch.ts';

/** A far pointer, and the operand size in bytes that it came with. */
export interface FarPointer {
  readonly selector: number;
  readonly offset: bigint;
  readonly width: number;
}

/** Far JMP. @spec SDM-2A "JMP" */
export function jumpFar(cpu: SystemCpu, to: FarPointer): void {
  const { state } = cpu;
  if (is8086(state)) {
    enter8086(cpu, to);
  } else {
    const d = readTarget(cpu, to.selector);
    if (attributesOf(d) & ATTR.S) enterSame(cpu, to.selector, d, to.offset);
    else if (isTask(cpu, d)) switchTo(cpu, d, 'jump');
    else jumpThroughGate(cpu, readCallGate(cpu, to.selector, d));
  }
  cpu.modeChanged();
}

/** Far CALL. @spec SDM-2A "CALL" */
export function callFar(cpu: SystemCpu, to: FarPointer): void {
  const { state } = cpu;
  if (is8086(state)) {
    checkOffset8086(state, to);
    const stack = currentStack(cpu);
    pushReturn(cpu, stack, to.width);
    stack.store();
    enter8086(cpu, to);
  } else {
    const d = readTarget(cpu, to.selector);
    if (attributesOf(d) & ATTR.S) callSame(cpu, to.selector, d, to.offset, to.width);
    else if (isTask(cpu, d)) switchTo(cpu, d, 'call');
    else callThroughGate(cpu, readCallGate(cpu, to.selector, d));
  }
  cpu.modeChanged();
}

/** The offset must lie within CS, whose limit stays. */
function checkOffset8086(state: CpuState, { offset }: FarPointer): void {
  if (offset > BigInt(state.limit(SEG.CS))) throw gp(0);
}

function enter8086({ state }: SystemCpu, to: FarPointer): void {
  checkOffset8086(state, to);
  loadRealSegment(state, SEG.CS, to.selector);
  state.rip = to.offset;
}

const TASKS: readonly number[] = [TYPE.tss16, TYPE.tss32, TYPE.tss16Busy, TYPE.tss32Busy, TYPE.taskGate];

/** A task gate or TSS; IA-32e mode has no task switches. */
function isTask({ state }: SystemCpu, d: Descriptor): boolean {
  return !isLong(state) && TASKS.includes(attributesOf(d) & 0x1f);
}

function switchTo(cpu: SystemCpu, d: Descriptor, cause: 'jump' | 'call'): void {
  if ((attributesOf(d) & 0x1f) === TYPE.taskGate) switchThroughGate(cpu, d, cause);
  else switchToSegment(cpu, d, cause);
}

function readTarget(cpu: SystemCpu, selector: number): Descriptor {
  if (isNull(selector)) throw gp(0);
  return readDescriptor(cpu, selector);
}

function pushReturn(cpu: SystemCpu, stack: Stack, width: number): void {
  stack.push(BigInt(cpu.state.selector(SEG.CS)), width);
  stack.push(cpu.state.rip, width);
}

function enterSame(cpu: SystemCpu, selector: number, d: Descriptor, offset: bigint): void {
  checkSameLevel(cpu, selector, d);
  const rip = checkOffset(cpu, d, offset);
  setCodeSegment(cpu, selector, d, cpu.state.cpl);
  cpu.state.rip = rip;
}

function callSame(cpu: SystemCpu, selector: number, d: Descriptor, offset: bigint, width: number): void {
  checkSameLevel(cpu, selector, d);
  const rip = checkOffset(cpu, d, offset);
  const stack = currentStack(cpu);
  pushReturn(cpu, stack, width);
  setCodeSegment(cpu, selector, d, cpu.state.cpl);
  stack.store();
  cpu.state.rip = rip;
}

/** A direct far transfer stays at its CPL. */
function checkSameLevel(cpu: SystemCpu, selector: number, d: Descriptor): void {
  const attributes = attributesOf(d);
  const error = selector & 0xfffc;
  const { cpl } = cpu.state;
  if ((attributes & ATTR.code) === 0) throw gp(error);
  const dpl = dplOf(attributes);
  if (attributes & ATTR.conforming ? dpl > cpl : (selector & 3) > cpl || dpl !== cpl) throw gp(error);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, error);
  if (!isValidCodeWidth(cpu.state, attributes)) throw gp(error);
}

function checkOffset(cpu: SystemCpu, d: Descriptor, offset: bigint): bigint {
  if (isLong(cpu.state) && (attributesOf(d) & ATTR.L) !== 0) {
    if (isNonCanonical(offset)) throw gp(0);
    return offset;
  }
  const low = offset & 0xffff_ffffn;
  if (low > BigInt(limitOf(d))) throw gp(0);
  return low;
}

interface CallGate {
  readonly width: number;
  readonly parameters: number;
  readonly selector: number;
  readonly offset: bigint;
  readonly code: Descriptor;
}

/** @spec SDM-3A §5.8.4 */
function readCallGate(cpu: SystemCpu, selector: number, gate: Descriptor): CallGate {
  const attributes = attributesOf(gate);
  const error = selector & 0xfffc;
  const type = attributes & 0x1f;
  const long = isLong(cpu.state);
  if (type !== TYPE.callGate32 && (type !== TYPE.callGate16 || long)) throw gp(error);
  if (dplOf(attributes) < Math.max(cpu.state.cpl, selector & 3)) throw gp(error);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, error);
  const upper = long ? readUpperHalf(cpu, selector) : 0;
  const codeSelector = gate.low >>> 16;
  if (isNull(codeSelector)) throw gp(0);
  const code = readDescriptor(cpu, codeSelector);
  checkGateCode(cpu, codeSelector, code, long);
  const low = type === TYPE.callGate16 ? gate.low & 0xffff : ((gate.low & 0xffff) | (gate.high & 0xffff_0000)) >>> 0;
  const width = long ? 8 : type === TYPE.callGate32 ? 4 : 2;
  const offset = (BigInt(upper) << 32n) | BigInt(low);
  return {
    width,
    parameters: long ? 0 : gate.high & 0x1f,
    selector: codeSelector,
    offset: checkOffset(cpu, code, offset),
    code,
  };
}

/** IA-32e call gates are 16 bytes long; the type field of the second half must be zero. */
function readUpperHalf(cpu: SystemCpu, selector: number): number {
  const next = findDescriptor(cpu, selector + 8);
  if (next === undefined || (next.high & 0x1f00) !== 0) throw gp(selector & 0xfffc);
  return next.low >>> 0;
}

function checkGateCode(cpu: SystemCpu, selector: number, code: Descriptor, long: boolean): void {
  const attributes = attributesOf(code);
  const error = selector & 0xfffc;
  if ((attributes & (ATTR.S | ATTR.code)) !== (ATTR.S | ATTR.code) || dplOf(attributes) > cpu.state.cpl) throw gp(error);
  if (long && (attributes & (ATTR.L | ATTR.DB)) !== ATTR.L) throw gp(error);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, error);
}

function jumpThroughGate(cpu: SystemCpu, gate: CallGate): void {
  const attributes = attributesOf(gate.code);
  if ((attributes & ATTR.conforming) === 0 && dplOf(attributes) !== cpu.state.cpl) throw gp(gate.selector & 0xfffc);
  setCodeSegment(cpu, gate.selector, gate.code, cpu.state.cpl);
  cpu.state.rip = gate.offset;
}

function callThroughGate(cpu: SystemCpu, gate: CallGate): void {
  const { state } = cpu;
  const attributes = attributesOf(gate.code);
  const dpl = dplOf(attributes);
  if ((attributes & ATTR.conforming) !== 0 || dpl === state.cpl) {
    const stack = currentStack(cpu);
    pushReturn(cpu, stack, gate.width);
    setCodeSegment(cpu, gate.selector, gate.code, state.cpl);
    stack.store();
  } else if (gate.width === 8) {
    callInnerLong(cpu, gate, dpl);
  } else {
    callInner(cpu, gate, dpl);
  }
  state.rip = gate.offset;
}

function callInner(cpu: SystemCpu, gate: CallGate, dpl: number): void {
  const { state } = cpu;
  const old = currentStack(cpu);
  const inner = readInnerStack(cpu, dpl, 0);
  inner.stack.push(BigInt(state.selector(SEG.SS)), gate.width);
  inner.stack.push(state.rsp & 0xffff_ffffn, gate.width);
  for (let i = gate.parameters - 1; i >= 0; i--) inner.stack.push(old.peek(i * gate.width, gate.width), gate.width);
  pushReturn(cpu, inner.stack, gate.width);
  setFromDescriptor(cpu, SEG.SS, inner.selector, inner.descriptor);
  setCodeSegment(cpu, gate.selector, gate.code, dpl);
  inner.stack.store();
}

function callInnerLong(cpu: SystemCpu, gate: CallGate, dpl: number): void {
  const { state } = cpu;
  const slot = 4 + dpl * 8;
  if (slot + 7 > state.limit(SEG.TR)) throw new GuestException(VECTOR.TS, state.selector(SEG.TR) & 0xfffc);
  const rsp = (BigInt(readTable(cpu, S.trBase, slot + 4)) << 32n) | BigInt(readTable(cpu, S.trBase, slot));
  const segment = { base: 0n, limit: 0, attributes: nullSsAttributes(dpl), long: true };
  const stack = new Stack(cpu, segment, rsp, ACCESS.implicit);
  stack.push(BigInt(state.selector(SEG.SS)), 8);
  stack.push(state.rsp, 8);
  pushReturn(cpu, stack, 8);
  setRaw(state, SEG.SS, dpl, 0, 0, nullSsAttributes(dpl));
  setCodeSegment(cpu, gate.selector, gate.code, dpl);
  stack.store();
}
