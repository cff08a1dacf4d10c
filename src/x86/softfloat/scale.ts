import { fromInteger } from './convert.ts';
import type { FloatEnvironment } from './environment.ts';
import { copy, type Float, KIND, setFinite, setInfinity, setZero } from './float.ts';
import { EXCEPTION, type Format } from './format.ts';
import { count } from './integer.ts';
import { invalid, propagateNaN, propagateOne, stopsOnDenormal } from './nan.ts';
import { round } from './round.ts';

/** a * 2**trunc(b). @spec SDM-2A "FSCALE" */
export function scale(env: FloatEnvironment, format: Format, a: Float, b: Float, out: Float): void {
  env.roundedUp = false;
  if (a.kind > KIND.infinity || b.kind > KIND.infinity) {
    propagateNaN(env, a, b, out);
    return;
  }
  if (b.kind === KIND.infinity && a.kind === (b.sign === 1 ? KIND.infinity : KIND.zero)) {
    invalid(env, out);
    return;
  }
  if (stopsOnDenormal(env, a, b)) return;
  if (a.kind !== KIND.finite) copy(out, a);
  else if (b.kind === KIND.infinity) {
    if (b.sign === 1) setZero(out, a.sign);
    else setInfinity(out, a.sign);
  } else round(env, format, a.sign, a.exp - 63 + shiftOf(b), a.sig, out);
}

/** b cut to an integer, and to what certainly overflows or underflows. */
function shiftOf(b: Float): number {
  if (b.kind === KIND.zero || b.exp < 0) return 0;
  const magnitude = b.exp > 16 ? 0x2_0000 : Number(b.sig >> count(63 - b.exp));
  return b.sign === 1 ? -magnitude : magnitude;
}

/** Splits a into exponent and significand. @spec SDM-2A "FXTRACT" */
export function extract(env: FloatEnvironment, a: Float, exponent: Float, significand: Float): void {
  env.roundedUp = false;
  if (a.kind > KIND.infinity) {
    propagateOne(env, a, exponent);
    copy(significand, exponent);
  } else if (a.kind === KIND.zero) {
    env.flags |= EXCEPTION.ZE;
    setInfinity(exponent, 1);
    setZero(significand, a.sign);
  } else if (a.kind === KIND.infinity) {
    setInfinity(exponent, 0);
    setInfinity(significand, a.sign);
  } else if (!stopsOnDenormal(env, a, a)) {
    const { sign, exp, sig } = a;
    fromInteger(BigInt(exp), exponent);
    setFinite(significand, sign, 0, sig);
  }
}
