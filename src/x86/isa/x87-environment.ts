import type { Instruction } from '../decode/instruction.ts';
import { S } from '../state/layout.ts';
import { type CpuState, FLAG } from '../state/state.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { bitsOf } from './x87-load.ts';
import { probeWrite } from './x87-operand.ts';
import { begin, physical, setStBits, summarize } from './x87-unit.ts';

const CR0_PE = 1n;
const ALL_MASKED = 0x3f;
const REGISTER_BYTES = 10n;

/** The fields of an environment, as the status and control instructions see them. FTW has two bits per register. */
interface Environment {
  fcw: number;
  fsw: number;
  ftw: number;
  fip: bigint;
  fop: number;
  fdp: bigint;
}

/** Sets FCW as the processor keeps it: bit 6 is always set, reserved bits never are. */
export function setControl(state: CpuState, fcw: number): void {
  state.set32(S.fcw, (fcw & 0x1f3f) | 0x40);
  summarize(state);
}

/** What FNINIT does; the registers keep their bits. @spec SDM-2A "FINIT/FNINIT" */
export function initialize(state: CpuState): void {
  state.set32(S.fcw, 0x37f);
  state.set32(S.fsw, 0);
  state.set32(S.ftw, 0);
  state.set32(S.fop, 0);
  state.set64(S.fip, 0n);
  state.set64(S.fdp, 0n);
}

/** FNSTENV. @spec SDM-1 §8.1.10 */
export function storeEnvironment(cpu: SystemCpu, insn: Instruction): void {
  const at = cpu.address(insn);
  probeWrite(cpu, at, sizeOf(insn));
  writeEnvironment(cpu, insn, at);
  setControl(cpu.state, cpu.state.get32(S.fcw) | ALL_MASKED);
}

/** FLDENV. */
export function loadEnvironment(cpu: SystemCpu, insn: Instruction): void {
  const state = begin(cpu);
  apply(state, readEnvironment(cpu, insn, cpu.address(insn)));
}

/** FNSAVE: the environment and the registers, ST0 first; then the unit is as FNINIT leaves it. */
export function save(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  let at = cpu.address(insn);
  probeWrite(cpu, at, sizeOf(insn) + 80);
  checkAlignment(cpu, insn, at);
  writeEnvironment(cpu, insn, at);
  at = within(insn, at + BigInt(sizeOf(insn)));
  for (let i = 0; i < 8; i++) {
    const { low, high } = bitsOf(state, i);
    const bits = (BigInt(high) << 64n) | low;
    for (let j = 0; j < 10; j += 2) cpu.write(within(insn, at + BigInt(j)), 2, (bits >> BigInt(j * 8)) & 0xffffn);
    at = within(insn, at + REGISTER_BYTES);
  }
  initialize(state);
}

/** FRSTOR. */
export function restore(cpu: SystemCpu, insn: Instruction): void {
  const state = begin(cpu);
  let at = cpu.address(insn);
  checkAlignment(cpu, insn, at);
  const environment = readEnvironment(cpu, insn, at);
  at = within(insn, at + BigInt(sizeOf(insn)));
  const registers: { low: bigint; high: number }[] = [];
  for (let i = 0; i < 8; i++) {
    let bits = 0n;
    for (let j = 0; j < 10; j += 2) bits |= cpu.read(within(insn, at + BigInt(j)), 2) << BigInt(j * 8);
    registers.push({ low: BigInt.asUintN(64, bits), high: Number(bits >> 64n) });
    at = within(insn, at + REGISTER_BYTES);
  }
  apply(state, environment);
  const inUse = state.get32(S.ftw);
  registers.forEach(({ low, high }, i) => {
    setStBits(state, i, low, high);
  });
  state.set32(S.ftw, inUse);
}

/** The structure consists of words of the operand size, and is aligned like them; a register of it is not. @spec SDM-3A §6.15 table 6-7 */
function checkAlignment(cpu: SystemCpu, insn: Instruction, at: bigint): void {
  cpu.mmu.requireAligned(Number(at & 3n), insn.operandSize === 16 ? 2 : 4);
}

function apply(state: CpuState, environment: Environment): void {
  state.set32(S.fsw, environment.fsw);
  setControl(state, environment.fcw);
  let inUse = 0;
  for (let r = 0; r < 8; r++) if (((environment.ftw >> (2 * r)) & 3) !== 3) inUse |= 1 << r;
  state.set32(S.ftw, inUse);
  state.set32(S.fop, environment.fop);
  state.set64(S.fip, environment.fip);
  state.set64(S.fdp, environment.fdp);
}

/** The tag word with two bits per register: valid, zero, special, empty. @spec SDM-1 §8.1.7 */
export function fullTags(state: CpuState): number {
  let tags = 0;
  for (let i = 0; i < 8; i++) {
    const register = physical(state, i);
    tags |= tagOf(state, i, register) << (2 * register);
  }
  return tags;
}

function tagOf(state: CpuState, i: number, register: number): number {
  if (((state.get32(S.ftw) >> register) & 1) === 0) return 3;
  const { low, high } = bitsOf(state, i);
  const exponent = high & 0x7fff;
  if (exponent === 0 && low === 0n) return 1;
  return exponent === 0 || exponent === 0x7fff || low >> 63n === 0n ? 2 : 0;
}

function writeEnvironment(cpu: SystemCpu, insn: Instruction, at: bigint): void {
  const { state } = cpu;
  const environment = {
    fcw: state.get32(S.fcw),
    fsw: state.get32(S.fsw),
    ftw: fullTags(state),
    fip: state.get64(S.fip),
    fop: state.get32(S.fop),
    fdp: state.get64(S.fdp),
  };
  const wide = insn.operandSize !== 16;
  const words = encode(environment, wide, isReal(state));
  const bytes = wide ? 4 : 2;
  words.forEach((word, i) => {
    cpu.write(within(insn, at + BigInt(i * bytes)), bytes, BigInt.asUintN(bytes * 8, word));
  });
}

/** The upper half of a 32-bit slot that holds 16 bits reads as ones. */
const ONES = 0xffff_0000n;

function encode({ fcw, fsw, ftw, fip, fop, fdp }: Environment, wide: boolean, real: boolean): bigint[] {
  const status = [fcw, fsw, ftw].map((word) => (wide ? ONES : 0n) | BigInt(word & 0xffff));
  const high = (pointer: bigint): bigint => ((pointer >> 16n) & (wide ? 0xffffn : 0xfn)) << 12n;
  const opcode = BigInt(fop & 0x7ff);
  if (!real) return [...status, fip, wide ? opcode << 16n : 0n, fdp, wide ? ONES : 0n];
  const low = (pointer: bigint): bigint => (wide ? ONES : 0n) | (pointer & 0xffffn);
  return [...status, low(fip), high(fip) | opcode, low(fdp), high(fdp)];
}

function readEnvironment(cpu: SystemCpu, insn: Instruction, at: bigint): Environment {
  const wide = insn.operandSize !== 16;
  const bytes = wide ? 4 : 2;
  const word = (i: number): bigint => cpu.read(within(insn, at + BigInt(i * bytes)), bytes);
  const words = [word(0), word(1), word(2), word(3), word(4), word(5), word(6)] as const;
  const status = {
    fcw: Number(words[0] & 0xffffn),
    fsw: Number(words[1] & 0xffffn),
    ftw: Number(words[2] & 0xffffn),
  };
  if (!isReal(cpu.state)) {
    return { ...status, fip: words[3], fop: wide ? Number((words[4] >> 16n) & 0x7ffn) : 0, fdp: words[5] };
  }
  const pointer = (low: bigint, high: bigint): bigint => (low & 0xffffn) | (((high >> 12n) & (wide ? 0xffffn : 0xfn)) << 16n);
  return {
    ...status,
    fip: pointer(words[3], words[4]),
    fop: Number(words[4] & 0x7ffn),
    fdp: pointer(words[5], words[6]),
  };
}

function sizeOf(insn: Instruction): number {
  return insn.operandSize === 16 ? 14 : 28;
}

/** Linear addresses wrap at 4 GiB outside of 64-bit mode. */
function within(insn: Instruction, linear: bigint): bigint {
  return BigInt.asUintN(insn.mode.bits === 64 ? 64 : 32, linear);
}

/** Real and virtual-8086 mode have their own layouts. */
function isReal(state: CpuState): boolean {
  return (state.get64(S.cr0) & CR0_PE) === 0n || (state.get32(S.flags) & FLAG.VM) !== 0;
}
