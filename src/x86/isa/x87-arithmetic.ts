import type { Instruction } from '../decode/instruction.ts';
import { add, type BinaryOperation, div, divReversed, mul, sqrt, sub, subReversed } from '../softfloat/arithmetic.ts';
import { roundToIntegral } from '../softfloat/convert.ts';
import { EXT64 } from '../softfloat/format.ts';
import { NO_QUOTIENT, PARTIAL, remainder } from '../softfloat/remainder.ts';
import { extract, scale } from '../softfloat/scale.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { type Definition, instruction } from './definition.ts';
import { type Fetch, fetchF32, fetchF64, fetchInteger } from './x87-operand.ts';
import {
  begin,
  canPush,
  deliver,
  env,
  FSW,
  isEmpty,
  operand,
  other,
  precision,
  push,
  raise,
  readSt,
  recordPointers,
  result,
  setCodes,
  st0,
  stopped,
  underflow,
  writeSt,
} from './x87-unit.ts';

/** The operation of ST0 with a source, by the ModRM extension that names it; 2 and 3 are comparisons. */
const OPERATIONS: readonly { ext: number; name: string; apply: BinaryOperation }[] = [
  { ext: 0, name: 'ADD', apply: add },
  { ext: 1, name: 'MUL', apply: mul },
  { ext: 4, name: 'SUB', apply: sub },
  { ext: 5, name: 'SUBR', apply: subReversed },
  { ext: 6, name: 'DIV', apply: div },
  { ext: 7, name: 'DIVR', apply: divReversed },
];

/** DC and DE name the operation from the destination's side, so that the names of /4 and /5, /6 and /7 are exchanged. */
const SWAPPED: Readonly<Record<string, string>> = { SUB: 'SUBR', SUBR: 'SUB', DIV: 'DIVR', DIVR: 'DIV' };

const fetchI32 = fetchInteger(4);
const fetchI16 = fetchInteger(2);

/** FADD, FMUL, FSUB, FDIV in all their forms. @spec SDM-2A "FADD/FADDP/FIADD" */
export const X87_BASIC: readonly Definition[] = OPERATIONS.flatMap(({ ext, name, apply }) => [
  memoryForm(`F${name}`, `D8 /${ext} mem`, apply, fetchF32),
  memoryForm(`FI${name}`, `DA /${ext} mem`, apply, fetchI32),
  memoryForm(`F${name}`, `DC /${ext} mem`, apply, fetchF64),
  memoryForm(`FI${name}`, `DE /${ext} mem`, apply, fetchI16),
  registerForm(`F${name}`, `D8 /${ext} reg`, apply, false, 0),
  registerForm(`F${SWAPPED[name] ?? name}`, `DC /${ext} reg`, apply, true, 0),
  registerForm(`F${SWAPPED[name] ?? name}P`, `DE /${ext} reg`, apply, true, 1),
]);

function memoryForm(name: string, opcode: string, apply: BinaryOperation, fetch: Fetch): Definition {
  const system = (cpu: SystemCpu, insn: Instruction): void => {
    const state = begin(cpu);
    recordPointers(cpu, insn, fetch(cpu, insn));
    if (isEmpty(state, 0)) {
      underflow(state, 0, 0);
      return;
    }
    readSt(state, 0, st0);
    apply(env, precision(state), st0, operand, result);
    deliver(state, 0, result, 0);
  };
  return instruction({ name, opcode, unit: 'x87', system });
}

function registerForm(name: string, opcode: string, apply: BinaryOperation, toOther: boolean, pops: number): Definition {
  const system = (cpu: SystemCpu, insn: Instruction): void => {
    const state = begin(cpu);
    recordPointers(cpu, insn);
    const i = insn.rm & 7;
    const destination = toOther ? i : 0;
    if (isEmpty(state, 0) || isEmpty(state, i)) {
      underflow(state, destination, pops);
      return;
    }
    readSt(state, 0, st0);
    readSt(state, i, other);
    apply(env, precision(state), st0, other, result);
    deliver(state, destination, result, pops);
  };
  return instruction({ name, opcode, unit: 'x87', system });
}

/** FSQRT. */
export function fsqrt(cpu: SystemCpu): void {
  const state = cpu.state;
  if (isEmpty(state, 0)) {
    underflow(state, 0, 0);
    return;
  }
  readSt(state, 0, st0);
  sqrt(env, precision(state), st0, result);
  deliver(state, 0, result, 0);
}

/** FRNDINT. */
export function frndint(cpu: SystemCpu): void {
  const state = cpu.state;
  if (isEmpty(state, 0)) {
    underflow(state, 0, 0);
    return;
  }
  readSt(state, 0, st0);
  roundToIntegral(env, st0, env.rounding, result, true);
  deliver(state, 0, result, 0);
}

/** FSCALE. */
export function fscale(cpu: SystemCpu): void {
  const state = cpu.state;
  if (isEmpty(state, 0) || isEmpty(state, 1)) {
    underflow(state, 0, 0);
    return;
  }
  readSt(state, 0, st0);
  readSt(state, 1, other);
  scale(env, EXT64, st0, other, result);
  deliver(state, 0, result, 0);
}

/** FPREM and FPREM1. The quotient's bits 2, 1, 0 appear in C0, C3, C1. */
export function fprem(cpu: SystemCpu, nearest: boolean): void {
  const state = cpu.state;
  setCodes(state, FSW.C2, 0);
  if (isEmpty(state, 0) || isEmpty(state, 1)) {
    underflow(state, 0, 0);
    return;
  }
  readSt(state, 0, st0);
  readSt(state, 1, other);
  const quotient = remainder(env, st0, other, nearest, result);
  if (stopped(state)) return;
  writeSt(state, 0, result);
  raise(state, env.flags, false);
  if (quotient === NO_QUOTIENT) return;
  const codes = quotient === PARTIAL ? FSW.C2 : (quotient & 4 ? FSW.C0 : 0) | (quotient & 2 ? FSW.C3 : 0) | (quotient & 1 ? FSW.C1 : 0);
  setCodes(state, FSW.C0 | FSW.C1 | FSW.C2 | FSW.C3, codes);
}

/** FXTRACT: exponent in ST1, significand in ST0. */
export function fxtract(cpu: SystemCpu): void {
  const state = cpu.state;
  if (isEmpty(state, 0)) {
    underflow(state, 0, 0);
    if ((env.masks & 1) !== 0) push(state, result);
    return;
  }
  if (!isEmpty(state, 7)) {
    if (canPush(state)) return;
    if ((env.masks & 1) !== 0) writeSt(state, 1, result);
    return;
  }
  readSt(state, 0, st0);
  extract(env, st0, result, other);
  if (stopped(state)) return;
  writeSt(state, 0, result);
  push(state, other);
  raise(state, env.flags, false);
}
