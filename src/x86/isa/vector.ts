import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import { VECTOR } from '../system/exception.ts';
import { type Definition, instruction } from './definition.ts';

/** What all instructions on XMM registers share: the alignment rule, and small tools on 128-bit values. */

export type Semantics = NonNullable<Definition['semantics']>;

/** A memory operand of 16 bytes may lie anywhere (MOVUPS, MOVDQU, LDDQU, PCMPxSTRx). */
export interface Unaligned {
  readonly unaligned: true;
}

/** An SSE instruction. Its 16-byte memory operand has to be aligned unless the form says otherwise. @spec SDM-1 §4.6.4 */
export function sse(name: string, opcode: string, operands: readonly string[], semantics: Semantics, more: Partial<Definition & Unaligned> = {}): Definition {
  const { unaligned, ...rest } = more;
  return instruction({
    name,
    opcode,
    operands,
    unit: 'sse',
    semantics: unaligned ? semantics : aligned(semantics),
    ...rest,
  });
}

/** The semantics after a check of every 16-byte memory operand. */
export function aligned(semantics: Semantics): Semantics {
  return (b, ...operands) => {
    for (const operand of operands) {
      if (operand.kind === 'memory' && operand.bits === 128) raiseIfMisaligned(b, operand);
    }
    semantics(b, ...operands);
  };
}

function raiseIfMisaligned(b: Emitter, operand: Operand): void {
  const low = b.and(operand.linearAddress(), b.const(15));
  b.if(b.ne(low, b.const(0)), () => b.raise(VECTOR.GP, 0), undefined, false);
}

/** Two 128-bit operands to one: the most common kind of instruction. */
export type PackedOp = (b: Emitter, a: Value, c: Value) => Value;

/** dst = op(dst, src). */
export function packed(op: PackedOp): Semantics {
  return (b, dst, src) => {
    const c = src!.read();
    dst!.write(op(b, dst!.read(), c));
  };
}

/** dst = op(src). */
export function unary(op: (b: Emitter, c: Value) => Value): Semantics {
  return (b, dst, src) => dst!.write(op(b, src!.read()));
}

/** A constant from equal lanes of 1, 2, 4 or 8 bytes; the first is the lowest. */
export function lanes(b: Emitter, bytes: 1 | 2 | 4 | 8, values: readonly (number | bigint)[]): Value {
  const out: number[] = [];
  for (const value of values) {
    for (let i = 0; i < bytes; i++) out.push(Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
  }
  return b.v128(out);
}

/** One value in all lanes of a constant. */
export function repeated(b: Emitter, bytes: 1 | 2 | 4 | 8, value: number | bigint): Value {
  return lanes(b, bytes, new Array<number | bigint>(16 / bytes).fill(value));
}

export function zero(b: Emitter): Value {
  return b.v128(new Array<number>(16).fill(0));
}

/** The numbers 0 to 15: what to swizzle with to leave everything in place. */
export function iota(b: Emitter): Value {
  return b.v128([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
}

export function low(b: Emitter, value: Value): Value {
  return b.lane('i64x2_extract_lane', 0, value);
}

export function high(b: Emitter, value: Value): Value {
  return b.lane('i64x2_extract_lane', 1, value);
}

/** A 64-bit value below 64 zero bits. */
export function zeroExtended(b: Emitter, value: Value): Value {
  return b.vector(value, b.const(0));
}

/** The low 32 bits of an integer as i32, for lane operations. */
export function narrow(b: Emitter, value: Value): Value {
  return b.op('i32_wrap_i64', value);
}

/** Bytes n.. of `value`, zeros after them; n is an i32 between -240 and 240. Negative n moves upwards. */
export function bytesFrom(b: Emitter, value: Value, n: Value): Value {
  if (n.constant === undefined) {
    return b.simd('i8x16_swizzle', value, b.simd('i8x16_add', iota(b), b.simd('i8x16_splat', n)));
  }
  const by = Number(BigInt.asIntN(32, n.constant));
  if (by === 0) return value;
  const from = (i: number): number => (i + by >= 0 && i + by < 16 ? i + by : 16);
  return b.shuffle(
    Array.from({ length: 16 }, (_, i) => from(i)),
    value,
    zero(b),
  );
}

/** Leaves 128-bit operands for a helper in S.vector. */
export function passVectors(b: Emitter, ...values: readonly Value[]): void {
  values.forEach((value, i) => {
    const kept = b.let(value);
    b.setField64(S.vector + i * 16, low(b, kept));
    b.setField64(S.vector + i * 16 + 8, high(b, kept));
  });
}

/** The result that a helper left in the first place of S.vector. */
export function vectorResult(b: Emitter): Value {
  return b.vector(b.field64(S.vector), b.field64(S.vector + 8));
}
