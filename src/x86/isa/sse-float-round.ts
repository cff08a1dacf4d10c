import type { Emitter, Value } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import { type Definition, instruction } from './definition.ts';
import { ordinary } from './sse-float.ts';
import { every, unchanged } from './sse-float-guard.ts';
import { all, allOf, callExact, guarded, type Lanes, PD, PS, readLanes, SD, SS, writeLanes } from './sse-float-lanes.ts';

/** ROUNDPS and so on; bit 2 of the immediate takes the rounding from MXCSR, bit 3 keeps PE from being raised. @spec SDM-2B "ROUNDSD" */
function round(lanes: Lanes, opcode: string): Definition {
  return instruction({
    name: `ROUND${lanes.suffix}`,
    opcode: `66 0F 3A ${opcode}`,
    operands: [`V${lanes.size}`, `W${lanes.size}`, 'Ib'],
    unit: 'sse',
    semantics: (b, dst, src, imm) => {
      const a = readLanes(b, src!);
      const immediate = b.let(b.op('i32_wrap_i64', imm!.read()));
      const bit = (value: number) => b.op('i32_and', immediate, b.i32(value));
      const rc = b.op('i32_shr_u', b.field32(S.mxcsr), b.i32(13));
      const mode = b.let(b.op('i32_and', b.select(bit(4), rc, immediate), b.i32(3)));
      const fast = b.let(roundBy(b, lanes, mode, a));
      const exact = () => b.op('i32_or', bit(8), every(b, lanes, b.simd(`${lanes.shape}_eq`, fast, a)));
      const good = unchanged(b, ordinary(b, lanes, a), exact, 'own');
      writeLanes(b, dst!, guarded(b, fast, good, { operation: 'round', width: lanes.width, count: lanes.count, a, immediate }));
    },
  });
}

function roundBy(b: Emitter, { shape }: Lanes, mode: Value, a: Value): Value {
  const odd = b.op('i32_and', mode, b.i32(1));
  const nearestOrDown = b.select(odd, b.simd(`${shape}_floor`, a), b.simd(`${shape}_nearest`, a));
  const upOrZero = b.select(odd, b.simd(`${shape}_trunc`, a), b.simd(`${shape}_ceil`, a));
  return b.select(b.op('i32_and', mode, b.i32(2)), upOrZero, nearestOrDown);
}

/** DPPS, DPPD: rare enough to be left to TypeScript, with the order of their sums and exceptions. */
function dotProduct(lanes: Lanes, opcode: string): Definition {
  return instruction({
    name: `DP${lanes.suffix}`,
    opcode: `66 0F 3A ${opcode}`,
    operands: ['Vx', 'Wx', 'Ib'],
    unit: 'sse',
    semantics: (b, dst, src, imm) => {
      const c = readLanes(b, src!);
      const a = readLanes(b, dst!);
      const immediate = b.let(b.op('i32_wrap_i64', imm!.read()));
      callExact(b, { operation: 'dot', width: lanes.width, count: lanes.count, a, c, immediate });
      dst!.write(b.vector(b.field64(S.sseResult), b.field64(S.sseResult + 8)));
    },
  });
}

const QUIET = 0x40_0000n;
const DEFAULT_NAN = 0xffc0_0000n;
const SIGN = 0x8000_0000n;

/**
 * RCP, RSQRT: here the rounded quotient, well within the error the architecture allows. Denormals count and come out as
 * zeros whatever MXCSR says, and nothing is raised. @spec SDM-2B "RCPPS"
 */
function approximate(lanes: Lanes, name: 'RCP' | 'RSQRT', opcode: string): Definition {
  return instruction({
    name: name + lanes.suffix,
    opcode: `${lanes.prefix} 0F ${opcode}`,
    operands: [`V${lanes.size}`, `W${lanes.size}`],
    unit: 'sse',
    semantics: (b, dst, src) => {
      const a = readLanes(b, src!);
      const x = b.let(flush(b, a));
      const root = name === 'RCP' ? x : b.simd('f32x4_sqrt', x);
      const quotient = b.let(b.simd('f32x4_div', allOf(b, 32, 1), root));
      const negative = b.simd('f32x4_lt', x, allOf(b, 32, 0));
      const number = flush(b, quotient);
      const result = name === 'RCP' ? number : b.simd('v128_bitselect', all(b, 32, DEFAULT_NAN), number, negative);
      const quieted = b.simd('v128_or', a, all(b, 32, QUIET));
      writeLanes(b, dst!, b.let(b.simd('v128_bitselect', quieted, result, b.simd('f32x4_ne', a, a))));
    },
  });
}

/** Denormals become zeros of the same sign; so do NaNs, which are dealt with elsewhere. */
function flush(b: Emitter, a: Value): Value {
  const normal = b.simd('f32x4_ge', b.simd('f32x4_abs', a), allOf(b, 32, 2 ** -126));
  return b.simd('v128_and', a, b.simd('v128_or', normal, all(b, 32, SIGN)));
}

/** Rounding and dot products of SSE4.1, approximations of SSE. */
export const SSE_FLOAT_ROUND: readonly Definition[] = [
  round(PS, '08'),
  round(PD, '09'),
  round(SS, '0A'),
  round(SD, '0B'),
  dotProduct(PS, '40'),
  dotProduct(PD, '41'),
  ...[PS, SS].flatMap((lanes) => [approximate(lanes, 'RSQRT', '52'), approximate(lanes, 'RCP', '53')]),
];
