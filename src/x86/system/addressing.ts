import type { Instruction } from '../decode/instruction.ts';
import { operandBits, operandSpec } from '../decode/operands.ts';
import { SEG } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { ATTR, isProtected } from './segments.ts';
import { GuestException, VECTOR } from './exception.ts';
import { withinLimit } from './stack.ts';
import type { SystemCpu } from './system-cpu.ts';

/** Linear address of an instruction's memory operand. RIP must be at the next instruction. @spec SDM-1 §3.7.5 */
export function linearAddressOf(cpu: SystemCpu, insn: Instruction): bigint {
  const { state } = cpu;
  const offset = effectiveAddressOf(state, insn);
  if (insn.def.operands?.includes('M')) return offset; // LEA: no access, no segment
  const segment = insn.memory?.segment ?? (insn.segment >= 0 ? insn.segment : SEG.DS);
  if (insn.mode.bits === 64) return BigInt.asUintN(64, segment >= SEG.FS ? offset + state.segBase(segment) : offset);
  checkSegment(state, segment, Number(offset), accessBytes(insn));
  return BigInt.asUintN(32, offset + state.segBase(segment));
}

function effectiveAddressOf(state: CpuState, insn: Instruction): bigint {
  const { memory } = insn;
  if (memory === undefined) return BigInt.asUintN(insn.addressSize, insn.immediate);
  let sum = memory.displacement;
  if (memory.ripRelative) sum += state.rip;
  if (memory.base >= 0) sum += state.gpr(memory.base);
  if (memory.index >= 0) sum += state.gpr(memory.index) << BigInt(memory.scale);
  return BigInt.asUintN(insn.addressSize, sum);
}

const MEMORY_OPERANDS = 'EWQMO';

/** Bytes of the memory operand; one when the definition does not tell, as for structures. */
function accessBytes({ def, operandSize }: Instruction): number {
  const operand = def.operands?.find((text) => text.length > 1 && MEMORY_OPERANDS.includes(text[0]!));
  return operand === undefined ? 1 : Math.max(operandBits(operandSpec(operand), operandSize) / 8, 1);
}

/** Unusable segments and offsets beyond the limit. With the largest limit, accesses wrap. */
function checkSegment(state: CpuState, segment: number, offset: number, bytes: number): void {
  const attributes = state.attributes(segment);
  const usable = !isProtected(state) || (attributes & ATTR.P) !== 0;
  const limit = state.limit(segment);
  const width = limit === 0xffff_ffff ? 1 : bytes;
  if (usable && withinLimit({ limit, attributes }, offset, width)) return;
  throw new GuestException(segment === SEG.SS ? VECTOR.SS : VECTOR.GP, 0);
}
