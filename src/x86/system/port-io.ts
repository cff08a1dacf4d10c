import type { Instruction } from '../decode/instruction.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { FLAG } from '../state/state.ts';
import { notePort } from './debug.ts';
import { GuestException, gp, VECTOR } from './exception.ts';
import { writeGpr } from './operands.ts';
import { ATTR, is64, isProtected, readTable, TYPE } from './segments.ts';
import { withinLimit } from './stack.ts';
import type { SystemCpu } from './system-cpu.ts';
import { isV86 } from './v86.ts';

type PortBytes = 1 | 2 | 4;

/** Iterations of REP INS/OUTS in one go; the instruction restarts for the rest, so that interrupts get in. */
const REPEATS_MAX = 1024;

/** IN AL/eAX, imm8 or DX. @spec SDM-2A "IN" */
export function inPort(cpu: SystemCpu, insn: Instruction): void {
  const bytes = portBytes(insn);
  const port = portOf(cpu, insn);
  checkPort(cpu, port, bytes);
  const value = cpu.io.portRead(port, bytes) >>> 0;
  notePort(cpu.state, port, bytes);
  if (bytes === 1) cpu.state.bytes[S.gpr + GPR.RAX * 8] = value;
  else writeGpr(cpu.state, GPR.RAX, bytes, BigInt(value));
}

/** @spec SDM-2B "OUT" */
export function outPort(cpu: SystemCpu, insn: Instruction): void {
  const bytes = portBytes(insn);
  const port = portOf(cpu, insn);
  checkPort(cpu, port, bytes);
  cpu.io.portWrite(port, bytes, truncate(cpu.state.get32(S.gpr + GPR.RAX * 8), bytes));
  notePort(cpu.state, port, bytes);
}

/** E4-E7 have an immediate, EC-EF use DX; the low bit tells a byte from the operand size. */
function portOf({ state }: SystemCpu, insn: Instruction): number {
  return (insn.opcode & 8) !== 0 ? state.get32(S.gpr + GPR.RDX * 8) & 0xffff : Number(insn.immediate & 0xffn);
}

function portBytes(insn: Instruction): PortBytes {
  if ((insn.opcode & 1) === 0) return 1;
  return insn.operandSize === 16 ? 2 : 4;
}

function truncate(value: number, bytes: PortBytes): number {
  return bytes === 4 ? value >>> 0 : value & (bytes === 2 ? 0xffff : 0xff);
}

/** Above IOPL, and always in virtual-8086 mode, the TSS's I/O permission bitmap decides. @spec SDM-1 §19.5.2 */
export function checkPort(cpu: SystemCpu, port: number, bytes: PortBytes): void {
  const { state } = cpu;
  const iopl = (state.get32(S.flags) >> 12) & 3;
  if (!isProtected(state) || (state.cpl <= iopl && !isV86(state))) return;
  const type = state.attributes(SEG.TR) & 0x1f;
  const limit = state.limit(SEG.TR);
  if ((type & ~2) !== TYPE.tss32 || limit < 103) throw gp(0);
  const map = readTable(cpu, S.trBase, 100) >>> 16;
  const at = map + (port >> 3);
  // Two bytes are always read: a port's bits may cross a byte.
  if (at + 1 > limit) throw gp(0);
  const word =
    (Number(cpu.readSystem(state.get64(S.trBase) + BigInt(at), 1)) | (Number(cpu.readSystem(state.get64(S.trBase) + BigInt(at + 1), 1)) << 8)) >> (port & 7);
  if ((word & ((1 << bytes) - 1)) !== 0) throw gp(0);
}

/** INS: port DX to ES:rDI. @spec SDM-2A "INS" */
export function inString(cpu: SystemCpu, insn: Instruction): void {
  const bytes = portBytes(insn);
  const port = cpu.state.get32(S.gpr + GPR.RDX * 8) & 0xffff;
  checkPort(cpu, port, bytes);
  repeat(cpu, insn, GPR.RDI, bytes, (offset) => {
    const at = linearOf(cpu, SEG.ES, offset, bytes);
    // The device must not be read when the store cannot follow.
    cpu.mmu.probe(Number(BigInt.asIntN(32, at)), Number(BigInt.asIntN(32, at >> 32n)), bytes, cpu.mmu.privilege() | 1);
    cpu.write(at, bytes, BigInt(cpu.io.portRead(port, bytes) >>> 0));
    notePort(cpu.state, port, bytes);
  });
}

/** OUTS: DS:rSI, or another segment, to port DX. @spec SDM-2B "OUTS" */
export function outString(cpu: SystemCpu, insn: Instruction): void {
  const bytes = portBytes(insn);
  const port = cpu.state.get32(S.gpr + GPR.RDX * 8) & 0xffff;
  checkPort(cpu, port, bytes);
  const segment = insn.segment >= 0 ? insn.segment : SEG.DS;
  repeat(cpu, insn, GPR.RSI, bytes, (offset) => {
    const value = cpu.read(linearOf(cpu, segment, offset, bytes), bytes);
    cpu.io.portWrite(port, bytes, Number(value));
    notePort(cpu.state, port, bytes);
  });
}

/** Registers are up to date after each iteration, so that a fault in the middle restarts in the middle. */
function repeat(cpu: SystemCpu, insn: Instruction, index: number, bytes: number, once: (offset: bigint) => void): void {
  const { state } = cpu;
  const step = BigInt((state.get32(S.flags) & FLAG.DF) !== 0 ? -bytes : bytes);
  for (let done = 0; ; done++) {
    if (insn.rep !== 0) {
      const count = BigInt.asUintN(insn.addressSize, state.gpr(GPR.RCX));
      if (count === 0n) return;
      // A breakpoint that an iteration met is reported before the next.
      if (done === REPEATS_MAX || (done !== 0 && state.get32(S.breaks) !== 0)) return restart(cpu, insn);
    } else if (done === 1) {
      return;
    }
    const offset = BigInt.asUintN(insn.addressSize, state.gpr(index));
    once(offset);
    setCounter(state, index, offset + step, insn.addressSize);
    if (insn.rep !== 0) setCounter(state, GPR.RCX, state.gpr(GPR.RCX) - 1n, insn.addressSize);
  }
}

function restart(cpu: SystemCpu, insn: Instruction): void {
  const width = insn.mode.bits;
  cpu.state.rip = BigInt.asUintN(width, cpu.state.rip - BigInt(insn.length));
  cpu.requestExit();
}

function setCounter(state: CpuState, index: number, value: bigint, addressSize: 16 | 32 | 64): void {
  writeGpr(state, index, (addressSize / 8) as 2 | 4 | 8, BigInt.asUintN(addressSize, value));
}

function linearOf({ state }: SystemCpu, segment: number, offset: bigint, bytes: number): bigint {
  if (is64(state)) return BigInt.asUintN(64, segment >= SEG.FS ? offset + state.segBase(segment) : offset);
  const attributes = state.attributes(segment);
  const usable = !isProtected(state) || (attributes & ATTR.P) !== 0;
  if (!usable || !withinLimit({ limit: state.limit(segment), attributes }, Number(offset), bytes)) {
    throw new GuestException(segment === SEG.SS ? VECTOR.SS : VECTOR.GP, 0);
  }
  return BigInt.asUintN(32, offset + state.segBase(segment));
}
