import type { FloatEnvironment } from './environment.ts';
import { normalize } from './encoding.ts';
import { copy, type Float, KIND, setZero } from './float.ts';
import { EXCEPTION, type Format } from './format.ts';
import { count, pow2 } from './integer.ts';
import { propagateOne, stopsOnDenormal } from './nan.ts';
import { round, roundsUp } from './round.ts';

/** Rounds a value to a format; what FST and CVTSD2SS do. DE is raised only if `raisesDenormal`. */
export function convert(env: FloatEnvironment, format: Format, a: Float, out: Float, raisesDenormal: boolean): void {
  env.roundedUp = false;
  if (a.kind > KIND.infinity) propagateOne(env, a, out);
  else if (raisesDenormal && stopsOnDenormal(env, a, a)) return;
  else if (a.kind === KIND.finite) round(env, format, a.sign, a.exp - 63, a.sig, out);
  else copy(out, a);
}

/** Makes `out` an integer of up to 64 bits, exactly. */
export function fromInteger(value: bigint, out: Float): void {
  if (value === 0n) setZero(out, 0);
  else normalize(out, value < 0n ? 1 : 0, 63, value < 0n ? -value : value);
}

/** Rounds a finite value or zero to an integer of any size; raises PE. */
export function roundToInteger(env: FloatEnvironment, a: Float, rounding: number): bigint {
  env.roundedUp = false;
  if (a.kind === KIND.zero) return 0n;
  let magnitude: bigint;
  if (a.exp >= 63) magnitude = a.sig << count(a.exp - 63);
  else {
    const drop = Math.min(63 - a.exp, 66);
    const rest = BigInt.asUintN(drop, a.sig);
    magnitude = a.sig >> count(drop);
    if (rest !== 0n) {
      env.flags |= EXCEPTION.PE;
      env.roundedUp = roundsUp(rounding, a.sign, magnitude, rest, pow2(drop - 1));
      if (env.roundedUp) magnitude += 1n;
    }
  }
  return a.sign === 1 ? -magnitude : magnitude;
}

/**
 * Converts to a signed integer of `bits` bits. Out of range, infinite and NaN are invalid: the result is then the "integer
 * indefinite", the most negative number. @spec SDM-1 §8.2.1
 */
export function toInteger(env: FloatEnvironment, a: Float, bits: number, rounding: number): bigint {
  const limit = pow2(bits - 1);
  if (a.kind < KIND.infinity && a.exp < 64) {
    const before = env.flags;
    const value = roundToInteger(env, a, rounding);
    if (value >= -limit && value < limit) return value;
    env.flags = before;
  }
  env.roundedUp = false;
  env.flags |= EXCEPTION.IE;
  return -limit;
}

/** Rounds to an integral value in the same format: FRNDINT and ROUNDSD. */
export function roundToIntegral(env: FloatEnvironment, a: Float, rounding: number, out: Float, raisesDenormal: boolean): void {
  env.roundedUp = false;
  if (a.kind > KIND.infinity) propagateOne(env, a, out);
  else if (raisesDenormal && stopsOnDenormal(env, a, a)) return;
  else if (a.kind !== KIND.finite || a.exp >= 63) copy(out, a);
  else {
    const sign = a.sign;
    const value = roundToInteger(env, a, rounding);
    if (value === 0n) setZero(out, sign);
    else normalize(out, sign, 63, value < 0n ? -value : value);
  }
}

const BCD_LIMIT = 10n ** 18n;
/** "BCD indefinite", low eight bytes and the two above. @spec SDM-1 §4.7 */
const BCD_INDEFINITE = 0xc000_0000_0000_0000n;

/** A packed BCD number: eighteen digits in `low` and the first byte of `high`, the sign in bit 15 of `high`. */
export interface Bcd {
  low: bigint;
  high: number;
}

/** Converts to packed BCD; invalid gives the indefinite. */
export function toBcd(env: FloatEnvironment, a: Float, out: Bcd): void {
  env.roundedUp = false;
  if (a.kind < KIND.infinity && a.exp < 64) {
    const before = env.flags;
    const value = roundToInteger(env, a, env.rounding);
    const magnitude = value < 0n ? -value : value;
    if (magnitude < BCD_LIMIT) {
      const digits = toDigits(magnitude);
      out.low = BigInt.asUintN(64, digits);
      out.high = Number(digits >> 64n) | (a.sign << 15);
      return;
    }
    env.flags = before;
    env.roundedUp = false;
  }
  env.flags |= EXCEPTION.IE;
  out.low = BCD_INDEFINITE;
  out.high = 0xffff;
}

function toDigits(value: bigint): bigint {
  let digits = 0n;
  let rest = value;
  for (let shift = 0n; rest !== 0n; shift += 4n) {
    digits |= (rest % 10n) << shift;
    rest /= 10n;
  }
  return digits;
}

/** Converts from packed BCD, exactly. Digits above 9 count as what their bits say; the architecture leaves them undefined. */
export function fromBcd(low: bigint, high: number, out: Float): void {
  let value = BigInt((high >> 4) & 15) * 10n + BigInt(high & 15);
  for (let shift = 60n; shift >= 0n; shift -= 4n) value = value * 10n + ((low >> shift) & 15n);
  fromInteger(value, out);
  out.sign = (high >> 15) & 1;
}

/** What loading a value of a smaller format raises: IE for a signalling NaN, which becomes quiet, and DE. */
export function widen(env: FloatEnvironment, a: Float): void {
  if (a.kind > KIND.infinity) propagateOne(env, a, a);
  else stopsOnDenormal(env, a, a);
}
