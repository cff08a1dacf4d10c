import type { Instruction } from '../decode/instruction.ts';
import { widen } from '../softfloat/convert.ts';
import { setDefaultNaN } from '../softfloat/float.ts';
import { EXCEPTION } from '../softfloat/format.ts';
import { S } from '../state/layout.ts';
import { type CpuState, FLAG } from '../state/state.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { type Definition, instruction } from './definition.ts';
import { type Fetch, fetchBcd, fetchF32, fetchF64, fetchInteger, upperHalf } from './x87-operand.ts';
import {
  begin,
  canPush,
  env,
  FSW,
  isEmpty,
  operand,
  physical,
  pop,
  push,
  raise,
  recordPointers,
  result,
  rotate,
  setStBits,
  underflow,
  writeSt,
} from './x87-unit.ts';

/** Conditions of FCMOVcc in the order of their encodings, and the flags of which one must be set. */
const CONDITIONS = [
  ['B', FLAG.CF],
  ['E', FLAG.ZF],
  ['BE', FLAG.CF | FLAG.ZF],
  ['U', FLAG.PF],
] as const;

/** Loads, and moves between registers. @spec SDM-2A "FLD" */
export const X87_LOAD: readonly Definition[] = [
  load('FLD', 'D9 /0 mem', fetchF32),
  load('FLD', 'DD /0 mem', fetchF64),
  load('FILD', 'DF /0 mem', fetchInteger(2)),
  load('FILD', 'DB /0 mem', fetchInteger(4)),
  load('FILD', 'DF /5 mem', fetchInteger(8)),
  load('FBLD', 'DF /4 mem', fetchBcd),
  instruction({ name: 'FLD', opcode: 'DB /5 mem', unit: 'x87', system: loadExt }),
  instruction({ name: 'FLD', opcode: 'D9 /0 reg', unit: 'x87', system: loadRegister }),
  instruction({ name: 'FST', opcode: 'DD /2 reg', unit: 'x87', system: storeRegister(0) }),
  instruction({ name: 'FSTP', opcode: 'DD /3 reg', unit: 'x87', system: storeRegister(1) }),
  // DF D0+i and DF D8+i are undocumented doubles of FSTP; D9 D8+i is one that does not mind ST0 being empty.
  instruction({ name: 'FSTP', opcode: 'DF /2 reg', unit: 'x87', system: storeRegister(1) }),
  instruction({ name: 'FSTP', opcode: 'DF /3 reg', unit: 'x87', system: storeRegister(1) }),
  instruction({ name: 'FSTPNCE', opcode: 'D9 /3 reg', unit: 'x87', system: storeAnything }),
  // DD C8+i and DF C8+i are undocumented doubles of FXCH.
  ...['D9', 'DD', 'DF'].map((byte) => instruction({ name: 'FXCH', opcode: `${byte} /1 reg`, unit: 'x87', system: exchange })),
  ...CONDITIONS.flatMap(([condition, flags], ext) => [
    instruction({ name: `FCMOV${condition}`, opcode: `DA /${ext} reg`, unit: 'x87', system: move(flags, true) }),
    instruction({ name: `FCMOVN${condition}`, opcode: `DB /${ext} reg`, unit: 'x87', system: move(flags, false) }),
  ]),
];

function load(name: string, opcode: string, fetch: Fetch): Definition {
  const system = (cpu: SystemCpu, insn: Instruction): void => {
    const state = begin(cpu);
    recordPointers(cpu, insn, fetch(cpu, insn));
    if (!canPush(state)) return;
    widen(env, operand);
    // An unmasked DE does not keep a number from being loaded, unlike from being calculated with.
    const stops = (env.flags & ~env.masks & EXCEPTION.IE) !== 0;
    if (!stops) push(state, operand);
    raise(state, env.flags, false);
  };
  return instruction({ name, opcode, unit: 'x87', system });
}

/** Bits as they are: no encoding raises anything. */
function loadExt(cpu: SystemCpu, insn: Instruction): void {
  const state = begin(cpu);
  const at = cpu.address(insn);
  const low = cpu.read(at, 8);
  const high = Number(cpu.read(upperHalf(at, insn), 2));
  recordPointers(cpu, insn, at);
  if (canPush(state)) pushBits(state, low, high);
}

function pushBits(state: CpuState, low: bigint, high: number): void {
  rotate(state, -1);
  setStBits(state, 0, low, high);
  raise(state, 0, false);
}

function loadRegister(cpu: SystemCpu, insn: Instruction): void {
  const state = begin(cpu);
  recordPointers(cpu, insn);
  const i = insn.rm & 7;
  if (isEmpty(state, i)) {
    if ((env.masks & EXCEPTION.IE) !== 0) rotate(state, -1);
    underflow(state, 0, 0);
  } else if (canPush(state)) {
    const { low, high } = bitsOf(state, i);
    pushBits(state, low, high);
  }
}

/** The 80 bits of ST(i). */
export function bitsOf(state: CpuState, i: number): { low: bigint; high: number } {
  const at = S.st + physical(state, i) * 16;
  return { low: state.get64(at), high: state.get32(at + 8) & 0xffff };
}

function storeRegister(pops: number): (cpu: SystemCpu, insn: Instruction) => void {
  return (cpu, insn) => {
    const state = begin(cpu);
    recordPointers(cpu, insn);
    const i = insn.rm & 7;
    if (isEmpty(state, 0)) {
      underflow(state, i, pops);
      return;
    }
    const { low, high } = bitsOf(state, 0);
    setStBits(state, i, low, high);
    raise(state, 0, false);
    pop(state, pops);
  };
}

/** ST0 to ST(i), or nothing if ST0 is empty; pops either way. */
function storeAnything(cpu: SystemCpu, insn: Instruction): void {
  const state = begin(cpu);
  recordPointers(cpu, insn);
  const i = insn.rm & 7;
  if (!isEmpty(state, 0)) {
    const { low, high } = bitsOf(state, 0);
    setStBits(state, i, low, high);
  }
  raise(state, 0, false);
  pop(state);
}

function exchange(cpu: SystemCpu, insn: Instruction): void {
  const state = begin(cpu);
  recordPointers(cpu, insn);
  const i = insn.rm & 7;
  const missing = isEmpty(state, 0) || isEmpty(state, i);
  if (missing) {
    raise(state, EXCEPTION.IE | FSW.SF, false);
    if ((env.masks & EXCEPTION.IE) === 0) return;
    fill(state, 0);
    fill(state, i);
  }
  const [a, b] = [bitsOf(state, 0), bitsOf(state, i)];
  setStBits(state, 0, b.low, b.high);
  setStBits(state, i, a.low, a.high);
  if (!missing) raise(state, 0, false);
}

/** The masked answer to reading an empty register: it holds the default NaN. */
function fill(state: CpuState, i: number): void {
  if (!isEmpty(state, i)) return;
  setDefaultNaN(result);
  writeSt(state, i, result);
}

function move(flags: number, wanted: boolean): (cpu: SystemCpu, insn: Instruction) => void {
  return (cpu, insn) => {
    const state = begin(cpu);
    recordPointers(cpu, insn);
    const i = insn.rm & 7;
    if (isEmpty(state, 0) || isEmpty(state, i)) {
      underflow(state, 0, 0);
      return;
    }
    if (((state.rflags() & flags) !== 0) === wanted) {
      const { low, high } = bitsOf(state, i);
      setStBits(state, 0, low, high);
    }
  };
}
