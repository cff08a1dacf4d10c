import type { Instruction } from '../decode/instruction.ts';
import { ACCESS } from '../mmu/access.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import { ARITHMETIC_FLAGS, FLAG } from '../state/state.ts';
import { isNonCanonicalHigh } from './canonical.ts';
import { SHADOW } from './control-bits.ts';
import { GuestException, gp, VECTOR } from './exception.ts';
import { changeableFlags, replaceFlags } from './flags.ts';
import {
  ATTR,
  attributesOf,
  type Descriptor,
  dplOf,
  dropPrivilegedSegments,
  is64,
  is8086,
  isLong,
  isNull,
  isValidCodeWidth,
  limitOf,
  loadRealSegment,
  nullSsAttributes,
  readDescriptor,
  setCodeSegment,
  setFromDescriptor,
  setRaw,
} from './segments.ts';
import { currentStack, high as highOf, low as lowOf, type Stack } from './stack.ts';
import type { SystemCpu } from './system-cpu.ts';
import { returnToTask } from './task-switch.ts';
import { checkV86Iopl, enterV86Segments } from './v86.ts';

const RSP = S.gpr + GPR.RSP * 8;

/** IRET, IRETD, IRETQ. @spec SDM-2A "IRET" */
export function iret(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  checkV86Iopl(state);
  if (is8086(state)) return iret8086(cpu, insn.operandSize / 8);
  if ((state.get32(S.flags) & FLAG.NT) !== 0) {
    if (isLong(state)) throw gp(0);
    returnToTask(cpu);
  } else if (insn.operandSize === 64) iretQuad(cpu);
  else iretStack(cpu, insn.operandSize / 8);
  state.set32(S.shadow, state.get32(S.shadow) & ~SHADOW.nmi);
}

function iret8086(cpu: SystemCpu, width: number): void {
  const { state } = cpu;
  const stack = currentStack(cpu);
  const ip = stack.pop(width);
  const cs = Number(stack.pop(width) & 0xffffn);
  const flags = Number(stack.pop(width));
  if (ip > 0xffffn) throw gp(0);
  stack.store();
  loadRealSegment(state, SEG.CS, cs);
  state.rip = ip;
  const mask = changeableFlags(state) | (width === 2 ? 0 : FLAG.RF);
  replaceFlags(cpu, flags, (width === 2 ? mask & 0xffff : mask) | ARITHMETIC_FLAGS);
  state.set32(S.shadow, state.get32(S.shadow) & ~SHADOW.nmi);
  cpu.modeChanged();
}

/** The end of every interrupt and page fault of a 64-bit kernel: halves only. */
function iretQuad(cpu: SystemCpu): void {
  const { state, mmu } = cpu;
  const access = mmu.privilege() | ACCESS.stack;
  const low = state.get32(RSP);
  const high = state.get32(RSP + 4);
  const word = (offset: number): number => {
    const at = (low + offset) | 0;
    return mmu.read(at, high + (at >>> 0 < low >>> 0 ? 1 : 0), 4, access) | 0;
  };
  const target = {
    ripLow: word(0),
    ripHigh: word(4),
    cs: word(8) & 0xffff,
    flags: word(16),
    rspLow: word(24),
    rspHigh: word(28),
    ss: word(32) & 0xffff,
  };
  finishIret(cpu, target, FLAG.RF | changeableFlags(state));
}

/** 16- and 32-bit operand size, from any mode. */
function iretStack(cpu: SystemCpu, width: number): void {
  const { state } = cpu;
  const stack = currentStack(cpu);
  const rip = stack.pop(width);
  const cs = Number(stack.pop(width) & 0xffffn);
  const flags = Number(stack.pop(width));
  if (width === 4 && state.cpl === 0 && !isLong(state) && (flags & FLAG.VM) !== 0) return iretToV86(cpu, stack, rip, cs, flags);
  const mask = width === 2 ? changeableFlags(state) & 0xffff : changeableFlags(state) | FLAG.RF;
  const target = { ripLow: lowOf(rip), ripHigh: 0, cs, flags, rspLow: 0, rspHigh: 0, ss: 0 };
  if (!is64(state) && (cs & 3) === state.cpl) {
    const code = readReturnCode(cpu, target);
    stack.store();
    setCodeSegment(cpu, cs, code, state.cpl);
    setRip(cpu, target);
    replaceFlags(cpu, flags, mask | ARITHMETIC_FLAGS);
    cpu.modeChanged();
    return;
  }
  target.rspLow = lowOf(stack.pop(width));
  target.ss = Number(stack.pop(width) & 0xffffn);
  finishIret(cpu, target, mask);
}

/** To virtual-8086 mode: the outer stack and four more selectors are on the stack. */
function iretToV86(cpu: SystemCpu, stack: Stack, eip: bigint, cs: number, flags: number): void {
  const { state } = cpu;
  const esp = stack.pop(4);
  const [ss, es, ds, fs, gs] = Array.from({ length: 5 }, () => Number(stack.pop(4) & 0xffffn));
  if (eip > 0xffffn) throw gp(0);
  // All of EFLAGS is loaded, and at CPL 0 all of it may change.
  const value = flags & (changeableFlags(state) | FLAG.RF | FLAG.VM | ARITHMETIC_FLAGS | FLAG.VIF | FLAG.VIP);
  state.setRflags(value | FLAG.fixed);
  enterV86Segments(state, [es!, cs, ss!, ds!, fs!, gs!]);
  state.set32(S.cpl, 3);
  state.rip = eip;
  state.rsp = esp;
  cpu.modeChanged();
}

/** What an inter-privilege return pops. */
export interface ReturnTarget {
  readonly ripLow: number;
  readonly ripHigh: number;
  readonly cs: number;
  readonly rspLow: number;
  readonly rspHigh: number;
  readonly ss: number;
}

function finishIret(cpu: SystemCpu, target: ReturnTarget & { readonly flags: number }, mask: number): void {
  returnWithStack(cpu, target);
  replaceFlags(cpu, target.flags, mask | ARITHMETIC_FLAGS);
  cpu.modeChanged();
}

/** Loads CS:RIP and SS:RSP, checked first. */
export function returnWithStack(cpu: SystemCpu, target: ReturnTarget): void {
  const { state } = cpu;
  const cpl = target.cs & 3;
  const outer = cpl > state.cpl;
  const code = readReturnCode(cpu, target);
  const toLong = isLong(state) && (attributesOf(code) & ATTR.L) !== 0;
  const stack = readReturnStack(cpu, target.ss, cpl, toLong);
  setCodeSegment(cpu, target.cs, code, cpl);
  if (stack === undefined) setRaw(state, SEG.SS, target.ss, 0, 0, nullSsAttributes(cpl));
  else setFromDescriptor(cpu, SEG.SS, target.ss, stack);
  setRip(cpu, target);
  setReturnRsp(cpu, target, toLong, stack);
  if (outer) dropPrivilegedSegments(state);
}

function setReturnRsp(cpu: SystemCpu, { rspLow, rspHigh }: ReturnTarget, toLong: boolean, stack: Descriptor | undefined): void {
  const { state } = cpu;
  const is16 = !toLong && stack !== undefined && (attributesOf(stack) & ATTR.DB) === 0;
  state.set32(RSP, is16 ? (state.get32(RSP) & ~0xffff) | (rspLow & 0xffff) : rspLow);
  state.set32(RSP + 4, toLong ? rspHigh : 0);
}

function setRip(cpu: SystemCpu, { ripLow, ripHigh }: ReturnTarget): void {
  cpu.state.set32(S.rip, ripLow);
  cpu.state.set32(S.rip + 4, ripHigh);
}

/** The checks of IRET and far RET on the code segment returned to. @throws {GuestException} */
export function readReturnCode(cpu: SystemCpu, { cs, ripLow, ripHigh }: ReturnTarget): Descriptor {
  const { state } = cpu;
  const rpl = cs & 3;
  if (isNull(cs)) throw gp(0);
  const code = readDescriptor(cpu, cs);
  const attributes = attributesOf(code);
  const error = cs & 0xfffc;
  if ((attributes & (ATTR.S | ATTR.code)) !== (ATTR.S | ATTR.code) || rpl < state.cpl) throw gp(error);
  const dpl = dplOf(attributes);
  if (attributes & ATTR.conforming ? dpl > rpl : dpl !== rpl) throw gp(error);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, error);
  if (!isValidCodeWidth(state, attributes)) throw gp(error);
  if (isLong(state) && (attributes & ATTR.L) !== 0) {
    if (isNonCanonicalHigh(ripHigh)) throw gp(0);
  } else if (ripHigh !== 0 || ripLow >>> 0 > limitOf(code)) {
    throw gp(0);
  }
  return code;
}

/** @returns undefined for a null SS, which 64-bit code below CPL 3 may have */
function readReturnStack(cpu: SystemCpu, selector: number, cpl: number, toLong: boolean): Descriptor | undefined {
  if (isNull(selector)) {
    if (toLong && cpl !== 3 && (selector & 3) === cpl) return undefined;
    throw gp(0);
  }
  const error = selector & 0xfffc;
  const d = readDescriptor(cpu, selector);
  const attributes = attributesOf(d);
  const writableData = (attributes & (ATTR.S | ATTR.code | ATTR.writable)) === (ATTR.S | ATTR.writable);
  if ((selector & 3) !== cpl || dplOf(attributes) !== cpl || !writableData) throw gp(error);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.SS, error);
  return d;
}

/** Far RET. @param extra bytes of parameters to release @spec SDM-2B "RET" */
export function retFar(cpu: SystemCpu, insn: Instruction, extra: number): void {
  const { state } = cpu;
  const width = insn.operandSize / 8;
  const stack = currentStack(cpu);
  const rip = stack.pop(width);
  const cs = Number(stack.pop(width) & 0xffffn);
  if (is8086(state)) {
    if (rip > BigInt(state.limit(SEG.CS))) throw gp(0);
    stack.skip(extra);
    stack.store();
    loadRealSegment(state, SEG.CS, cs);
    state.rip = rip;
    cpu.modeChanged();
    return;
  }
  const target = { ripLow: lowOf(rip), ripHigh: highOf(rip), cs, rspLow: 0, rspHigh: 0, ss: 0 };
  if ((cs & 3) <= state.cpl) {
    const code = readReturnCode(cpu, target);
    stack.skip(extra);
    stack.store();
    setCodeSegment(cpu, cs, code, state.cpl);
    setRip(cpu, target);
  } else {
    stack.skip(extra);
    const rsp = stack.pop(width);
    target.ss = Number(stack.pop(width) & 0xffffn);
    // The outer stack is released by the same number of bytes.
    const outer = BigInt.asUintN(64, rsp + BigInt(extra));
    target.rspLow = lowOf(outer);
    target.rspHigh = width === 8 ? highOf(outer) : 0;
    returnWithStack(cpu, target);
  }
  cpu.modeChanged();
}
