import type { FloatEnvironment } from './environment.ts';
import { type Float, KIND, setDefaultNaN, setNaN } from './float.ts';
import { EXCEPTION } from './format.ts';

/** Raises IE and delivers the default NaN. */
export function invalid(env: FloatEnvironment, out: Float): void {
  env.flags |= EXCEPTION.IE;
  setDefaultNaN(out);
}

/**
 * Result of an operation on two operands of which at least one is a NaN or unsupported.
 * @spec SDM-1 §4.8.3.5, table 4-7
 */
export function propagateNaN(env: FloatEnvironment, a: Float, b: Float, out: Float): void {
  if (a.kind === KIND.unsupported || b.kind === KIND.unsupported) {
    invalid(env, out);
    return;
  }
  if (a.kind === KIND.snan || b.kind === KIND.snan) env.flags |= EXCEPTION.IE;
  const survivor = env.x87 ? x87Survivor(a, b) : a.kind >= KIND.qnan ? a : b;
  setNaN(out, survivor.sign, survivor.sig);
}

/** Result of an operation on one operand that is a NaN or unsupported. */
export function propagateOne(env: FloatEnvironment, a: Float, out: Float): void {
  propagateNaN(env, a, a, out);
}

/** A quiet NaN goes before a signalling one, then the larger significand, then the positive sign. */
function x87Survivor(a: Float, b: Float): Float {
  if (b.kind < KIND.qnan) return a;
  if (a.kind < KIND.qnan) return b;
  if (a.kind !== b.kind) return a.kind === KIND.qnan ? a : b;
  if (a.sig !== b.sig) return a.sig > b.sig ? a : b;
  return a.sign <= b.sign ? a : b;
}

/**
 * Raises DE if an operand is denormal.
 * @returns true if that is unmasked, so that the operation must not go on
 */
export function stopsOnDenormal(env: FloatEnvironment, a: Float, b: Float): boolean {
  if (!a.denormal && !b.denormal) return false;
  env.flags |= EXCEPTION.DE;
  return (env.masks & EXCEPTION.DE) === 0;
}
