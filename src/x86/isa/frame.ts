import type { Instruction } from '../decode/instruction.ts';
import { GPR, SEG } from '../state/layout.ts';
import { GuestException, VECTOR } from '../system/exception.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { type Definition, instruction } from './definition.ts';

/** Runs accesses to the stack: what is not canonical there raises #SS. */
function onStack<T>(access: () => T): T {
  try {
    return access();
  } catch (error) {
    if (error instanceof GuestException && error.vector === VECTOR.GP) throw new GuestException(VECTOR.SS, 0);
    throw error;
  }
}

/** Linear address of an offset in the stack segment. */
function stackLinear(cpu: SystemCpu, insn: Instruction, offset: bigint): bigint {
  const wrapped = BigInt.asUintN(insn.mode.stackBits, offset);
  return insn.mode.bits === 64 ? wrapped : BigInt.asUintN(32, wrapped + cpu.state.segBase(SEG.SS));
}

/** The stack-pointer part of a register with a new value. */
function withStackWidth(insn: Instruction, old: bigint, value: bigint): bigint {
  const part = BigInt.asUintN(insn.mode.stackBits, value);
  return insn.mode.stackBits === 16 ? (old & ~0xffffn) | part : part;
}

/** POP to memory: the address is computed after RSP has moved. @spec SDM-2B "POP" */
function popMemory(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  const bytes = insn.operandSize / 8;
  const old = state.rsp;
  const value = onStack(() => cpu.read(stackLinear(cpu, insn, old), bytes));
  state.rsp = withStackWidth(insn, old, old + BigInt(bytes));
  try {
    cpu.write(cpu.address(insn), bytes, value);
  } catch (error) {
    state.rsp = old;
    throw error;
  }
}

/** @spec SDM-2A "ENTER" */
function enter(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  const bytes = BigInt(insn.operandSize / 8);
  const width = Number(bytes);
  const level = insn.immediate2 & 31;
  let sp = state.rsp;
  let bp = state.gpr(GPR.RBP);
  const push = (value: bigint): void => {
    sp -= bytes;
    cpu.write(stackLinear(cpu, insn, sp), width, BigInt.asUintN(insn.operandSize, value));
  };
  push(bp);
  const frame = sp;
  for (let i = 1; i < level; i++) {
    bp -= bytes;
    push(cpu.read(stackLinear(cpu, insn, bp), width));
  }
  if (level > 0) push(frame);
  sp -= BigInt.asUintN(16, insn.immediate);
  // The new top of the stack must be writable.
  cpu.mmu.probe(
    Number(BigInt.asIntN(32, stackLinear(cpu, insn, sp))),
    Number(BigInt.asIntN(32, stackLinear(cpu, insn, sp) >> 32n)),
    1,
    cpu.mmu.privilege() | 1,
  );
  const old = state.gpr(GPR.RBP);
  const framePart = BigInt.asUintN(insn.operandSize, frame);
  state.setGpr(GPR.RBP, insn.operandSize === 16 ? (old & ~0xffffn) | framePart : framePart);
  state.rsp = withStackWidth(insn, state.rsp, sp);
}

/** PUSHA: all eight, SP as it was. */
function pusha(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  const width = insn.operandSize / 8;
  let sp = state.rsp;
  for (let i = 0; i < 8; i++) {
    sp -= BigInt(width);
    cpu.write(stackLinear(cpu, insn, sp), width, BigInt.asUintN(insn.operandSize, state.gpr(i)));
  }
  state.rsp = withStackWidth(insn, state.rsp, sp);
}

function popa(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  const width = insn.operandSize / 8;
  const values: bigint[] = [];
  for (let i = 0; i < 8; i++) values.push(cpu.read(stackLinear(cpu, insn, state.rsp + BigInt(i * width)), width));
  const sp = state.rsp + BigInt(8 * width);
  values.forEach((value, i) => {
    const index = 7 - i;
    if (index === GPR.RSP) return;
    const old = state.gpr(index);
    state.setGpr(index, insn.operandSize === 16 ? (old & ~0xffffn) | value : value);
  });
  state.rsp = withStackWidth(insn, state.rsp, sp);
}

/** @spec SDM-2A "BOUND" */
function bound(cpu: SystemCpu, insn: Instruction): void {
  const bits = insn.operandSize;
  const at = cpu.address(insn);
  const lower = BigInt.asIntN(bits, cpu.read(at, bits / 8));
  const upper = BigInt.asIntN(bits, cpu.read(at + BigInt(bits / 8), bits / 8));
  const index = BigInt.asIntN(bits, cpu.state.gpr(insn.reg));
  if (index < lower || index > upper) throw new GuestException(VECTOR.BR);
}

export const FRAME: readonly Definition[] = [
  instruction({ name: 'POP', opcode: '8F /0 mem', operands: ['Ev'], default64: true, stack: true, system: popMemory }),
  instruction({ name: 'ENTER', opcode: 'C8', operands: ['Iw', 'Ib'], default64: true, stack: true, system: (cpu, insn) => onStack(() => enter(cpu, insn)) }),
  instruction({ name: 'PUSHA', opcode: '60', mode: 'legacy', stack: true, system: pusha }),
  instruction({ name: 'POPA', opcode: '61', mode: 'legacy', stack: true, system: popa }),
  instruction({ name: 'BOUND', opcode: '62 mem', operands: ['Gv', 'Ev'], mode: 'legacy', system: bound }),
];
