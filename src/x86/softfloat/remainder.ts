import type { FloatEnvironment } from './environment.ts';
import { type Float, KIND, setZero } from './float.ts';
import { EXT64 } from './format.ts';
import { count } from './integer.ts';
import { invalid, propagateNaN, stopsOnDenormal } from './nan.ts';
import { round } from './round.ts';

/** The remainder is only partial: exponents too far apart for one step. */
export const PARTIAL = -1;
/** The result is a NaN, or there is none. */
export const NO_QUOTIENT = -2;

/**
 * FPREM (`nearest` false) and FPREM1 (true): the exact remainder of a / b, or one step towards it.
 *
 * @returns the low three bits of the quotient, PARTIAL or NO_QUOTIENT
 * @spec SDM-2A "FPREM"
 */
export function remainder(env: FloatEnvironment, a: Float, b: Float, nearest: boolean, out: Float): number {
  env.roundedUp = false;
  if (a.kind > KIND.infinity || b.kind > KIND.infinity) {
    propagateNaN(env, a, b, out);
    return NO_QUOTIENT;
  }
  if (a.kind === KIND.infinity || b.kind === KIND.zero) {
    invalid(env, out);
    return NO_QUOTIENT;
  }
  if (stopsOnDenormal(env, a, b)) return NO_QUOTIENT;
  if (a.kind === KIND.zero) {
    setZero(out, a.sign);
    return 0;
  }
  if (b.kind === KIND.infinity) {
    return exactly(env, a.sign, a.exp - 63, a.sig, out, 0);
  }
  const distance = a.exp - b.exp;
  if (distance >= 64) return step(env, a, b, distance, out);
  // More than a factor of two below the divisor: not even half of it.
  if (distance < -1) return exactly(env, a.sign, a.exp - 63, a.sig, out, 0);
  return last(env, a, b, distance, nearest, out);
}

function last(env: FloatEnvironment, a: Float, b: Float, distance: number, nearest: boolean, out: Float): number {
  const dividend = distance >= 0 ? a.sig << count(distance) : a.sig;
  const divisor = distance >= 0 ? b.sig : b.sig << 1n;
  let quotient = dividend / divisor;
  let rest = dividend - quotient * divisor;
  let sign = a.sign;
  if (nearest) {
    const twice = rest << 1n;
    if (twice > divisor || (twice === divisor && (quotient & 1n) === 1n)) {
      quotient += 1n;
      rest = divisor - rest;
      sign ^= 1;
    }
  }
  const exp = distance >= 0 ? b.exp - 63 : b.exp - 64;
  return exactly(env, sign, exp, rest, out, Number(quotient & 7n));
}

/** Takes 32 to 63 bits off the exponent difference; how many is the implementation's choice. */
function step(env: FloatEnvironment, a: Float, b: Float, distance: number, out: Float): number {
  const bits = (distance & 31) | 32;
  const rest = (a.sig << count(bits)) % b.sig;
  return exactly(env, a.sign, b.exp - 63 + distance - bits, rest, out, PARTIAL);
}

/** A remainder is always exact; rounding only encodes it and sees to underflow. */
function exactly(env: FloatEnvironment, sign: number, exp: number, sig: bigint, out: Float, result: number): number {
  if (sig === 0n) setZero(out, sign);
  else round(env, EXT64, sign, exp, sig, out);
  return result;
}
