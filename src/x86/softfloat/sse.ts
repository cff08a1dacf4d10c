import { add, type BinaryOperation, compare, div, fma, mul, order, sqrt, sub, UNORDERED } from './arithmetic.ts';
import { convert, fromInteger, roundToIntegral, toInteger } from './convert.ts';
import { packF32, packF64, unpackF32, unpackF64 } from './encoding.ts';
import type { FloatEnvironment } from './environment.ts';
import { Float, KIND } from './float.ts';
import { EXCEPTION, F32, F64, type Format, ROUND } from './format.ts';
import { stopsOnDenormal } from './nan.ts';

/**
 * Scalar SSE, AVX and FMA arithmetic with every MXCSR setting: the exact path beside the host's own instructions.
 *
 * Values travel as bigint: the 64 bits of a double, or the 32 of a single in the low half. That is what an i64 is to and from
 * WebAssembly, so generated code can import these functions with a closure over one environment. Higher bits and the sign
 * of an operand do not matter; results are unsigned.
 *
 * Per instruction: fromMxcsr(env, mxcsr); one call per lane; then finish(env, mxcsr) tells the new MXCSR and whether #XM is due,
 * in which case no result may be written.
 */
export type Width = 32 | 64;

/** An operation on the bits of two operands. */
export type SseBinary = (env: FloatEnvironment, width: Width, a: bigint, b: bigint) => bigint;

const x = new Float();
const y = new Float();
const z = new Float();
const r = new Float();

const BEFORE = EXCEPTION.IE | EXCEPTION.DE | EXCEPTION.ZE;

/**
 * Ends an instruction.
 * @returns the MXCSR after it
 */
export function finish(env: FloatEnvironment, mxcsr: number): number {
  // An unmasked exception of the operands of one lane stops all lanes before they have results.
  const stopped = (env.flags & BEFORE & ~env.masks) !== 0;
  return mxcsr | (stopped ? env.flags & BEFORE : env.flags);
}

/** True if the instruction raised an exception that MXCSR does not mask: #XM. */
export function raisesXm(env: FloatEnvironment): boolean {
  return (env.flags & ~env.masks) !== 0;
}

function formatOf(width: Width): Format {
  return width === 64 ? F64 : F32;
}

function load(env: FloatEnvironment, width: Width, bits: bigint, out: Float): void {
  if (width === 64) unpackF64(env, BigInt.asUintN(64, bits), out);
  else unpackF32(env, Number(BigInt.asUintN(32, bits)), out);
}

function bitsOf(width: Width, value: Float): bigint {
  return width === 64 ? packF64(value) : BigInt(packF32(value));
}

function arithmetic(apply: BinaryOperation): SseBinary {
  return (env, width, a, b) => {
    load(env, width, a, x);
    load(env, width, b, y);
    apply(env, formatOf(width), x, y, r);
    return bitsOf(width, r);
  };
}

export const sseAdd = arithmetic(add);
export const sseSub = arithmetic(sub);
export const sseMul = arithmetic(mul);
export const sseDiv = arithmetic(div);

/** MIN: the second operand when either is a NaN or both are zeros. @spec SDM-2B "MINSD" */
export const sseMin = extreme(-1);
/** MAX. */
export const sseMax = extreme(1);

function extreme(wanted: number): SseBinary {
  return (env, width, a, b) => {
    load(env, width, a, x);
    load(env, width, b, y);
    const number = x.kind <= KIND.infinity && y.kind <= KIND.infinity;
    if (!number) env.flags |= EXCEPTION.IE;
    else stopsOnDenormal(env, x, y);
    const first = number && order(x, y) === wanted;
    const [chosen, bits] = first ? [x, a] : [y, b];
    // A denormal that counts as zero comes out as zero.
    return chosen.kind === KIND.zero ? bitsOf(width, chosen) : BigInt.asUintN(width, bits);
  };
}

/** Square root. */
export function sseSqrt(env: FloatEnvironment, width: Width, a: bigint): bigint {
  load(env, width, a, x);
  sqrt(env, formatOf(width), x, r);
  return bitsOf(width, r);
}

/**
 * a * b + c with one rounding, in the order of the manual's formula for the form (213: second operand times first plus third):
 * it decides which NaN survives. `negateProduct` for FNMADD and FNMSUB, `negateAddend` for FMSUB and FNMSUB.
 * @spec SDM-2C "VFMADD213SD"
 */
export function sseFma(
  env: FloatEnvironment,
  width: Width,
  operands: { a: bigint; b: bigint; c: bigint; negateProduct: boolean; negateAddend: boolean },
): bigint {
  load(env, width, operands.a, x);
  load(env, width, operands.b, y);
  load(env, width, operands.c, z);
  // The sign of a NaN survives.
  if (operands.negateProduct && x.kind <= KIND.infinity) x.sign ^= 1;
  if (operands.negateAddend && z.kind <= KIND.infinity) z.sign ^= 1;
  fma(env, formatOf(width), x, y, z, r);
  return bitsOf(width, r);
}

/** Bit n: predicate n of CMPSD is true for below, equal, above, unordered. @spec SDM-2A "CMPSD" */
const TRUE_IF = { below: 0x9696, equal: 0xa5a5, above: 0xf0f0, unordered: 0x8778 } as const;
/** Predicates that raise IE for quiet NaNs too; from 16 on it is the other half. */
const SIGNALLING = 0x6666;

/** Whether predicate 0..31 of CMPSS, CMPSD holds. */
export function sseCompare(env: FloatEnvironment, width: Width, predicate: number, a: bigint, b: bigint): boolean {
  const index = predicate & 15;
  const signalling = (((SIGNALLING >> index) & 1) === 1) !== predicate > 15;
  const relation = sseOrder(env, width, a, b, !signalling);
  const row = relation === UNORDERED ? TRUE_IF.unordered : [TRUE_IF.below, TRUE_IF.equal, TRUE_IF.above][relation + 1]!;
  return ((row >> index) & 1) === 1;
}

/** -1, 0, 1 or UNORDERED; `quiet` for UCOMISD, not for COMISD. */
export function sseOrder(env: FloatEnvironment, width: Width, a: bigint, b: bigint, quiet: boolean): number {
  load(env, width, a, x);
  load(env, width, b, y);
  return compare(env, x, y, quiet);
}

/** CVTSS2SD (`from` 32) and CVTSD2SS (64). */
export function sseConvert(env: FloatEnvironment, from: Width, a: bigint): bigint {
  load(env, from, a, x);
  convert(env, from === 64 ? F32 : F64, x, r, true);
  return bitsOf(from === 64 ? 32 : 64, r);
}

/** CVTSD2SI and, with `truncate`, CVTTSD2SI; the result is signed. */
export function sseToInteger(env: FloatEnvironment, width: Width, a: bigint, to: { bits: 32 | 64; truncate: boolean }): bigint {
  load(env, width, a, x);
  return toInteger(env, x, to.bits, to.truncate ? ROUND.zero : env.rounding);
}

/** CVTSI2SD: a signed integer of 32 or 64 bits, as its value. */
export function sseFromInteger(env: FloatEnvironment, width: Width, value: bigint): bigint {
  fromInteger(value, x);
  convert(env, formatOf(width), x, r, false);
  return bitsOf(width, r);
}

/** ROUNDSD with its immediate: bits 1:0 the rounding, bit 2 take MXCSR's, bit 3 no PE. @spec SDM-2B "ROUNDSD" */
export function sseRound(env: FloatEnvironment, width: Width, a: bigint, immediate: number): bigint {
  load(env, width, a, x);
  const before = env.flags;
  roundToIntegral(env, x, immediate & 4 ? env.rounding : immediate & 3, r, false);
  if (immediate & 8) env.flags &= ~EXCEPTION.PE | before;
  return bitsOf(width, r);
}
