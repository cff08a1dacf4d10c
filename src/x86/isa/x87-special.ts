import type { Instruction } from '../decode/instruction.ts';
import { round } from '../softfloat/round.ts';
import { Float, setZero } from '../softfloat/float.ts';
import { EXT64 } from '../softfloat/format.ts';
import { FloatEnvironment } from '../softfloat/environment.ts';
import type { CpuState } from '../state/state.ts';
import { ud } from '../system/exception.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { type Definition, instruction } from './definition.ts';
import { fprem, frndint, fscale, fsqrt, fxtract } from './x87-arithmetic.ts';
import { ftst, fxam } from './x87-compare.ts';
import { bitsOf } from './x87-load.ts';
import { f2xm1, fcos, fpatan, fptan, fsin, fsincos, fyl2x, fyl2xp1 } from './x87-transcendental.ts';
import { begin, canPush, env, isEmpty, push, raise, recordPointers, result, rotate, setStBits, underflow } from './x87-unit.ts';

/** An instruction without operands, which the last three bits of its second byte choose. */
type Single = (cpu: SystemCpu) => void;

const D9_E0: readonly (Single | undefined)[] = [
  (cpu) => changeSign(cpu.state, (high) => high ^ 0x8000),
  (cpu) => changeSign(cpu.state, (high) => high & 0x7fff),
  undefined,
  undefined,
  ftst,
  fxam,
];

/**
 * Constants with three bits more than a significand has, the last one sticky: they are rounded as FCW.RC says. @spec SDM-2A "FLD1/FLDL2T/FLDL2E/FLDPI"
 */
const CONSTANTS: readonly { exp: number; bits: bigint }[] = [
  { exp: 0, bits: 1n << 66n },
  { exp: 1, bits: 0x6_a4d3_c25e_68dc_57f3n }, // log2 10
  { exp: 0, bits: 0x5_c551_d94a_e0bf_85ddn }, // log2 e
  { exp: 1, bits: 0x6_487e_d511_0b46_11a7n }, // pi
  { exp: -2, bits: 0x4_d104_d427_de7f_bcc5n }, // log10 2
  { exp: -1, bits: 0x5_8b90_bfbe_8e7b_cd5fn }, // ln 2
];

const D9_F0: readonly Single[] = [
  f2xm1,
  fyl2x,
  fptan,
  fpatan,
  fxtract,
  (cpu) => fprem(cpu, true),
  (cpu) => moveTop(cpu.state, -1),
  (cpu) => moveTop(cpu.state, 1),
];

const D9_F8: readonly Single[] = [(cpu) => fprem(cpu, false), fyl2xp1, fsqrt, fsincos, frndint, fscale, fsin, fcos];

/** D9 D0 and D9 E0..FF: one encoding each, of which the last three bits are part. @spec SDM-2D table A-8 */
export const X87_SPECIAL: readonly Definition[] = [
  group('FNOP', 'D9 /2 reg', [() => {}]),
  group('FCHS FABS FTST FXAM', 'D9 /4 reg', D9_E0),
  group('FLD constant', 'D9 /5 reg', [...CONSTANTS.map(constant), (cpu) => loadZero(cpu.state)]),
  group('F2XM1 FYL2X FPTAN FPATAN FXTRACT FPREM1 FDECSTP FINCSTP', 'D9 /6 reg', D9_F0),
  group('FPREM FYL2XP1 FSQRT FSINCOS FRNDINT FSCALE FSIN FCOS', 'D9 /7 reg', D9_F8),
];

function group(name: string, opcode: string, singles: readonly (Single | undefined)[]): Definition {
  const system = (cpu: SystemCpu, insn: Instruction): void => {
    const single = singles[insn.rm & 7];
    if (single === undefined) throw ud();
    begin(cpu);
    recordPointers(cpu, insn);
    single(cpu);
  };
  return instruction({ name, opcode, unit: 'x87', system });
}

/** FCHS and FABS: only the sign bit changes, NaN or not. */
function changeSign(state: CpuState, change: (signExponent: number) => number): void {
  if (isEmpty(state, 0)) {
    underflow(state, 0, 0);
    return;
  }
  const { low, high } = bitsOf(state, 0);
  setStBits(state, 0, low, change(high));
  raise(state, 0, false);
}

const exact = new FloatEnvironment();
const value = new Float();

function constant({ exp, bits }: { exp: number; bits: bigint }): Single {
  return (cpu) => {
    if (!canPush(cpu.state)) return;
    exact.rounding = env.rounding;
    round(exact, EXT64, 0, exp - 66, bits, value);
    push(cpu.state, value);
    raise(cpu.state, 0, false);
  };
}

function loadZero(state: CpuState): void {
  if (!canPush(state)) return;
  setZero(result, 0);
  push(state, result);
  raise(state, 0, false);
}

/** FDECSTP and FINCSTP. */
function moveTop(state: CpuState, by: number): void {
  rotate(state, by);
  raise(state, 0, false);
}
