import type { Instruction } from '../decode/instruction.ts';
import { compare, UNORDERED } from '../softfloat/arithmetic.ts';
import { EXCEPTION } from '../softfloat/format.ts';
import { KIND } from '../softfloat/float.ts';
import { S } from '../state/layout.ts';
import { ARITHMETIC_FLAGS, type CpuState, FLAG } from '../state/state.ts';
import { ud } from '../system/exception.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { type Definition, instruction } from './definition.ts';
import { type Fetch, fetchF32, fetchF64, fetchInteger, fetchZero } from './x87-operand.ts';
import { begin, CONDITION_CODES, env, FSW, isEmpty, operand, pop, raise, readSt, recordPointers, setCodes, st0, stopped } from './x87-unit.ts';

const MEMORY: readonly { byte: string; name: string; fetch: Fetch }[] = [
  { byte: 'D8', name: 'FCOM', fetch: fetchF32 },
  { byte: 'DA', name: 'FICOM', fetch: fetchInteger(4) },
  { byte: 'DC', name: 'FCOM', fetch: fetchF64 },
  { byte: 'DE', name: 'FICOM', fetch: fetchInteger(2) },
];

/** Comparisons that set condition codes or RFLAGS. @spec SDM-2A "FCOM/FCOMP/FCOMPP" */
export const X87_COMPARE: readonly Definition[] = [
  ...MEMORY.flatMap(({ byte, name, fetch }) => [memoryForm(name, `${byte} /2 mem`, fetch, 0), memoryForm(`${name}P`, `${byte} /3 mem`, fetch, 1)]),
  // DC D0+i, DC D8+i and DE D0+i are undocumented doubles of FCOM and FCOMP.
  ...['D8', 'DC'].flatMap((byte) => [registerForm('FCOM', `${byte} /2 reg`, false, 0), registerForm('FCOMP', `${byte} /3 reg`, false, 1)]),
  registerForm('FCOMP', 'DE /2 reg', false, 1),
  registerForm('FCOMPP', 'DE /3 reg', false, 2, 1),
  registerForm('FUCOM', 'DD /4 reg', true, 0),
  registerForm('FUCOMP', 'DD /5 reg', true, 1),
  registerForm('FUCOMPP', 'DA /5 reg', true, 2, 1),
  flagsForm('FUCOMI', 'DB /5 reg', true, 0),
  flagsForm('FCOMI', 'DB /6 reg', false, 0),
  flagsForm('FUCOMIP', 'DF /5 reg', true, 1),
  flagsForm('FCOMIP', 'DF /6 reg', false, 1),
];

function memoryForm(name: string, opcode: string, fetch: Fetch, pops: number): Definition {
  const system = (cpu: SystemCpu, insn: Instruction): void => {
    const state = begin(cpu);
    recordPointers(cpu, insn, fetch(cpu, insn));
    finish(state, relation(state, -1, false), pops);
  };
  return instruction({ name, opcode, unit: 'x87', system });
}

/** @param only the one register number the encoding allows */
function registerForm(name: string, opcode: string, quiet: boolean, pops: number, only = -1): Definition {
  const system = (cpu: SystemCpu, insn: Instruction): void => {
    const i = insn.rm & 7;
    if (only >= 0 && i !== only) throw ud();
    const state = begin(cpu);
    recordPointers(cpu, insn);
    finish(state, relation(state, i, quiet), pops);
  };
  return instruction({ name, opcode, unit: 'x87', system });
}

function flagsForm(name: string, opcode: string, quiet: boolean, pops: number): Definition {
  const system = (cpu: SystemCpu, insn: Instruction): void => {
    const state = begin(cpu);
    recordPointers(cpu, insn);
    const order = relation(state, insn.rm & 7, quiet);
    const flags = [FLAG.CF, FLAG.ZF, 0, FLAG.ZF | FLAG.PF | FLAG.CF][order === UNORDERED ? 3 : order + 1]!;
    state.setRflags((state.rflags() & ~ARITHMETIC_FLAGS) | flags);
    const c1 = (state.get32(S.fsw) & FSW.C1) !== 0;
    if (stopped(state, c1)) return;
    raise(state, env.flags, c1);
    pop(state, pops);
  };
  return instruction({ name, opcode, unit: 'x87', system });
}

/** FTST. */
export function ftst(cpu: SystemCpu): void {
  fetchZero();
  finish(cpu.state, relation(cpu.state, -1, false), 0);
}

/** Compares ST0 with ST(i), or with `operand` if i is negative. */
function relation(state: CpuState, i: number, quiet: boolean): number {
  if (isEmpty(state, 0) || (i >= 0 && isEmpty(state, i))) {
    env.flags = EXCEPTION.IE;
    setCodes(state, FSW.C1, FSW.SF);
    return UNORDERED;
  }
  readSt(state, 0, st0);
  if (i >= 0) readSt(state, i, operand);
  return compare(env, st0, operand, quiet);
}

/** The condition codes tell the relation even if an unmasked exception keeps the operands on the stack. */
function finish(state: CpuState, order: number, pops: number): void {
  const codes = order === UNORDERED ? FSW.C0 | FSW.C2 | FSW.C3 : order < 0 ? FSW.C0 : order === 0 ? FSW.C3 : 0;
  setCodes(state, CONDITION_CODES, codes);
  if (stopped(state)) return;
  raise(state, env.flags, false);
  pop(state, pops);
}

/** FXAM: what ST0 is, and its sign in C1; an empty register has a sign too. @spec SDM-2A "FXAM" */
export function fxam(cpu: SystemCpu): void {
  const state = cpu.state;
  readSt(state, 0, st0);
  setCodes(state, CONDITION_CODES, classOf(state) | (st0.sign === 1 ? FSW.C1 : 0));
}

function classOf(state: CpuState): number {
  if (isEmpty(state, 0)) return FSW.C3 | FSW.C0;
  if (st0.kind === KIND.unsupported) return 0;
  if (st0.kind === KIND.zero) return FSW.C3;
  if (st0.kind === KIND.infinity) return FSW.C2 | FSW.C0;
  if (st0.kind !== KIND.finite) return FSW.C0;
  return st0.denormal ? FSW.C3 | FSW.C2 : FSW.C2;
}
