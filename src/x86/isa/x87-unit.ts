import type { Instruction } from '../decode/instruction.ts';
import { signExponentExt, unpackExt } from '../softfloat/encoding.ts';
import { FloatEnvironment } from '../softfloat/environment.ts';
import { Float, setDefaultNaN } from '../softfloat/float.ts';
import { EXCEPTION, EXT24, EXT53, EXT64, type Format } from '../softfloat/format.ts';
import { S, SEG } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { GuestException, VECTOR } from '../system/exception.ts';
import type { SystemCpu } from '../system/system-cpu.ts';

/**
 * What all x87 instructions share: the register stack, the status word, pending exceptions.
 *
 * An instruction runs in this order: begin() takes a pending exception and sets the environment; the memory operand is read;
 * the result is computed; unmasked invalid, denormal and zero-divide exceptions end it here, with no operand changed; memory is
 * written; registers, stack top and status word are. So everything that can fault comes before anything that shows.
 * One environment and a few Floats serve all vCPUs of a thread: nothing is allocated but significands.
 */

/** Bits of FSW above the exceptions. @spec SDM-1 §8.1.3 */
export const FSW = { SF: 0x40, ES: 0x80, C0: 0x100, C1: 0x200, C2: 0x400, C3: 0x4000, B: 0x8000 } as const;
export const CONDITION_CODES = FSW.C0 | FSW.C1 | FSW.C2 | FSW.C3;

/** Exceptions found before a result exists: unmasked, they leave every operand as it was. */
const BEFORE = EXCEPTION.IE | EXCEPTION.DE | EXCEPTION.ZE;
const CR0_NE = 0x20n;

export const env = new FloatEnvironment();
env.x87 = true;
export const operand = new Float();
export const st0 = new Float();
export const other = new Float();
export const result = new Float();

/** Starts an instruction that waits for the exceptions of those before it. */
export function begin(cpu: SystemCpu): CpuState {
  const state = cpu.state;
  waitForExceptions(state);
  const fcw = state.get32(S.fcw);
  env.rounding = (fcw >> 10) & 3;
  env.masks = fcw & EXCEPTION.all;
  env.flags = 0;
  env.roundedUp = false;
  return state;
}

/**
 * Raises #MF if an unmasked exception is pending. With CR0.NE clear a PC reports it through IRQ 13 instead, which no system of
 * the last decades uses: execution goes on. @spec SDM-1 §8.7
 */
export function waitForExceptions(state: CpuState): void {
  if ((state.get32(S.fsw) & FSW.ES) !== 0 && (state.get64(S.cr0) & CR0_NE) !== 0n) throw new GuestException(VECTOR.MF);
}

/**
 * Records where the last non-control instruction and its operand are. AMD processors save these in FXSAVE only while an
 * exception is pending; they are always kept here. Selectors are not kept, as on processors that report FCS and FDS deprecated.
 * @spec SDM-1 §8.1.8
 */
export function recordPointers(cpu: SystemCpu, insn: Instruction, linear?: bigint): void {
  const state = cpu.state;
  state.set32(S.fop, ((insn.opcode & 7) << 8) | (insn.mod << 6) | ((insn.reg & 7) << 3) | (insn.rm & 7));
  state.set64(S.fip, cpu.instructionRip - segmentBase(state, insn, SEG.CS));
  if (linear !== undefined) state.set64(S.fdp, linear - segmentBase(state, insn, insn.memory?.segment ?? SEG.DS));
}

function segmentBase(state: CpuState, insn: Instruction, segment: number): bigint {
  if (insn.mode.bits === 64 && segment < SEG.FS) return 0n;
  // Real mode keeps linear addresses: its environments have no room for selectors.
  return (state.get64(S.cr0) & 1n) === 0n ? 0n : state.segBase(segment);
}

/** Significand width that FCW.PC asks of add, subtract, multiply, divide and square root. */
export function precision(state: CpuState): Format {
  const control = (state.get32(S.fcw) >> 8) & 3;
  return control === 0 ? EXT24 : control === 2 ? EXT53 : EXT64;
}

/** Physical register of ST(i). */
export function physical(state: CpuState, i: number): number {
  return ((state.get32(S.fsw) >> 11) + i) & 7;
}

/** True if ST(i) holds nothing. */
export function isEmpty(state: CpuState, i: number): boolean {
  return ((state.get32(S.ftw) >> physical(state, i)) & 1) === 0;
}

/** Takes ST(i) apart, whether it is in use or not. */
export function readSt(state: CpuState, i: number, out: Float): void {
  const at = S.st + physical(state, i) * 16;
  unpackExt(state.get64(at), state.get32(at + 8), out);
}

/** Sets ST(i) and marks it as in use. */
export function writeSt(state: CpuState, i: number, value: Float): void {
  setStBits(state, i, value.sig, signExponentExt(value));
}

/** As writeSt, for bits that must stay as they are. */
export function setStBits(state: CpuState, i: number, sig: bigint, signExponent: number): void {
  const register = physical(state, i);
  const at = S.st + register * 16;
  state.set64(at, sig);
  state.set32(at + 8, signExponent);
  state.set32(S.ftw, state.get32(S.ftw) | (1 << register));
}

/** Marks ST(i) as empty. */
export function free(state: CpuState, i: number): void {
  state.set32(S.ftw, state.get32(S.ftw) & ~(1 << physical(state, i)));
}

/** Adds to TOP. */
export function rotate(state: CpuState, by: number): void {
  const fsw = state.get32(S.fsw);
  state.set32(S.fsw, (fsw & ~0x3800) | ((fsw + (by << 11)) & 0x3800));
}

/** Frees ST0 and lets ST1 take its place, `times` times. */
export function pop(state: CpuState, times = 1): void {
  for (let i = 0; i < times; i++) {
    free(state, 0);
    rotate(state, 1);
  }
}

/** Sets condition codes: those in `mask` become as in `codes`. */
export function setCodes(state: CpuState, mask: number, codes: number): void {
  state.set32(S.fsw, (state.get32(S.fsw) & ~mask) | codes);
}

/** Enters exceptions in the status word, and sets C1. */
export function raise(state: CpuState, flags: number, c1: boolean): void {
  state.set32(S.fsw, (state.get32(S.fsw) & ~FSW.C1) | flags | (c1 ? FSW.C1 : 0));
  summarize(state);
}

/** Recomputes ES and B from exceptions and masks. */
export function summarize(state: CpuState): void {
  const fsw = state.get32(S.fsw);
  const pending = (fsw & ~state.get32(S.fcw) & EXCEPTION.all) !== 0;
  state.set32(S.fsw, pending ? fsw | FSW.ES | FSW.B : fsw & ~(FSW.ES | FSW.B));
}

/**
 * Ends an instruction whose operands raised an unmasked exception.
 * @returns true if so; nothing else of it may happen then
 */
export function stopped(state: CpuState, c1 = false): boolean {
  const stopping = env.flags & BEFORE & ~env.masks;
  if (stopping === 0) return false;
  raise(state, env.flags & BEFORE, c1);
  return true;
}

/** Ends an instruction with a result for ST(i), then pops. */
export function deliver(state: CpuState, i: number, value: Float, pops: number): void {
  if (stopped(state)) return;
  writeSt(state, i, value);
  raise(state, env.flags, env.roundedUp);
  if (pops !== 0) pop(state, pops);
}

/** Stack underflow: a register that should hold a number is empty; ST(i) becomes the default NaN. @spec SDM-1 §8.5.1.1 */
export function underflow(state: CpuState, i: number, pops: number): void {
  env.flags = EXCEPTION.IE;
  env.roundedUp = false;
  setDefaultNaN(result);
  state.set32(S.fsw, state.get32(S.fsw) | FSW.SF);
  deliver(state, i, result, pops);
}

/**
 * Makes room for a push.
 * @returns false if the stack is full: the default NaN was pushed, or nothing if IE is unmasked
 */
export function canPush(state: CpuState): boolean {
  if (isEmpty(state, 7)) return true;
  raise(state, EXCEPTION.IE | FSW.SF, true);
  if ((env.masks & EXCEPTION.IE) !== 0) {
    rotate(state, -1);
    setDefaultNaN(result);
    writeSt(state, 0, result);
  }
  return false;
}

/** Pushes a value. There is room. */
export function push(state: CpuState, value: Float): void {
  rotate(state, -1);
  writeSt(state, 0, value);
}
