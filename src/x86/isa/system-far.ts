import type { Instruction } from '../decode/instruction.ts';
import { callFar, type FarPointer, jumpFar } from '../system/far.ts';
import { memoryAddress } from '../system/operands.ts';
import { retFar } from '../system/returns.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { type Definition, instruction } from './definition.ts';

/** The far pointer in the instruction itself. */
function immediatePointer(insn: Instruction): FarPointer {
  return {
    selector: insn.immediate2,
    offset: BigInt.asUintN(insn.operandSize, insn.immediate),
    width: insn.operandSize / 8,
  };
}

/** The far pointer in memory: offset, then selector. */
function memoryPointer(cpu: SystemCpu, insn: Instruction): FarPointer {
  const at = memoryAddress(cpu, insn);
  const width = insn.operandSize / 8;
  const offset = cpu.read(at, width);
  return { selector: Number(cpu.read(at + BigInt(width), 2)), offset, width };
}

/** Far transfers of control. @spec SDM-3A §5.8 */
export const FAR: readonly Definition[] = [
  instruction({
    name: 'JMP far',
    opcode: 'EA',
    operands: ['Ap'],
    mode: 'legacy',
    ends: true,
    system: (cpu, insn) => jumpFar(cpu, immediatePointer(insn)),
  }),
  instruction({
    name: 'CALL far',
    opcode: '9A',
    operands: ['Ap'],
    mode: 'legacy',
    ends: true,
    system: (cpu, insn) => callFar(cpu, immediatePointer(insn)),
  }),
  instruction({
    name: 'JMP far',
    opcode: 'FF /5 mem',
    ends: true,
    system: (cpu, insn) => jumpFar(cpu, memoryPointer(cpu, insn)),
  }),
  instruction({
    name: 'CALL far',
    opcode: 'FF /3 mem',
    ends: true,
    system: (cpu, insn) => callFar(cpu, memoryPointer(cpu, insn)),
  }),
  instruction({ name: 'RET far', opcode: 'CB', ends: true, system: (cpu, insn) => retFar(cpu, insn, 0) }),
  instruction({
    name: 'RET far',
    opcode: 'CA',
    operands: ['Iw'],
    ends: true,
    system: (cpu, insn) => retFar(cpu, insn, Number(insn.immediate & 0xffffn)),
  }),
];
