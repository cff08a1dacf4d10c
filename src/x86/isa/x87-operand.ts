import type { Instruction } from '../decode/instruction.ts';
import { fromBcd, fromInteger } from '../softfloat/convert.ts';
import { unpackExt, unpackF32, unpackF64 } from '../softfloat/encoding.ts';
import { ACCESS } from '../mmu/access.ts';
import { setZero } from '../softfloat/float.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { env, operand } from './x87-unit.ts';

/** Reads the memory operand of an instruction into `operand`. @returns its linear address */
export type Fetch = (cpu: SystemCpu, insn: Instruction) => bigint;

/** m32fp. */
export function fetchF32(cpu: SystemCpu, insn: Instruction): bigint {
  const at = cpu.address(insn);
  unpackF32(env, Number(cpu.read(at, 4)), operand);
  return at;
}

/** m64fp. */
export function fetchF64(cpu: SystemCpu, insn: Instruction): bigint {
  const at = cpu.address(insn);
  unpackF64(env, cpu.read(at, 8), operand);
  return at;
}

/** m16int, m32int, m64int. */
export function fetchInteger(bytes: 2 | 4 | 8): Fetch {
  return (cpu, insn) => {
    const at = cpu.address(insn);
    fromInteger(BigInt.asIntN(bytes * 8, cpu.read(at, bytes)), operand);
    return at;
  };
}

/**
 * Throws if memory may not be written: where the write comes in parts or, because of an unmasked exception, not at all.
 */
export function probeWrite(cpu: SystemCpu, at: bigint, bytes: number): void {
  const low = Number(BigInt.asIntN(32, at));
  const high = Number(BigInt.asIntN(32, at >> 32n));
  cpu.mmu.probe(low, high, bytes, ACCESS.write | cpu.mmu.privilege());
}

/** The part of an 80-bit operand above its first eight bytes. */
export function upperHalf(at: bigint, insn: Instruction): bigint {
  return BigInt.asUintN(insn.mode.bits === 64 ? 64 : 32, at + 8n);
}

/** m80bcd. */
export function fetchBcd(cpu: SystemCpu, insn: Instruction): bigint {
  const at = cpu.address(insn);
  const low = cpu.read(at, 8);
  const high = Number(cpu.read(upperHalf(at, insn), 2));
  fromBcd(low, high, operand);
  return at;
}

/** m80fp. */
export function fetchExt(cpu: SystemCpu, insn: Instruction): bigint {
  const at = cpu.address(insn);
  const low = cpu.read(at, 8);
  unpackExt(low, Number(cpu.read(upperHalf(at, insn), 2)), operand);
  return at;
}

/** No operand: FTST compares with this. */
export function fetchZero(): void {
  setZero(operand, 0);
}
