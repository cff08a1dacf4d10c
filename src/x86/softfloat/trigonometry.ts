import type { FloatEnvironment } from './environment.ts';
import { type Float, KIND, setFinite, setZero, TOP_BIT } from './float.ts';
import { EXT64 } from './format.ts';
import { count } from './integer.ts';
import { invalid, propagateNaN, propagateOne, stopsOnDenormal } from './nan.ts';
import { round } from './round.ts';
import { atan, cosine, pi, sine } from './series.ts';

/** Below 2**-TINY the first term of the series is the result, but for a sticky bit. */
const TINY = 70;
const FRACTION = 256;
/** pi / 2 with FRACTION bits: processors reduce arguments with a pi of 66 bits, and programs see that. @spec SDM-1 §8.3.8 */
const HALF_PI = 0xc90f_daa2_2168_c234cn << BigInt(FRACTION - 67);
const QUARTER_PI = HALF_PI >> 1n;

/** Arguments of this exponent and above are left alone, with C2 set. */
export const TRIGONOMETRIC_LIMIT = 63;

/** True if the trigonometric functions do not reduce `a`. */
export function outOfRange(a: Float): boolean {
  return a.kind === KIND.finite && a.exp >= TRIGONOMETRIC_LIMIT;
}

/** Sine. @spec SDM-2A "FSIN" */
export function sin(env: FloatEnvironment, a: Float, out: Float): void {
  if (special(env, a, out)) return;
  if (a.kind === KIND.zero) setZero(out, a.sign);
  else if (a.exp < -TINY) nearlyItself(env, a, -1n, out);
  else finish(env, a, 0, out);
}

/** Cosine. @spec SDM-2A "FCOS" */
export function cos(env: FloatEnvironment, a: Float, out: Float): void {
  if (special(env, a, out)) return;
  if (a.kind === KIND.zero) setFinite(out, 0, 0, TOP_BIT);
  else if (a.exp < -TINY) round(env, EXT64, 0, -80, (1n << 80n) - 1n, out);
  else finish(env, a, 1, out);
}

/** Tangent. @spec SDM-2A "FPTAN" */
export function tan(env: FloatEnvironment, a: Float, out: Float): void {
  if (special(env, a, out)) return;
  if (a.kind === KIND.zero) setZero(out, a.sign);
  else if (a.exp < -TINY) nearlyItself(env, a, 1n, out);
  else {
    const sign = a.sign;
    const { quadrant, rest, negative } = reduce(a);
    const [s, c] = [sine(rest, FRACTION), cosine(rest, FRACTION)];
    const swap = (quadrant & 1) === 1;
    const ratio = swap ? (c << count(FRACTION)) / s : (s << count(FRACTION)) / c;
    const flip = negative !== swap;
    round(env, EXT64, sign ^ (flip ? 1 : 0), -FRACTION, ratio | 1n, out);
  }
}

function special(env: FloatEnvironment, a: Float, out: Float): boolean {
  env.roundedUp = false;
  if (a.kind > KIND.infinity) {
    propagateOne(env, a, out);
    return true;
  }
  if (a.kind === KIND.infinity) {
    invalid(env, out);
    return true;
  }
  return stopsOnDenormal(env, a, a);
}

/** a, moved by less than anything kept, away from zero (1n) or towards it (-1n). */
function nearlyItself(env: FloatEnvironment, a: Float, direction: bigint, out: Float): void {
  round(env, EXT64, a.sign, a.exp - 63 - TINY, (a.sig << count(TINY)) + direction, out);
}

/** |a| = quadrant * pi/2 + rest or - rest, with rest at most pi/4. */
function reduce(a: Float): { quadrant: number; rest: bigint; negative: boolean } {
  const x = a.sig << count(FRACTION + a.exp - 63);
  const quadrant = (x + QUARTER_PI) / HALF_PI;
  const rest = x - quadrant * HALF_PI;
  return { quadrant: Number(quadrant & 3n), rest: rest < 0n ? -rest : rest, negative: rest < 0n };
}

/** Sine of a plus `turn` quarter turns. */
function finish(env: FloatEnvironment, a: Float, turn: number, out: Float): void {
  const { quadrant, rest, negative } = reduce(a);
  const q = (quadrant + turn) & 3;
  const isCosine = (q & 1) === 1;
  const value = isCosine ? cosine(rest, FRACTION) : sine(rest, FRACTION);
  const odd = (turn === 0 ? a.sign : 0) ^ (q >> 1) ^ (!isCosine && negative ? 1 : 0);
  round(env, EXT64, odd, -FRACTION, value | 1n, out);
}

/** Angle of the point (x, y). @spec SDM-2A "FPATAN" */
export function atan2(env: FloatEnvironment, y: Float, x: Float, out: Float): void {
  env.roundedUp = false;
  if (x.kind > KIND.infinity || y.kind > KIND.infinity) {
    propagateNaN(env, x, y, out);
    return;
  }
  if (stopsOnDenormal(env, x, y)) return;
  const sign = y.sign;
  if (y.kind === KIND.infinity) angle(env, sign, x.kind === KIND.infinity ? (x.sign === 1 ? 3n : 1n) : 2n, out);
  else if (x.kind === KIND.infinity || y.kind === KIND.zero) {
    if (x.sign === 1) angle(env, sign, 4n, out);
    else setZero(out, sign);
  } else if (x.kind === KIND.zero) angle(env, sign, 2n, out);
  else atan2Finite(env, y, x, out);
}

/** quarters * pi/4. */
function angle(env: FloatEnvironment, sign: number, quarters: bigint, out: Float): void {
  round(env, EXT64, sign, -258, (pi(256) * quarters) | 1n, out);
}

function atan2Finite(env: FloatEnvironment, y: Float, x: Float, out: Float): void {
  const sign = y.sign;
  const steep = y.exp > x.exp || (y.exp === x.exp && y.sig > x.sig);
  const [small, large] = steep ? [x, y] : [y, x];
  const distance = large.exp - small.exp;
  if (distance > TINY) {
    if (steep) round(env, EXT64, sign, -257, (pi(256) | 1n) + (x.sign === 1 ? 1n << 150n : -(1n << 150n)), out);
    else if (x.sign === 1) round(env, EXT64, sign, -256, pi(256) - (1n << 150n), out);
    else quotient(env, sign, y, x, out);
    return;
  }
  const fraction = FRACTION;
  const arc = atan((small.sig << count(fraction - distance)) / large.sig, fraction);
  let total = arc;
  if (steep) total = x.sign === 1 ? (pi(fraction) >> 1n) + arc : (pi(fraction) >> 1n) - arc;
  else if (x.sign === 1) total = pi(fraction) - arc;
  round(env, EXT64, sign, -fraction, total | 1n, out);
}

/** y / x, a little less: the arc tangent of a very small ratio. */
function quotient(env: FloatEnvironment, sign: number, y: Float, x: Float, out: Float): void {
  const ratio = (y.sig << 140n) / x.sig;
  round(env, EXT64, sign, y.exp - x.exp - 142, ratio * 4n - 1n, out);
}
