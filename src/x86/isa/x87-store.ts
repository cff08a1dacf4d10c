import type { Instruction } from '../decode/instruction.ts';
import { type Bcd, convert, toBcd, toInteger } from '../softfloat/convert.ts';
import { packF32, packF64 } from '../softfloat/encoding.ts';
import { setDefaultNaN } from '../softfloat/float.ts';
import { EXCEPTION, F32, F64, ROUND } from '../softfloat/format.ts';
import type { CpuState } from '../state/state.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { type Definition, instruction } from './definition.ts';
import { bitsOf } from './x87-load.ts';
import { probeWrite, upperHalf } from './x87-operand.ts';
import { begin, env, FSW, isEmpty, pop, raise, readSt, recordPointers, result, setCodes, st0 } from './x87-unit.ts';

/** What goes to memory: up to eight bytes, or eight and two more. */
const stored: Bcd = { low: 0n, high: 0 };

/** Computes `stored` from st0. */
type Encode = () => void;

/** Stores to memory. @spec SDM-2A "FST/FSTP", "FIST/FISTP", "FISTTP", "FBSTP" */
export const X87_STORE: readonly Definition[] = [
  store('FST', 'D9 /2 mem', 4, 0, encodeF32),
  store('FSTP', 'D9 /3 mem', 4, 1, encodeF32),
  store('FST', 'DD /2 mem', 8, 0, encodeF64),
  store('FSTP', 'DD /3 mem', 8, 1, encodeF64),
  store('FIST', 'DF /2 mem', 2, 0, encodeInteger(16, false)),
  store('FISTP', 'DF /3 mem', 2, 1, encodeInteger(16, false)),
  store('FIST', 'DB /2 mem', 4, 0, encodeInteger(32, false)),
  store('FISTP', 'DB /3 mem', 4, 1, encodeInteger(32, false)),
  store('FISTP', 'DF /7 mem', 8, 1, encodeInteger(64, false)),
  store('FISTTP', 'DF /1 mem', 2, 1, encodeInteger(16, true)),
  store('FISTTP', 'DB /1 mem', 4, 1, encodeInteger(32, true)),
  store('FISTTP', 'DD /1 mem', 8, 1, encodeInteger(64, true)),
  store('FBSTP', 'DF /6 mem', 10, 1, () => toBcd(env, st0, stored)),
  instruction({ name: 'FSTP', opcode: 'DB /7 mem', unit: 'x87', system: storeExt }),
];

/** Exceptions that, unmasked, keep a store from happening; an inexact one happens and is then reported. */
const PREVENTING = EXCEPTION.all & ~EXCEPTION.PE;

function store(name: string, opcode: string, bytes: 2 | 4 | 8 | 10, pops: number, encode: Encode): Definition {
  const system = (cpu: SystemCpu, insn: Instruction): void => {
    const state = begin(cpu);
    const at = cpu.address(insn);
    const stack = isEmpty(state, 0) ? FSW.SF : 0;
    if (stack === 0) readSt(state, 0, st0);
    else setDefaultNaN(st0);
    encode();
    if (stack !== 0) env.flags = EXCEPTION.IE;
    if ((env.flags & PREVENTING & ~env.masks) !== 0) {
      probeWrite(cpu, at, bytes);
      prevented(cpu, state, insn, at, stack);
      return;
    }
    if (bytes === 10) writeTen(cpu, insn, at, stored.low, stored.high);
    else cpu.write(at, bytes, stored.low);
    recordPointers(cpu, insn, at);
    raise(state, env.flags | stack, env.roundedUp);
    pop(state, pops);
  };
  return instruction({ name, opcode, unit: 'x87', system });
}

/** Writes ten bytes or, if one of the two pages they may lie in refuses, none. */
function writeTen(cpu: SystemCpu, insn: Instruction, at: bigint, low: bigint, high: number): void {
  if ((at & PAGE_MASK) > LAST_WITHIN) probeWrite(cpu, at, 10);
  cpu.write(at, 8, low);
  cpu.write(upperHalf(at, insn), 2, BigInt(high));
}

const PAGE_MASK = 0xfffn;
/** Where in a page ten bytes may begin without reaching the next. */
const LAST_WITHIN = 0xff6n;

function prevented(cpu: SystemCpu, state: CpuState, insn: Instruction, at: bigint, stack: number): void {
  recordPointers(cpu, insn, at);
  raise(state, (env.flags & PREVENTING) | stack, false);
}

function encodeF32(): void {
  convert(env, F32, st0, result, false);
  stored.low = BigInt(packF32(result));
}

function encodeF64(): void {
  convert(env, F64, st0, result, false);
  stored.low = packF64(result);
}

function encodeInteger(bits: 16 | 32 | 64, truncate: boolean): Encode {
  return () => {
    stored.low = BigInt.asUintN(bits, toInteger(env, st0, bits, truncate ? ROUND.zero : env.rounding));
  };
}

function storeExt(cpu: SystemCpu, insn: Instruction): void {
  const state = begin(cpu);
  const at = cpu.address(insn);
  const empty = isEmpty(state, 0);
  if (empty && (env.masks & EXCEPTION.IE) === 0) {
    env.flags = EXCEPTION.IE;
    probeWrite(cpu, at, 10);
    prevented(cpu, state, insn, at, FSW.SF);
    return;
  }
  const { low, high } = empty ? INDEFINITE : bitsOf(state, 0);
  writeTen(cpu, insn, at, low, high);
  recordPointers(cpu, insn, at);
  if (empty) setCodes(state, 0, FSW.SF);
  raise(state, empty ? EXCEPTION.IE : 0, false);
  pop(state);
}

const INDEFINITE = { low: 0xc000_0000_0000_0000n, high: 0xffff } as const;
