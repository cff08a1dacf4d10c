import type { Emitter, Value } from '../ir/emitter.ts';
import { bytesFrom, lanes, narrow, repeated, zero } from './vector.ts';

/** Shifts and shuffles of XMM and MMX registers by a count or an immediate, over 128-bit values. */

/** Shift of each lane. */
export interface ShiftRow {
  readonly name: string;
  /** With the count in a register or memory; with an immediate count. */
  readonly opcode: string;
  readonly immediate: string;
  readonly bits: 16 | 32 | 64;
  readonly op: 'shl' | 'shr_u' | 'shr_s';
}

export const SHIFTS: readonly ShiftRow[] = [
  { name: 'PSRLW', opcode: '0F D1', immediate: '0F 71 /2', bits: 16, op: 'shr_u' },
  { name: 'PSRLD', opcode: '0F D2', immediate: '0F 72 /2', bits: 32, op: 'shr_u' },
  { name: 'PSRLQ', opcode: '0F D3', immediate: '0F 73 /2', bits: 64, op: 'shr_u' },
  { name: 'PSRAW', opcode: '0F E1', immediate: '0F 71 /4', bits: 16, op: 'shr_s' },
  { name: 'PSRAD', opcode: '0F E2', immediate: '0F 72 /4', bits: 32, op: 'shr_s' },
  { name: 'PSLLW', opcode: '0F F1', immediate: '0F 71 /6', bits: 16, op: 'shl' },
  { name: 'PSLLD', opcode: '0F F2', immediate: '0F 72 /6', bits: 32, op: 'shl' },
  { name: 'PSLLQ', opcode: '0F F3', immediate: '0F 73 /6', bits: 64, op: 'shl' },
];

/** Counts (i64) from the lane width on give 0, or the sign: WebAssembly would take them modulo the width. */
export function shiftLanes(b: Emitter, { bits, op }: ShiftRow, value: Value, count: Value): Value {
  const name = `${({ 16: 'i16x8', 32: 'i32x4', 64: 'i64x2' } as const)[bits]}_${op}` as const;
  const inside = count.constant === undefined ? b.ltU(count, b.const(bits)) : b.i32(count.constant < BigInt(bits) ? 1 : 0);
  if (op === 'shr_s') return b.simd(name, value, narrow(b, b.select(inside, count, b.const(bits - 1))));
  return b.select(inside, b.simd(name, value, narrow(b, count)), zero(b));
}

/** The smaller of an i64 value and a number, as i32. */
function capped(b: Emitter, value: Value, limit: number): Value {
  if (value.constant !== undefined) return b.i32(value.constant < BigInt(limit) ? Number(value.constant) : limit);
  return narrow(b, b.select(b.ltU(value, b.const(limit)), value, b.const(limit)));
}

/** PSRLDQ and PSLLDQ. */
export function shiftBytes(b: Emitter, direction: 'left' | 'right', value: Value, count: Value): Value {
  const n = b.let(capped(b, count, 16));
  return bytesFrom(b, value, direction === 'right' ? n : b.op('i32_sub', b.i32(0), n));
}

/** Sixteen bytes of upper:lower from byte `count` on. */
export function alignRight(b: Emitter, upper: Value, lower: Value, count: Value): Value {
  const n = b.let(capped(b, count, 32));
  return b.simd('v128_or', bytesFrom(b, lower, n), bytesFrom(b, upper, b.op('i32_sub', n, b.i32(16))));
}

/** Words or double words chosen by two bits of an i32 each, from the lowest; only lanes `from` to `to` move. */
export function shuffleByImmediate(b: Emitter, bytes: 2 | 4, value: Value, choice: Value, from = 0, to = 4): Value {
  const count = 16 / bytes;
  const shape = bytes === 2 ? 'i16x8' : 'i32x4';
  const moves = (i: number): boolean => i >= from && i < to;
  if (choice.constant !== undefined) {
    const bits = Number(choice.constant);
    const lane = (i: number): number => (moves(i) ? from + ((bits >> (2 * (i - from))) & 3) : i);
    const order = Array.from({ length: 16 }, (_, i) => lane(Math.floor(i / bytes)) * bytes + (i % bytes));
    return b.shuffle(order, value, value);
  }
  // Multiplication shifts each lane's two bits to the same place.
  const factors = Array.from({ length: count }, (_, i) => (moves(i) ? 64 >> (2 * (i - from)) : 0));
  const bases = Array.from({ length: count }, (_, i) => byteNumbers(bytes, moves(i) ? from : i));
  const spread = b.simd(`${shape}_mul`, b.simd(`${shape}_splat`, choice), lanes(b, bytes, factors));
  const chosen = b.simd('v128_and', b.simd(`${shape}_shr_u`, spread, b.i32(6)), repeated(b, bytes, 3));
  const scaled = b.simd(`${shape}_mul`, chosen, repeated(b, bytes, bytes === 2 ? 0x0202 : 0x0404_0404));
  return b.simd('i8x16_swizzle', value, b.simd(`${shape}_add`, scaled, lanes(b, bytes, bases)));
}

/** The numbers of the bytes of a lane, as a lane. */
function byteNumbers(bytes: number, lane: number): number {
  let out = 0;
  for (let i = bytes - 1; i >= 0; i--) out = out * 256 + lane * bytes + i;
  return out;
}

/** `lane` (i64) of a value, as the lowest lane of the result. */
export function laneToBottom(b: Emitter, bytes: number, value: Value, lane: Value): Value {
  return bytesFrom(b, value, narrow(b, b.mul(lane, b.const(bytes))));
}
