import type { FloatEnvironment } from './environment.ts';
import { type Float, setFinite, setInfinity, setZero } from './float.ts';
import { EXCEPTION, type Format, ROUND } from './format.ts';
import { bitLength, count, pow2 } from './integer.ts';

/**
 * Rounds sig * 2**exp to a format and raises OE, UE and PE. Every arithmetic result passes through here.
 *
 * @param sig  positive, of any length; a non-zero remainder beyond it is told by bit 0 set ("sticky"), and then it has at least
 *             two bits more than the format's precision
 * @param out  left-aligned; bit 63 of its significand is clear if the result is denormal in the format
 * @spec SDM-1 §4.9.1.4, §4.9.1.5, §4.9.1.6
 */
export function round(env: FloatEnvironment, format: Format, sign: number, exp: number, sig: bigint, out: Float): void {
  const length = bitLength(sig);
  const e = exp + length - 1;
  if (e < format.emin) {
    roundTiny(env, format, sign, e, sig, length, out);
    return;
  }
  const precision = format.precision;
  const q = increment(env, sign, sig, length - precision);
  const carried = q === pow2(precision);
  setFinite(out, sign, carried ? e + 1 : e, carried ? pow2(63) : q << count(64 - precision));
  if (out.exp > format.emax) overflow(env, format, sign, out);
}

/** Drops the low bits of sig, rounding; says in the environment whether that was inexact and whether it went up. */
function increment(env: FloatEnvironment, sign: number, sig: bigint, drop: number): bigint {
  env.roundedUp = false;
  if (drop <= 0) return sig << count(-drop);
  const rest = BigInt.asUintN(drop, sig);
  const q = sig >> count(drop);
  if (rest === 0n) return q;
  env.flags |= EXCEPTION.PE;
  if (!roundsUp(env.rounding, sign, q, rest, pow2(drop - 1))) return q;
  env.roundedUp = true;
  return q + 1n;
}

/** Whether q and a non-zero rest become q + 1. */
export function roundsUp(rounding: number, sign: number, q: bigint, rest: bigint, half: bigint): boolean {
  if (rounding === ROUND.nearest) return rest > half || (rest === half && (q & 1n) === 1n);
  if (rounding === ROUND.down) return sign === 1;
  if (rounding === ROUND.up) return sign === 0;
  return false;
}

function overflow(env: FloatEnvironment, format: Format, sign: number, out: Float): void {
  env.flags |= EXCEPTION.OE;
  if ((env.masks & EXCEPTION.OE) === 0) {
    out.exp -= format.wrap;
    if (format.wrap === 0 || out.exp <= format.emax) return;
    // Even the wrapped exponent is too large (FSCALE): an infinity, whatever the rounding.
    env.flags |= EXCEPTION.PE;
    env.roundedUp = true;
    setInfinity(out, sign);
    return;
  }
  env.flags |= EXCEPTION.PE;
  const toInfinity = env.rounding === ROUND.nearest || env.rounding === (sign === 1 ? ROUND.down : ROUND.up);
  env.roundedUp = toInfinity;
  if (toInfinity) setInfinity(out, sign);
  else setFinite(out, sign, format.emax, (pow2(format.precision) - 1n) << count(64 - format.precision));
}

function roundTiny(env: FloatEnvironment, format: Format, sign: number, e: number, sig: bigint, length: number, out: Float): void {
  const tiny = !(e === format.emin - 1 && carries(env, format, sign, sig, length));
  if (tiny && (env.masks & EXCEPTION.UE) === 0) {
    env.flags |= EXCEPTION.UE;
    wrapUnderflow(env, format, sign, e, sig, length, out);
    return;
  }
  if (tiny && env.flushToZero) {
    env.flags |= EXCEPTION.UE | EXCEPTION.PE;
    setZero(out, sign);
    return;
  }
  const before = env.flags;
  env.flags &= ~EXCEPTION.PE;
  // Two bits below the last one kept are as good as a thousand: the rest is less than a half either way.
  const drop = Math.min(length - format.precision + (format.emin - e), length + 2);
  const q = increment(env, sign, sig, drop);
  if (tiny && (env.flags & EXCEPTION.PE) !== 0) env.flags |= EXCEPTION.UE;
  env.flags |= before;
  if (q === 0n) setZero(out, sign);
  else setFinite(out, sign, format.emin, q << count(64 - format.precision));
}

/** Whether rounding with an unbounded exponent would reach the next power of two: tininess is detected after rounding. */
function carries(env: FloatEnvironment, format: Format, sign: number, sig: bigint, length: number): boolean {
  const drop = length - format.precision;
  if (drop <= 0) return false;
  const q = sig >> count(drop);
  const rest = BigInt.asUintN(drop, sig);
  return q === pow2(format.precision) - 1n && rest !== 0n && roundsUp(env.rounding, sign, q, rest, pow2(drop - 1));
}

function wrapUnderflow(env: FloatEnvironment, format: Format, sign: number, e: number, sig: bigint, length: number, out: Float): void {
  const precision = format.precision;
  const q = increment(env, sign, sig, length - precision);
  const carried = q === pow2(precision);
  const wrapped = e + format.wrap + (carried ? 1 : 0);
  if (format.wrap !== 0 && wrapped < format.emin) {
    env.flags |= EXCEPTION.PE;
    env.roundedUp = false;
    setZero(out, sign);
  } else setFinite(out, sign, wrapped, carried ? pow2(63) : q << count(64 - precision));
}
