import { EXCEPTION } from './format.ts';

/** How an operation rounds, which exceptions are masked, and what it raised. One instance serves many operations. */
export class FloatEnvironment {
  /** One of ROUND. */
  rounding = 0;
  /** EXCEPTION bits whose masked response is wanted; the others stop the operation where the architecture says so. */
  masks: number = EXCEPTION.all;
  /** EXCEPTION bits raised; operations only add. */
  flags = 0;
  /** The last rounding increased the magnitude: C1 of the x87. */
  roundedUp = false;
  /** Which of two NaNs survives: the x87 takes the larger significand, SSE the first operand. */
  x87 = false;
  /** MXCSR.FZ and MXCSR.DAZ; never set for the x87. */
  flushToZero = false;
  denormalsAreZero = false;
}

/** Sets an environment up from MXCSR, with no exception raised. @spec SDM-1 §10.2.3 */
export function fromMxcsr(env: FloatEnvironment, mxcsr: number): FloatEnvironment {
  env.rounding = (mxcsr >> 13) & 3;
  env.masks = (mxcsr >> 7) & EXCEPTION.all;
  env.flags = 0;
  env.roundedUp = false;
  env.x87 = false;
  env.flushToZero = (mxcsr & 0x8000) !== 0;
  env.denormalsAreZero = (mxcsr & 0x40) !== 0;
  return env;
}
