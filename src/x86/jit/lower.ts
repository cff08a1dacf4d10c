import type { Instruction } from '../decode/instruction.ts';
import { operandBits, operandSpec } from '../decode/operands.ts';
import type { BlockInstruction } from '../interp/block-layout.ts';
import { hasOffset, shapeOf } from '../interp/variants.ts';
import type { Operand, Value } from '../ir/emitter.ts';
import { constantOperand } from '../interp/interp-emitter.ts';
import { S, SEG } from '../state/layout.ts';
import type { JitEmitter } from './jit-emitter.ts';

/** Whether an instruction can be compiled at all. */
export function isLowerable(insn: Instruction): boolean {
  return insn.def.semantics !== undefined && insn.mode.bits === 64;
}

/** Emits the semantics of one instruction. */
export function lower(b: JitEmitter, { insn, offset }: BlockInstruction): void {
  const { def } = insn;
  const shape = shapeOf(def);
  b.size = shape.sized ? insn.operandSize : def.force64 === true ? 64 : 32;
  b.lock = insn.lock;
  b.stackBits = 64;
  b.addressBits = def.string === true || def.addressSized === true ? insn.addressSize : 64;
  b.rep = def.string === true ? insn.rep : 0;
  b.mode64 = true;
  b.nextOffset = offset + insn.length;
  b.sourceSegment = insn.segment >= SEG.FS ? S.segBase + insn.segment * 8 : -1;
  def.semantics!(b, ...operandsOf(b, insn));
}

function operandsOf(b: JitEmitter, insn: Instruction): Operand[] {
  const operands: Operand[] = [];
  let immediates = 0;
  for (const text of insn.def.operands ?? []) {
    const spec = operandSpec(text);
    const bits = operandBits(spec, b.size);
    if (spec.where === 'I') {
      const wide = spec.signed ? b.size : bits;
      const value = immediates++ === 0 ? BigInt.asUintN(wide, insn.immediate) : BigInt(insn.immediate2 >>> 0);
      operands.push(constantOperand(wide, () => b.const(value)));
    } else if (spec.where === 'fixed') {
      if (spec.fixed >= 0) operands.push(b.gprOperand(spec.fixed, bits, false));
    } else if (spec.where !== 'J') operands.push(locatedOperand(b, insn, spec.where, bits));
  }
  return operands;
}

/** An operand that ModRM, VEX or the opcode says where to find. */
function locatedOperand(b: JitEmitter, insn: Instruction, where: string, bits: number): Operand {
  if (where === 'M' || where === 'O' || ('EWQ'.includes(where) && insn.memory !== undefined)) return memory(b, insn, bits);
  switch (where) {
    case 'E':
    case 'R':
      return gpr(b, insn, insn.rm, bits);
    case 'G':
      return gpr(b, insn, insn.reg, bits);
    case 'B':
      return b.gprOperand(insn.vvvv, bits, false);
    case 'Z':
      return gpr(b, insn, insn.opcodeReg, bits);
    case 'V':
      return b.xmmOperand(insn.reg, bits);
    case 'W':
    case 'U':
      return b.xmmOperand(insn.rm, bits);
    case 'P':
      return b.mmxOperand(insn.reg & 7, bits);
    case 'Q':
    case 'N':
      return b.mmxOperand(insn.rm & 7, bits);
    default:
      throw new Error(`Cannot lower ${insn.def.name}: an operand at ${where} has no meaning for generated code`);
  }
}

/** AH CH DH BH are the second bytes of the first four registers, unless a REX prefix is there. */
function gpr(b: JitEmitter, insn: Instruction, index: number, bits: number): Operand {
  const high = bits === 8 && insn.rex === 0 && index >= 4 && index < 8;
  return b.gprOperand(high ? index - 4 : index, bits, high);
}

function memory(b: JitEmitter, insn: Instruction, bits: number): Operand {
  const segment = insn.memory?.segment ?? insn.segment;
  const linear = (effective: Value): Value => (segment >= SEG.FS ? b.linear(segment, effective) : effective);
  return b.memoryOperand(bits, { effective: () => b.let(effectiveAddress(b, insn)), linear });
}

function effectiveAddress(b: JitEmitter, insn: Instruction): Value {
  const { memory, addressSize } = insn;
  if (memory === undefined) {
    if (!hasOffset(insn.def)) throw new Error(`Cannot lower ${insn.def.name}: no address`);
    return b.const(BigInt.asUintN(addressSize, insn.immediate));
  }
  let sum: Value = b.const(memory.displacement);
  if (memory.index >= 0) sum = b.add(b.shl(b.reg(memory.index, 64), b.const(memory.scale)), sum);
  if (memory.base >= 0) sum = b.add(b.reg(memory.base, 64), sum);
  if (memory.ripRelative) sum = b.add(b.pageRelative(b.nextOffset), sum);
  return addressSize === 32 ? b.zext(sum, 32) : sum;
}
