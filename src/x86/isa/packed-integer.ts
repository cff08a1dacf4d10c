import type { SimdOp } from '../../wasm/opcodes.ts';
import type { Emitter, Value } from '../ir/emitter.ts';
import { type PackedOp, repeated, zero } from './vector.ts';

/**
 * The packed integer operations that exist for XMM (prefix 66) and MMX (no prefix) registers, over 128-bit values.
 *
 * An MMX instruction runs the same operation on widened operands: `lanes`: each operand in both halves, result in the lower;
 * `pair`: both operands are the halves of both arguments, for what pairs lanes of each operand up; `high`: as `lanes`, but the
 * result is the upper half (interleaving the upper lanes of 64 bits is the upper half of interleaving the lower ones of 128).
 */
export type MmxForm = 'lanes' | 'pair' | 'high';

export interface PackedRow {
  readonly name: string;
  /** After the mandatory prefix. */
  readonly opcode: string;
  readonly op: PackedOp;
  readonly mmx: MmxForm;
}

const simd =
  (name: SimdOp): PackedOp =>
  (b, a, c) =>
    b.simd(name, a, c);
const shuffle =
  (order: readonly number[]): PackedOp =>
  (b, a, c) =>
    b.shuffle(order, a, c);

/** Lanes of `bytes` from a and c in turn, starting with the given byte of each. */
function interleave(bytes: number, start: 0 | 8): readonly number[] {
  const out: number[] = [];
  for (let at = start; at < start + 8; at += bytes) {
    for (const from of [at, at + 16]) for (let i = 0; i < bytes; i++) out.push(from + i);
  }
  return out;
}

/** Every second lane of both arguments. */
function everySecond(bytes: number, first: 0 | 1): readonly number[] {
  const out: number[] = [];
  for (let at = first * bytes; at < 32; at += 2 * bytes) for (let i = 0; i < bytes; i++) out.push(at + i);
  return out;
}

/** PHADD, PHSUB: op over the two lanes of each pair. */
function horizontal(bytes: number, name: SimdOp): PackedOp {
  return (b, a, c) => b.simd(name, b.shuffle(everySecond(bytes, 0), a, c), b.shuffle(everySecond(bytes, 1), a, c));
}

function multiplyHigh(lower: SimdOp, upper: SimdOp): PackedOp {
  return (b, a, c) => b.shuffle(everySecond(2, 1), b.simd(lower, a, c), b.simd(upper, a, c));
}

/** Products of the even 32-bit lanes. */
export function multiplyEven(name: SimdOp): PackedOp {
  const even = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];
  return (b, a, c) => b.simd(name, b.shuffle(even, a, a), b.shuffle(even, c, c));
}

/** Sums of absolute differences of eight bytes. */
function psadbw(b: Emitter, a: Value, c: Value): Value {
  const differences = b.simd('v128_or', b.simd('i8x16_sub_sat_u', a, c), b.simd('i8x16_sub_sat_u', c, a));
  const fours = b.let(b.simd('i32x4_extadd_pairwise_i16x8_u', b.simd('i16x8_extadd_pairwise_i8x16_u', differences)));
  const sums = b.simd('i64x2_add', fours, b.simd('i64x2_shr_u', fours, b.i32(32)));
  return b.simd('v128_and', sums, repeated(b, 8, 0xffff_ffffn));
}

/** Unsigned bytes of a times signed bytes of c: the products fit 16 bits, their sums saturate. */
function pmaddubsw(b: Emitter, a: Value, c: Value): Value {
  const lower = b.simd('i16x8_mul', b.simd('i16x8_extend_low_i8x16_u', a), b.simd('i16x8_extend_low_i8x16_s', c));
  const upper = b.simd('i16x8_mul', b.simd('i16x8_extend_high_i8x16_u', a), b.simd('i16x8_extend_high_i8x16_s', c));
  return horizontal(2, 'i16x8_add_sat_s')(b, b.let(lower), b.let(upper));
}

/** The saturating operation gives 7FFF for the one product that PMULHRSW wraps. */
function pmulhrsw(b: Emitter, a: Value, c: Value): Value {
  const smallest = repeated(b, 2, 0x8000);
  const wraps = b.simd('v128_and', b.simd('i16x8_eq', a, smallest), b.simd('i16x8_eq', c, smallest));
  return b.simd('v128_xor', b.simd('i16x8_q15mulr_sat_s', a, c), wraps);
}

/** PSIGN: a, negated where c is negative, 0 where c is 0. */
function sign(bits: 8 | 16 | 32): PackedOp {
  const shape = ({ 8: 'i8x16', 16: 'i16x8', 32: 'i32x4' } as const)[bits];
  return (b, a, c) => {
    const negative = b.let(b.simd(`${shape}_shr_s`, c, b.i32(bits - 1)));
    const signed = b.simd(`${shape}_sub`, b.simd('v128_xor', a, negative), negative);
    return b.simd('v128_and', signed, b.simd(`${shape}_ne`, c, zero(b)));
  };
}

/** A set top bit of an index gives 0, as does any index that swizzle finds too large. */
function pshufb(b: Emitter, a: Value, c: Value): Value {
  return b.simd('i8x16_swizzle', a, b.simd('v128_and', c, repeated(b, 1, 0x8f)));
}

/** As PSHUFB of MMX: eight bytes, so bit 3 of an index does not count either. */
export function pshufb64(b: Emitter, a: Value, c: Value): Value {
  return b.simd('i8x16_swizzle', a, b.simd('v128_and', c, repeated(b, 1, 0x87)));
}

const row = (name: string, opcode: string, op: PackedOp | SimdOp, mmx: MmxForm = 'lanes'): PackedRow => ({
  name,
  opcode,
  op: typeof op === 'string' ? simd(op) : op,
  mmx,
});

/** SSE2 (and MMX, where SSE added some). @spec SDM-2D table A-3 */
export const PACKED: readonly PackedRow[] = [
  row('PUNPCKLBW', '0F 60', shuffle(interleave(1, 0))),
  row('PUNPCKLWD', '0F 61', shuffle(interleave(2, 0))),
  row('PUNPCKLDQ', '0F 62', shuffle(interleave(4, 0))),
  row('PACKSSWB', '0F 63', 'i8x16_narrow_i16x8_s', 'pair'),
  row('PCMPGTB', '0F 64', 'i8x16_gt_s'),
  row('PCMPGTW', '0F 65', 'i16x8_gt_s'),
  row('PCMPGTD', '0F 66', 'i32x4_gt_s'),
  row('PACKUSWB', '0F 67', 'i8x16_narrow_i16x8_u', 'pair'),
  row('PACKSSDW', '0F 6B', 'i16x8_narrow_i32x4_s', 'pair'),
  row('PCMPEQB', '0F 74', 'i8x16_eq'),
  row('PCMPEQW', '0F 75', 'i16x8_eq'),
  row('PCMPEQD', '0F 76', 'i32x4_eq'),
  row('PADDQ', '0F D4', 'i64x2_add'),
  row('PMULLW', '0F D5', 'i16x8_mul'),
  row('PSUBUSB', '0F D8', 'i8x16_sub_sat_u'),
  row('PSUBUSW', '0F D9', 'i16x8_sub_sat_u'),
  row('PMINUB', '0F DA', 'i8x16_min_u'),
  row('PAND', '0F DB', 'v128_and'),
  row('PADDUSB', '0F DC', 'i8x16_add_sat_u'),
  row('PADDUSW', '0F DD', 'i16x8_add_sat_u'),
  row('PMAXUB', '0F DE', 'i8x16_max_u'),
  row('PANDN', '0F DF', (b, a, c) => b.simd('v128_andnot', c, a)),
  row('PAVGB', '0F E0', 'i8x16_avgr_u'),
  row('PAVGW', '0F E3', 'i16x8_avgr_u'),
  row('PMULHUW', '0F E4', multiplyHigh('i32x4_extmul_low_i16x8_u', 'i32x4_extmul_high_i16x8_u')),
  row('PMULHW', '0F E5', multiplyHigh('i32x4_extmul_low_i16x8_s', 'i32x4_extmul_high_i16x8_s')),
  row('PSUBSB', '0F E8', 'i8x16_sub_sat_s'),
  row('PSUBSW', '0F E9', 'i16x8_sub_sat_s'),
  row('PMINSW', '0F EA', 'i16x8_min_s'),
  row('POR', '0F EB', 'v128_or'),
  row('PADDSB', '0F EC', 'i8x16_add_sat_s'),
  row('PADDSW', '0F ED', 'i16x8_add_sat_s'),
  row('PMAXSW', '0F EE', 'i16x8_max_s'),
  row('PXOR', '0F EF', 'v128_xor'),
  row('PMULUDQ', '0F F4', multiplyEven('i64x2_extmul_low_i32x4_u')),
  row('PMADDWD', '0F F5', 'i32x4_dot_i16x8_s'),
  row('PSADBW', '0F F6', psadbw),
  row('PSUBB', '0F F8', 'i8x16_sub'),
  row('PSUBW', '0F F9', 'i16x8_sub'),
  row('PSUBD', '0F FA', 'i32x4_sub'),
  row('PSUBQ', '0F FB', 'i64x2_sub'),
  row('PADDB', '0F FC', 'i8x16_add'),
  row('PADDW', '0F FD', 'i16x8_add'),
  row('PADDD', '0F FE', 'i32x4_add'),
  // SSSE3
  row('PHADDW', '0F 38 01', horizontal(2, 'i16x8_add'), 'pair'),
  row('PHADDD', '0F 38 02', horizontal(4, 'i32x4_add'), 'pair'),
  row('PHADDSW', '0F 38 03', horizontal(2, 'i16x8_add_sat_s'), 'pair'),
  row('PMADDUBSW', '0F 38 04', pmaddubsw),
  row('PHSUBW', '0F 38 05', horizontal(2, 'i16x8_sub'), 'pair'),
  row('PHSUBD', '0F 38 06', horizontal(4, 'i32x4_sub'), 'pair'),
  row('PHSUBSW', '0F 38 07', horizontal(2, 'i16x8_sub_sat_s'), 'pair'),
  row('PSIGNB', '0F 38 08', sign(8)),
  row('PSIGNW', '0F 38 09', sign(16)),
  row('PSIGND', '0F 38 0A', sign(32)),
  row('PMULHRSW', '0F 38 0B', pmulhrsw),
  row('PABSB', '0F 38 1C', (b, _, c) => b.simd('i8x16_abs', c)),
  row('PABSW', '0F 38 1D', (b, _, c) => b.simd('i16x8_abs', c)),
  row('PABSD', '0F 38 1E', (b, _, c) => b.simd('i32x4_abs', c)),
];

/** The upper lanes; a whole register or a whole 64-bit memory operand is read for them. */
export const PACKED_HIGH: readonly PackedRow[] = [
  row('PUNPCKHBW', '0F 68', shuffle(interleave(1, 8)), 'high'),
  row('PUNPCKHWD', '0F 69', shuffle(interleave(2, 8)), 'high'),
  row('PUNPCKHDQ', '0F 6A', shuffle(interleave(4, 8)), 'high'),
];

/** What only XMM registers have in the 0F map. */
export const PACKED_XMM: readonly (readonly [name: string, opcode: string, op: PackedOp])[] = [
  ['PUNPCKLQDQ', '0F 6C', shuffle(interleave(8, 0))],
  ['PUNPCKHQDQ', '0F 6D', shuffle(interleave(8, 8))],
  ['PSHUFB', '0F 38 00', pshufb],
];
