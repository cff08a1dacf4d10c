import type { FloatEnvironment } from './environment.ts';
import { copy, type Float, KIND, setInfinity, setZero } from './float.ts';
import { EXCEPTION, type Format, ROUND } from './format.ts';
import { count, integerSqrt } from './integer.ts';
import { invalid, propagateNaN, propagateOne, stopsOnDenormal } from './nan.ts';
import { round } from './round.ts';

/** An operation on two operands; `out` may be one of them. If it raised an unmasked IE, DE or ZE, `out` means nothing. */
export type BinaryOperation = (env: FloatEnvironment, format: Format, a: Float, b: Float, out: Float) => void;

/** a + b. */
export function add(env: FloatEnvironment, format: Format, a: Float, b: Float, out: Float): void {
  addSigned(env, format, a, b, b.sign, out);
}

/** a - b. */
export function sub(env: FloatEnvironment, format: Format, a: Float, b: Float, out: Float): void {
  addSigned(env, format, a, b, b.sign ^ 1, out);
}

/** b - a: the x87's reversed subtraction. */
export function subReversed(env: FloatEnvironment, format: Format, a: Float, b: Float, out: Float): void {
  addSigned(env, format, b, a, a.sign ^ 1, out);
}

/** a + b with the sign of b replaced; a NaN keeps its own. */
function addSigned(env: FloatEnvironment, format: Format, a: Float, b: Float, bSign: number, out: Float): void {
  env.roundedUp = false;
  if (a.kind > KIND.infinity || b.kind > KIND.infinity) {
    propagateNaN(env, a, b, out);
    return;
  }
  if (a.kind === KIND.infinity && b.kind === KIND.infinity && a.sign !== bSign) {
    invalid(env, out);
    return;
  }
  if (stopsOnDenormal(env, a, b)) return;
  if (a.kind === KIND.infinity) setInfinity(out, a.sign);
  else if (b.kind === KIND.infinity) setInfinity(out, bSign);
  else if (b.kind === KIND.zero) {
    if (a.kind === KIND.zero) setZero(out, a.sign === bSign ? a.sign : exactZeroSign(env));
    else round(env, format, a.sign, a.exp - 63, a.sig, out);
  } else if (a.kind === KIND.zero) round(env, format, bSign, b.exp - 63, b.sig, out);
  else addFinite(env, format, a, b, bSign, out);
}

function addFinite(env: FloatEnvironment, format: Format, a: Float, b: Float, bSign: number, out: Float): void {
  const swap = b.exp > a.exp;
  const [large, small] = swap ? [b, a] : [a, b];
  const sign = swap ? bSign : a.sign;
  const subtract = a.sign !== bSign;
  const distance = large.exp - small.exp;
  let sig: bigint;
  let exp: number;
  if (distance > 66) {
    // The small one is less than half a unit of anything kept: a sticky bit stands for it.
    sig = (large.sig << 3n) + (subtract ? -1n : 1n);
    exp = large.exp - 66;
  } else {
    const shifted = large.sig << count(distance);
    sig = subtract ? shifted - small.sig : shifted + small.sig;
    exp = small.exp - 63;
  }
  if (sig === 0n) setZero(out, exactZeroSign(env));
  else if (sig < 0n) round(env, format, sign ^ 1, exp, -sig, out);
  else round(env, format, sign, exp, sig, out);
}

/** Sign of the zero that is the exact sum of two opposite numbers. */
function exactZeroSign(env: FloatEnvironment): number {
  return env.rounding === ROUND.down ? 1 : 0;
}

/** a * b. */
export function mul(env: FloatEnvironment, format: Format, a: Float, b: Float, out: Float): void {
  env.roundedUp = false;
  if (a.kind > KIND.infinity || b.kind > KIND.infinity) {
    propagateNaN(env, a, b, out);
    return;
  }
  const sign = a.sign ^ b.sign;
  const infinite = a.kind === KIND.infinity || b.kind === KIND.infinity;
  const zero = a.kind === KIND.zero || b.kind === KIND.zero;
  if (infinite && zero) {
    invalid(env, out);
    return;
  }
  if (stopsOnDenormal(env, a, b)) return;
  if (infinite) setInfinity(out, sign);
  else if (zero) setZero(out, sign);
  else round(env, format, sign, a.exp + b.exp - 126, a.sig * b.sig, out);
}

/** a / b. */
export function div(env: FloatEnvironment, format: Format, a: Float, b: Float, out: Float): void {
  env.roundedUp = false;
  if (a.kind > KIND.infinity || b.kind > KIND.infinity) {
    propagateNaN(env, a, b, out);
    return;
  }
  const sign = a.sign ^ b.sign;
  if (a.kind === b.kind && a.kind !== KIND.finite) {
    invalid(env, out);
    return;
  }
  if (b.kind === KIND.zero && a.kind === KIND.finite) {
    env.flags |= EXCEPTION.ZE;
    setInfinity(out, sign);
    return;
  }
  if (stopsOnDenormal(env, a, b)) return;
  if (a.kind === KIND.infinity || b.kind === KIND.zero) setInfinity(out, sign);
  else if (a.kind === KIND.zero || b.kind === KIND.infinity) setZero(out, sign);
  else {
    const dividend = a.sig << 67n;
    const quotient = dividend / b.sig;
    const sticky = quotient * b.sig === dividend ? 0n : 1n;
    round(env, format, sign, a.exp - b.exp - 67, quotient | sticky, out);
  }
}

/** b / a: the x87's reversed division. */
export function divReversed(env: FloatEnvironment, format: Format, a: Float, b: Float, out: Float): void {
  div(env, format, b, a, out);
}

/** Square root of a. */
export function sqrt(env: FloatEnvironment, format: Format, a: Float, out: Float): void {
  env.roundedUp = false;
  if (a.kind > KIND.infinity) propagateOne(env, a, out);
  else if (a.kind === KIND.zero) setZero(out, a.sign);
  else if (a.sign === 1) invalid(env, out);
  else if (!stopsOnDenormal(env, a, a)) {
    if (a.kind === KIND.infinity) setInfinity(out, 0);
    else {
      // 63 - exp must come out even for the root to have a whole exponent.
      const odd = (a.exp - 63) & 1;
      const radicand = a.sig << count(70 + odd);
      const root = integerSqrt(radicand);
      const sticky = root * root === radicand ? 0n : 1n;
      round(env, format, 0, (a.exp - 63 - 70 - odd) / 2, root | sticky, out);
    }
  }
}

/** a * b + c with one rounding. NaNs survive in the order a, b, c. @spec SDM-1 §14.5 */
export function fma(env: FloatEnvironment, format: Format, a: Float, b: Float, c: Float, out: Float): void {
  env.roundedUp = false;
  if (a.kind > KIND.infinity || b.kind > KIND.infinity || c.kind > KIND.infinity) {
    fmaNaN(env, a, b, c, out);
    return;
  }
  const sign = a.sign ^ b.sign;
  const infinite = a.kind === KIND.infinity || b.kind === KIND.infinity;
  const zero = a.kind === KIND.zero || b.kind === KIND.zero;
  if ((infinite && zero) || (infinite && c.kind === KIND.infinity && c.sign !== sign)) {
    invalid(env, out);
    return;
  }
  if (stopsOnDenormal(env, a, b) || stopsOnDenormal(env, c, c)) return;
  if (infinite) setInfinity(out, sign);
  else if (c.kind === KIND.infinity) copy(out, c);
  else if (zero) {
    if (c.kind === KIND.zero) setZero(out, sign === c.sign ? sign : exactZeroSign(env));
    else round(env, format, c.sign, c.exp - 63, c.sig, out);
  } else addProduct(env, format, sign, a, b, c, out);
}

function fmaNaN(env: FloatEnvironment, a: Float, b: Float, c: Float, out: Float): void {
  const product = a.kind > KIND.infinity || b.kind > KIND.infinity;
  if (product) {
    if (c.kind === KIND.snan) env.flags |= EXCEPTION.IE;
    propagateNaN(env, a, b, out);
  } else propagateOne(env, c, out);
}

function addProduct(env: FloatEnvironment, format: Format, sign: number, a: Float, b: Float, c: Float, out: Float): void {
  const product = sign === 1 ? -(a.sig * b.sig) : a.sig * b.sig;
  const addend = c.kind === KIND.zero ? 0n : c.sign === 1 ? -c.sig : c.sig;
  const exp = a.exp + b.exp - 126;
  const gap = addend === 0n ? 0 : c.exp - 63 - exp;
  let sum: bigint;
  let sumExp: number;
  if (gap > FAR) {
    sum = (addend << count(FAR)) + (sign === 1 ? -1n : 1n);
    sumExp = c.exp - 63 - FAR;
  } else if (gap < -FAR) {
    sum = (product << count(FAR)) + (c.sign === 1 ? -1n : 1n);
    sumExp = exp - FAR;
  } else if (gap >= 0) {
    sum = product + (addend << count(gap));
    sumExp = exp;
  } else {
    sum = (product << count(-gap)) + addend;
    sumExp = exp + gap;
  }
  if (sum === 0n) setZero(out, exactZeroSign(env));
  else round(env, format, sum < 0n ? 1 : 0, sumExp, sum < 0n ? -sum : sum, out);
}

/** Bits apart at which the smaller of product and addend is no more than a sticky bit to the other. */
const FAR = 200;

/** -1, 0 or 1 as a is below, equal to or above b; both are numbers. */
export function order(a: Float, b: Float): number {
  if (a.kind === KIND.zero && b.kind === KIND.zero) return 0;
  if (a.kind === KIND.zero) return b.sign === 1 ? 1 : -1;
  if (b.kind === KIND.zero || a.sign !== b.sign) return a.sign === 1 ? -1 : 1;
  const magnitude = orderMagnitude(a, b);
  return a.sign === 1 ? -magnitude : magnitude;
}

function orderMagnitude(a: Float, b: Float): number {
  if (a.kind !== b.kind) return a.kind > b.kind ? 1 : -1;
  if (a.kind === KIND.infinity) return 0;
  if (a.exp !== b.exp) return a.exp > b.exp ? 1 : -1;
  return a.sig === b.sig ? 0 : a.sig > b.sig ? 1 : -1;
}

/** The relation of two operands that may be NaNs. */
export const UNORDERED = 2;

/**
 * Compares: -1, 0, 1 or UNORDERED.
 * @param quiet a quiet NaN raises nothing (FUCOM, UCOMISS, CMPEQ); otherwise every NaN is invalid
 */
export function compare(env: FloatEnvironment, a: Float, b: Float, quiet: boolean): number {
  if (a.kind > KIND.infinity || b.kind > KIND.infinity) {
    if (!quiet || a.kind > KIND.qnan || b.kind > KIND.qnan) env.flags |= EXCEPTION.IE;
    return UNORDERED;
  }
  stopsOnDenormal(env, a, b);
  return order(a, b);
}
