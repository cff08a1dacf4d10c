import { add } from './arithmetic.ts';
import { FloatEnvironment } from './environment.ts';
import { copy, Float, KIND, setInfinity, setZero, TOP_BIT } from './float.ts';
import { EXCEPTION, EXT64, ROUND } from './format.ts';
import { bitLength, count } from './integer.ts';
import { invalid, propagateNaN, propagateOne, stopsOnDenormal } from './nan.ts';
import { round } from './round.ts';
import { atanh, expMinus1, ln2, log2e } from './series.ts';

/** Below 2**-TINY the first term of the series is the result, but for a sticky bit. */
const TINY = 70;
/** Bits after the point, besides what small arguments need. */
const GUARD = 160;

/** 2**a - 1 for -1 <= a <= 1; beyond that the architecture leaves the result open and `a` stays. @spec SDM-2A "F2XM1" */
export function exp2Minus1(env: FloatEnvironment, a: Float, out: Float): void {
  env.roundedUp = false;
  if (a.kind > KIND.infinity) propagateOne(env, a, out);
  else if (a.kind === KIND.zero) copy(out, a);
  else if (a.kind === KIND.infinity) exp2Minus1OfInfinity(a, out);
  else if (stopsOnDenormal(env, a, a)) return;
  else if (a.exp >= 0) exp2Minus1OfOne(env, a, out);
  else if (a.exp < -TINY) round(env, EXT64, a.sign, a.exp - 63 - 128, (a.sig * ln2(128)) | 1n, out);
  else {
    const fraction = GUARD - a.exp;
    const t = (a.sig * ln2(fraction)) >> count(63 - a.exp);
    round(env, EXT64, a.sign, -fraction, expMinus1(t, a.sign === 1, fraction) | 1n, out);
  }
}

function exp2Minus1OfInfinity(a: Float, out: Float): void {
  if (a.sign === 0) setInfinity(out, 0);
  else minusOne(out);
}

function minusOne(out: Float): void {
  out.kind = KIND.finite;
  out.sign = 1;
  out.exp = 0;
  out.sig = TOP_BIT;
  out.denormal = false;
}

/** 2**1 - 1 and 2**-1 - 1 are exact, but processors do not notice. */
function exp2Minus1OfOne(env: FloatEnvironment, a: Float, out: Float): void {
  env.flags |= EXCEPTION.PE;
  if (a.exp === 0 && a.sig === TOP_BIT) round(env, EXT64, a.sign, a.sign === 1 ? -1 : 0, 1n, out);
  else copy(out, a);
}

/** y * log2(x). @spec SDM-2A "FYL2X" */
export function yLog2(env: FloatEnvironment, x: Float, y: Float, out: Float): void {
  env.roundedUp = false;
  if (x.kind > KIND.infinity || y.kind > KIND.infinity) {
    propagateNaN(env, x, y, out);
    return;
  }
  const isOne = x.kind === KIND.finite && x.exp === 0 && x.sig === TOP_BIT;
  const outside = x.sign === 1 && x.kind !== KIND.zero;
  const zeroTimesInfinity = (y.kind === KIND.zero && (x.kind === KIND.zero || x.kind === KIND.infinity)) || (y.kind === KIND.infinity && isOne);
  if (outside || zeroTimesInfinity) {
    invalid(env, out);
    return;
  }
  if (x.kind === KIND.zero && y.kind === KIND.finite) {
    env.flags |= EXCEPTION.ZE;
    setInfinity(out, y.sign ^ 1);
    return;
  }
  if (stopsOnDenormal(env, x, y)) return;
  const sign = y.sign ^ (x.kind === KIND.zero || (x.kind === KIND.finite && x.exp < 0) ? 1 : 0);
  if (x.kind !== KIND.finite || y.kind === KIND.infinity) setInfinity(out, sign);
  else if (y.kind === KIND.zero || isOne) setZero(out, sign);
  else yLog2Finite(env, x, y, sign, out);
}

function yLog2Finite(env: FloatEnvironment, x: Float, y: Float, sign: number, out: Float): void {
  if (x.sig === TOP_BIT) {
    // Exact, but processors do not notice.
    env.flags |= EXCEPTION.PE;
    round(env, EXT64, sign, y.exp - 63, y.sig * BigInt(Math.abs(x.exp)), out);
    if (out.sig < TOP_BIT) env.flags |= EXCEPTION.UE;
    return;
  }
  // x = 2**e * m with m between 2/3 and 4/3, so that x near 1 has e = 0 and loses nothing to cancellation.
  const upper = x.sig >= UPPER;
  const e = upper ? x.exp + 1 : x.exp;
  const one = upper ? TOP_BIT << 1n : TOP_BIT;
  const difference = x.sig - one;
  const magnitude = difference < 0n ? -difference : difference;
  const fraction = GUARD + 64 - (e === 0 ? bitLength(magnitude) : 0) + 8;
  const z = (magnitude << count(fraction)) / (x.sig + one);
  const logarithm = (atanh(z, fraction) * log2e(fraction)) >> count(fraction - 1);
  const total = (BigInt(e) << count(fraction)) + (difference < 0n ? -logarithm : logarithm);
  round(env, EXT64, sign, y.exp - 63 - fraction, ((total < 0n ? -total : total) * y.sig) | 1n, out);
}

const UPPER = 0xaaaa_aaaa_aaaa_aaaan;

const sum = new Float();
const unheard = new FloatEnvironment();
unheard.rounding = ROUND.nearest;

/**
 * y * log2(x + 1). The architecture defines it for |x| below 1 - sqrt(1/2); beyond, this goes on as the formula says.
 * @spec SDM-2A "FYL2XP1"
 */
export function yLog2Plus1(env: FloatEnvironment, x: Float, y: Float, out: Float): void {
  env.roundedUp = false;
  if (x.kind > KIND.infinity || y.kind > KIND.infinity) {
    propagateNaN(env, x, y, out);
    return;
  }
  const zeroTimesInfinity = (x.kind === KIND.zero && y.kind === KIND.infinity) || (x.kind === KIND.infinity && y.kind === KIND.zero);
  if (zeroTimesInfinity || (x.kind === KIND.infinity && x.sign === 1)) {
    invalid(env, out);
    return;
  }
  if (stopsOnDenormal(env, x, y)) return;
  const sign = x.sign ^ y.sign;
  if (x.kind === KIND.infinity || y.kind === KIND.infinity) setInfinity(out, sign);
  else if (x.kind === KIND.zero || y.kind === KIND.zero) setZero(out, sign);
  else if (x.sign === 1 && x.exp >= 0) {
    // No logarithm, and no rule: x, as AMD processors answer.
    env.flags |= EXCEPTION.PE;
    copy(out, x);
  } else if (x.exp >= -1) {
    add(unheard, EXT64, x, ONE, sum);
    yLog2Finite(env, sum, y, sign, out);
  } else if (x.exp < -TINY) {
    round(env, EXT64, sign, x.exp + y.exp - 126 - 128, (x.sig * y.sig * log2e(128)) | 1n, out);
  } else yLog2Plus1Small(env, x, y, sign, out);
}

/** ln(1 + x) = 2 atanh(x / (2 + x)). */
function yLog2Plus1Small(env: FloatEnvironment, x: Float, y: Float, sign: number, out: Float): void {
  const fraction = GUARD - x.exp;
  const t = x.sig << count(fraction + x.exp - 63);
  const two = 1n << count(fraction + 1);
  const z = (t << count(fraction)) / (x.sign === 1 ? two - t : two + t);
  const logarithm = (atanh(z, fraction) * log2e(fraction)) >> count(fraction - 1);
  round(env, EXT64, sign, y.exp - 63 - fraction, (logarithm * y.sig) | 1n, out);
}

const ONE = new Float();
ONE.kind = KIND.finite;
ONE.sig = TOP_BIT;
