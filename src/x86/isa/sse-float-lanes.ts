import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import { encodeOperation, type ExactOperation } from './sse-float-exact.ts';
import { readAligned } from './sse-operand.ts';

/** The four element types of SSE: packed and scalar, single and double. */
export interface Lanes {
  readonly suffix: 'PS' | 'PD' | 'SS' | 'SD';
  readonly prefix: 'NP' | '66' | 'F3' | 'F2';
  readonly shape: 'f32x4' | 'f64x2';
  readonly ints: 'i32x4' | 'i64x2';
  readonly width: 32 | 64;
  readonly count: number;
  /** Size letter of operand codes. */
  readonly size: 'x' | 'd' | 'q';
}

export const PS: Lanes = { suffix: 'PS', prefix: 'NP', shape: 'f32x4', ints: 'i32x4', width: 32, count: 4, size: 'x' };
export const PD: Lanes = { suffix: 'PD', prefix: '66', shape: 'f64x2', ints: 'i64x2', width: 64, count: 2, size: 'x' };
export const SS: Lanes = { suffix: 'SS', prefix: 'F3', shape: 'f32x4', ints: 'i32x4', width: 32, count: 1, size: 'd' };
export const SD: Lanes = { suffix: 'SD', prefix: 'F2', shape: 'f64x2', ints: 'i64x2', width: 64, count: 1, size: 'q' };
export const ALL_LANES: readonly Lanes[] = [PS, PD, SS, SD];

/** An operand as v128. Scalars are repeated in all lanes, so that what holds for one lane holds for all. */
export function readLanes(b: Emitter, operand: Operand): Value {
  if (operand.bits === 128) return readAligned(b, operand);
  return splat(b, operand.bits, operand.read());
}

/** The low bits of an i64 in all lanes. */
export function splat(b: Emitter, bits: number, value: Value): Value {
  if (bits === 32) return b.let(b.simd('i32x4_splat', b.op('i32_wrap_i64', value)));
  return b.let(b.simd('i64x2_splat', value));
}

/** Writes all of a vector, or its first lanes when the operand is narrower. */
export function writeLanes(b: Emitter, operand: Operand, value: Value): void {
  if (operand.bits === 128) operand.write(value);
  else if (operand.bits === 64) operand.write(b.lane('i64x2_extract_lane', 0, value));
  else operand.write(low32(b, value));
}

/** Lane 0, 32 bits zero-extended. */
export function low32(b: Emitter, value: Value): Value {
  return b.op('i64_extend_i32_u', b.lane('i32x4_extract_lane', 0, value));
}

/** A constant in all lanes. */
export function all(b: Emitter, width: 32 | 64, bits: bigint): Value {
  return b.v128(Array.from({ length: 16 }, (_, i) => Number((bits >> BigInt((i * 8) % width)) & 0xffn)));
}

/** Bits of a number as single or double. */
export function floatBits(width: 32 | 64, value: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  if (width === 64) view.setFloat64(0, value);
  else view.setFloat32(0, value);
  return width === 64 ? view.getBigUint64(0) : BigInt(view.getUint32(0));
}

export function allOf(b: Emitter, width: 32 | 64, value: number): Value {
  return all(b, width, floatBits(width, value));
}

/** A v128 field of the state; for slow paths. */
export function setField128(b: Emitter, offset: number, value: Value): void {
  b.setField64(offset, b.lane('i64x2_extract_lane', 0, value));
  b.setField64(offset + 8, b.lane('i64x2_extract_lane', 1, value));
}

export interface ExactCall {
  readonly operation: ExactOperation;
  /** Of the source elements. */
  readonly width: 32 | 64;
  readonly count: number;
  readonly a: Value;
  readonly c?: Value;
  /** i32. */
  readonly immediate?: Value;
}

/** Runs an operation in TypeScript with all that MXCSR asks for; raises #XM, or leaves the result in S.sseResult. */
export function callExact(b: Emitter, call: ExactCall): void {
  setField128(b, S.sseA, call.a);
  if (call.c !== undefined) setField128(b, S.sseB, call.c);
  if (call.immediate !== undefined) b.setField32(S.sseImmediate, call.immediate);
  b.setField32(S.sseOperation, b.i32(encodeOperation(call.operation, call.width, call.count)));
  b.callHelper('sseFloat');
  const fault = b.field32(S.sseFault);
  b.if(
    fault,
    () => {
      b.if(b.op('i32_eq', fault, b.i32(6)), () => b.raise(6));
      b.raise(19);
    },
    undefined,
    false,
  );
}

/**
 * `fast` where `good` (an i32 condition) says that it is the result and nothing changes in MXCSR; else what TypeScript computes.
 *
 * @param thorough makes the i32 condition that says so where `good` failed to
 */
export function guarded(b: Emitter, fast: Value, good: Value, call: ExactCall, thorough?: () => Value): Value {
  const result = b.variable(fast);
  const exactly = (): void => {
    callExact(b, call);
    result.set(b.vector(b.field64(S.sseResult), b.field64(S.sseResult + 8)));
  };
  b.if(
    good,
    () => {},
    () => (thorough === undefined ? exactly() : b.if(thorough(), () => {}, exactly, true)),
    thorough === undefined ? true : undefined,
  );
  return result;
}
