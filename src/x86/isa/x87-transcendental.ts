import type { FloatEnvironment } from '../softfloat/environment.ts';
import { copy, type Float, KIND, setFinite, TOP_BIT } from '../softfloat/float.ts';
import { exp2Minus1, yLog2, yLog2Plus1 } from '../softfloat/logarithm.ts';
import { atan2, cos, outOfRange, sin, tan } from '../softfloat/trigonometry.ts';
import type { SystemCpu } from '../system/system-cpu.ts';
import { canPush, deliver, env, FSW, isEmpty, other, push, raise, readSt, result, setCodes, st0, stopped, underflow, writeSt } from './x87-unit.ts';

/**
 * Transcendental instructions. Results are the exact value rounded once as FCW.RC says; processors are allowed, and use, an
 * error of up to one unit in the last place. @spec SDM-1 §8.3.10
 */

/** F2XM1. */
export function f2xm1(cpu: SystemCpu): void {
  const state = cpu.state;
  if (isEmpty(state, 0)) {
    underflow(state, 0, 0);
    return;
  }
  readSt(state, 0, st0);
  exp2Minus1(env, st0, result);
  deliver(state, 0, result, 0);
}

/** FYL2X. */
export const fyl2x = intoSt1((x, y) => yLog2(env, x, y, result));
/** FYL2XP1. */
export const fyl2xp1 = intoSt1((x, y) => yLog2Plus1(env, x, y, result));
/** FPATAN. */
export const fpatan = intoSt1((x, y) => atan2(env, y, x, result));

/** A function of ST0 and ST1 whose result replaces both. */
function intoSt1(compute: (st0: Float, st1: Float) => void): (cpu: SystemCpu) => void {
  return ({ state }) => {
    if (isEmpty(state, 0) || isEmpty(state, 1)) {
      underflow(state, 1, 1);
      return;
    }
    readSt(state, 0, st0);
    readSt(state, 1, other);
    compute(st0, other);
    deliver(state, 1, result, 1);
  };
}

/** FSIN. */
export const fsin = ofAngle(sin);
/** FCOS. */
export const fcos = ofAngle(cos);

function ofAngle(compute: (env: FloatEnvironment, a: Float, out: Float) => void): (cpu: SystemCpu) => void {
  return ({ state }) => {
    setCodes(state, FSW.C2, 0);
    if (isEmpty(state, 0)) {
      underflow(state, 0, 0);
      return;
    }
    readSt(state, 0, st0);
    if (outOfRange(st0)) {
      setCodes(state, FSW.C1 | FSW.C2, FSW.C2);
      return;
    }
    compute(env, st0, result);
    deliver(state, 0, result, 0);
  };
}

/** FSINCOS: sine in ST1, cosine in ST0. */
export const fsincos = ofAnglePushing(sin, cos);
/** FPTAN: tangent in ST1, 1.0 in ST0, unless the tangent is a NaN, which then appears twice. */
export const fptan = ofAnglePushing(tan, (_env, angle, out) => {
  if (angle.kind <= KIND.finite) setFinite(out, 0, 0, TOP_BIT);
  else copy(out, result);
});

function ofAnglePushing(
  first: (env: FloatEnvironment, a: Float, out: Float) => void,
  second: (env: FloatEnvironment, a: Float, out: Float) => void,
): (cpu: SystemCpu) => void {
  return ({ state }) => {
    setCodes(state, FSW.C2, 0);
    if (isEmpty(state, 0)) {
      underflow(state, 0, 0);
      if ((env.masks & 1) !== 0) push(state, result);
      return;
    }
    if (!isEmpty(state, 7)) {
      if (!canPush(state) && (env.masks & 1) !== 0) writeSt(state, 1, result);
      return;
    }
    readSt(state, 0, st0);
    if (outOfRange(st0)) {
      setCodes(state, FSW.C1 | FSW.C2, FSW.C2);
      return;
    }
    first(env, st0, result);
    second(env, st0, other);
    if (stopped(state)) return;
    writeSt(state, 0, result);
    push(state, other);
    raise(state, env.flags, env.roundedUp);
  };
}
