import type { Instruction } from '../decode/instruction.ts';
import type { CpuState } from '../state/state.ts';
import { ud } from './exception.ts';
import type { SystemCpu } from './system-cpu.ts';

/** ModRM.rm as a general register or memory, zero-extended. */
export function readRm(cpu: SystemCpu, insn: Instruction, bytes: 1 | 2 | 4 | 8): bigint {
  if (insn.memory !== undefined) return cpu.read(cpu.address(insn), bytes);
  return BigInt.asUintN(bytes * 8, cpu.state.gpr(insn.rm));
}

/** Writes ModRM.rm. To a register, 32 bits clear the upper half and 16 bits leave the rest. */
export function writeRm(cpu: SystemCpu, insn: Instruction, bytes: 2 | 4 | 8, value: bigint): void {
  if (insn.memory !== undefined) cpu.write(cpu.address(insn), bytes, value);
  else writeGpr(cpu.state, insn.rm, bytes, value);
}

export function writeGpr(state: CpuState, index: number, bytes: 2 | 4 | 8, value: bigint): void {
  if (bytes === 2) state.setGpr(index, (state.gpr(index) & ~0xffffn) | (value & 0xffffn));
  else state.setGpr(index, BigInt.asUintN(bytes * 8, value));
}

/** Sets a register from two 32-bit halves. */
export function writeHalves(state: CpuState, index: number, low: number, high: number): void {
  state.set32(index * 8, low);
  state.set32(index * 8 + 4, high);
}

export function bytesOf(insn: Instruction): 2 | 4 | 8 {
  return (insn.operandSize / 8) as 2 | 4 | 8;
}

/** The memory operand's address, for forms that have no register form. */
export function memoryAddress(cpu: SystemCpu, insn: Instruction): bigint {
  if (insn.memory === undefined) throw ud();
  return cpu.address(insn);
}
