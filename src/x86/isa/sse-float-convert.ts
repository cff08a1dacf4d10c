import type { Emitter, Value } from '../ir/emitter.ts';
import { type Definition, instruction } from './definition.ts';
import { ordinary } from './sse-float.ts';
import { every, belowInfinity, notDenormal, unchanged } from './sse-float-guard.ts';
import { allOf, guarded, low32, type Lanes, PD, PS, readLanes, SD, SS, writeLanes } from './sse-float-lanes.ts';

const SMALLEST_SINGLE = 2 ** -126;

/** CVTPS2PD, CVTSS2SD: exact for every number. */
function widen(lanes: Lanes, operands: readonly string[]): Definition {
  return instruction({
    name: lanes === PS ? 'CVTPS2PD' : 'CVTSS2SD',
    opcode: `${lanes.prefix} 0F 5A`,
    operands,
    unit: 'sse',
    semantics: (b, dst, src) => {
      const a = readLanes(b, src!);
      const fast = b.let(b.simd('f64x2_promote_low_f32x4', a));
      const call = { operation: 'convert', width: 32, count: lanes === PS ? 2 : 1, a } as const;
      writeLanes(b, dst!, guarded(b, fast, ordinary(b, lanes, a), call));
    },
  });
}

/** CVTPD2PS, CVTSD2SS. */
function narrow(lanes: Lanes, operands: readonly string[]): Definition {
  return instruction({
    name: lanes === PD ? 'CVTPD2PS' : 'CVTSD2SS',
    opcode: `${lanes.prefix} 0F 5A`,
    operands,
    unit: 'sse',
    semantics: (b, dst, src) => {
      const a = readLanes(b, src!);
      const fast = b.let(b.simd('f32x4_demote_f64x2_zero', a));
      const back = b.let(b.simd('f64x2_promote_low_f32x4', fast));
      // The smallest normal number may be the rounded result of something smaller, which raises UE.
      const large = b.simd('f64x2_gt', b.simd('f64x2_abs', back), allOf(b, 64, SMALLEST_SINGLE));
      const size = b.simd('v128_or', large, b.simd('f64x2_eq', a, allOf(b, 64, 0)));
      const clean = every(b, PD, b.simd('v128_and', size, belowInfinity(b, PD, back)));
      const good = unchanged(b, clean, () => every(b, PD, b.simd('f64x2_eq', back, a)), 'mxcsr');
      writeLanes(b, dst!, guarded(b, fast, good, { operation: 'convert', width: 64, count: lanes.count, a }));
    },
  });
}

/** What conversions of `lanes` to integers of `bits` bits share: the rounded operand, and whether MXCSR stays as it is. */
function rounded(b: Emitter, lanes: Lanes, bits: 32 | 64, a: Value, truncate: boolean): { value: Value; good: Value } {
  const value = b.let(b.simd(`${lanes.shape}_${truncate ? 'trunc' : 'nearest'}`, a));
  const inRange = b.simd(`${lanes.shape}_lt`, b.simd(`${lanes.shape}_abs`, value), allOf(b, lanes.width, 2 ** (bits - 1)));
  const clean = every(b, lanes, b.simd('v128_and', inRange, notDenormal(b, lanes, a)));
  const exact = () => every(b, lanes, b.simd(`${lanes.shape}_eq`, value, a));
  return { value, good: unchanged(b, clean, exact, truncate ? 'own' : 'mxcsr') };
}

/** CVTPS2DQ, CVTPD2DQ and truncating. Two doubles give two integers and two zeros. */
export function vectorToIntegers(b: Emitter, lanes: Lanes, a: Value, { count, truncate }: { count: number; truncate: boolean }): Value {
  const { value, good } = rounded(b, lanes, 32, a, truncate);
  const fast = b.let(b.simd(lanes.width === 32 ? 'i32x4_trunc_sat_f32x4_s' : 'i32x4_trunc_sat_f64x2_s_zero', value));
  return guarded(b, fast, good, {
    operation: 'toInt32',
    width: lanes.width,
    count,
    a,
    immediate: b.i32(truncate ? 1 : 0),
  });
}

function toIntegers(lanes: Lanes, truncate: boolean, opcode: string): Definition {
  return instruction({
    name: `CVT${truncate ? 'T' : ''}${lanes.suffix}2DQ`,
    opcode,
    operands: ['Vx', 'Wx'],
    unit: 'sse',
    semantics: (b, dst, src) => writeLanes(b, dst!, vectorToIntegers(b, lanes, readLanes(b, src!), { count: lanes.count, truncate })),
  });
}

/** CVTSS2SI, CVTSD2SI, CVTTSS2SI, CVTTSD2SI. */
function toGeneral(lanes: Lanes, truncate: boolean): Definition {
  return instruction({
    name: `CVT${truncate ? 'T' : ''}${lanes.suffix}2SI`,
    opcode: `${lanes.prefix} 0F ${truncate ? '2C' : '2D'}`,
    operands: ['Gy', `W${lanes.size}`],
    unit: 'sse',
    semantics: (b, dst, src) => {
      const a = readLanes(b, src!);
      const bits = dst!.bits === 64 ? 64 : 32;
      const { value, good } = rounded(b, lanes, bits, a, truncate);
      const scalar = b.lane(`${lanes.shape}_extract_lane`, 0, value);
      const integer = b.truncSat(`i64_trunc_sat_f${lanes.width}_s`, scalar);
      const fast = b.let(b.simd('i64x2_splat', integer));
      const operation = bits === 64 ? 'toInt64' : 'toInt32';
      const result = guarded(b, fast, good, {
        operation,
        width: lanes.width,
        count: 1,
        a,
        immediate: b.i32(truncate ? 1 : 0),
      });
      dst!.write(bits === 64 ? b.lane('i64x2_extract_lane', 0, result) : low32(b, result));
    },
  });
}

/** CVTDQ2PS on the first `count` lanes. Up to 2**24 integers are exact as singles. */
export function integersToSingles(b: Emitter, a: Value, count: number): Value {
  const fast = b.let(b.simd('f32x4_convert_i32x4_s', a));
  const small = () => every(b, PS, b.simd('i32x4_eq', a, b.simd('i32x4_shr_s', b.simd('i32x4_shl', a, b.i32(7)), b.i32(7))));
  const good = unchanged(b, b.i32(1), small, 'mxcsr');
  return guarded(b, fast, good, { operation: 'fromInteger', width: 32, count, a, immediate: b.i32(32) });
}

/** CVTSI2SS, CVTSI2SD. */
function fromGeneral(lanes: Lanes): Definition {
  return instruction({
    name: `CVTSI2${lanes.suffix}`,
    opcode: `${lanes.prefix} 0F 2A`,
    operands: [`V${lanes.size}`, 'Ey'],
    unit: 'sse',
    semantics: (b, dst, src) => {
      const bits = src!.bits === 64 ? 64 : 32;
      const integer = b.let(b.sext(src!.read(), bits));
      const converted = b.op(`f${lanes.width}_convert_i64_s`, integer);
      const fast = b.let(b.simd(`${lanes.shape}_splat`, converted));
      if (lanes.width === 64 && bits === 32) {
        writeLanes(b, dst!, fast);
        return;
      }
      // Integers of so many bits are exact.
      const shift = b.const(lanes.width === 64 ? 10 : 39);
      const good = unchanged(b, b.i32(1), () => b.eq(integer, b.sar(b.shl(integer, shift), shift)), 'mxcsr');
      const a = b.let(b.simd('i64x2_splat', integer));
      writeLanes(b, dst!, guarded(b, fast, good, { operation: 'fromInteger', width: bits, count: 1, a, immediate: b.i32(lanes.width) }));
    },
  });
}

/** Conversions of SSE and SSE2 between XMM and general registers; see sse-float-mmx.ts for those with MMX registers. */
export const SSE_FLOAT_CONVERT: readonly Definition[] = [
  widen(PS, ['Vx', 'Wq']),
  widen(SS, ['Vq', 'Wd']),
  narrow(PD, ['Vx', 'Wx']),
  narrow(SD, ['Vd', 'Wq']),
  toIntegers(PS, false, '66 0F 5B'),
  toIntegers(PS, true, 'F3 0F 5B'),
  toIntegers(PD, true, '66 0F E6'),
  toIntegers(PD, false, 'F2 0F E6'),
  instruction({
    name: 'CVTDQ2PS',
    opcode: 'NP 0F 5B',
    operands: ['Vx', 'Wx'],
    unit: 'sse',
    semantics: (b, dst, src) => writeLanes(b, dst!, integersToSingles(b, readLanes(b, src!), 4)),
  }),
  instruction({
    name: 'CVTDQ2PD',
    opcode: 'F3 0F E6',
    operands: ['Vx', 'Wq'],
    unit: 'sse',
    semantics: (b, dst, src) => writeLanes(b, dst!, b.simd('f64x2_convert_low_i32x4_s', readLanes(b, src!))),
  }),
  ...[SS, SD].flatMap((lanes) => [fromGeneral(lanes), toGeneral(lanes, true), toGeneral(lanes, false)]),
];
