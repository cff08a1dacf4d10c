import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import { type Definition, instruction } from './definition.ts';
import { ordinary } from './sse-float.ts';
import { ALL_LANES, callExact, guarded, type Lanes, readLanes, SD, SS, writeLanes } from './sse-float-lanes.ts';

/** Predicates 0..3 for operands that are numbers: equal, less, less or equal, unordered; 4..7 are their opposites. @spec SDM-2A "CMPPS" */
function compareNumbers(b: Emitter, lanes: Lanes, predicate: Value, a: Value, c: Value): Value {
  const bit = (n: number) => b.simd('i32x4_splat', b.op('i32_sub', b.i32(0), b.op('i32_and', b.op('i32_shr_u', predicate, b.i32(n)), b.i32(1))));
  const low = b.let(bit(0));
  const equal = b.simd(`${lanes.shape}_eq`, a, c);
  const less = b.simd(`${lanes.shape}_lt`, a, c);
  // 0 equal, 1 less, 2 either, 3 neither.
  const equalWanted = b.simd('v128_andnot', equal, low);
  const lessWanted = b.simd('v128_and', less, b.simd('v128_xor', low, bit(1)));
  return b.simd('v128_xor', b.simd('v128_or', equalWanted, lessWanted), bit(2));
}

function compareForm(lanes: Lanes): Definition {
  return instruction({
    name: `CMP${lanes.suffix}`,
    opcode: `${lanes.prefix} 0F C2`,
    operands: [`V${lanes.size}`, `W${lanes.size}`, 'Ib'],
    unit: 'sse',
    semantics: (b, dst, src, imm) => {
      const c = readLanes(b, src!);
      const a = readLanes(b, dst!);
      const predicate = b.let(b.op('i32_wrap_i64', imm!.read()));
      const fast = b.let(compareNumbers(b, lanes, predicate, a, c));
      const call = {
        operation: 'compare',
        width: lanes.width,
        count: lanes.count,
        a,
        c,
        immediate: predicate,
      } as const;
      writeLanes(b, dst!, guarded(b, fast, ordinary(b, lanes, a, c), call));
    },
  });
}

const UNORDERED = 2;

/** COMISS, UCOMISS: the relation in ZF, PF and CF. The quiet form raises nothing for quiet NaNs. @spec SDM-2A "COMISD" */
function order(lanes: Lanes, quiet: boolean): Definition {
  return instruction({
    name: `${quiet ? 'U' : ''}COMI${lanes.suffix}`,
    opcode: `${lanes === SD ? '66' : 'NP'} 0F ${quiet ? '2E' : '2F'}`,
    operands: [`V${lanes.size}`, `W${lanes.size}`],
    unit: 'sse',
    semantics: (b, dst, src) => emitOrder(b, lanes, quiet, dst!, src!),
  });
}

function emitOrder(b: Emitter, lanes: Lanes, quiet: boolean, dst: Operand, src: Operand): void {
  const c = readLanes(b, src);
  const a = readLanes(b, dst);
  const holds = (name: 'lt' | 'gt') => b.lane('i32x4_extract_lane', 0, b.simd(`${lanes.shape}_${name}`, a, c));
  // Masks are -1, so this is -1 for below, 0 for equal, 1 for above.
  const relation = b.variable(b.op('i32_sub', holds('lt'), holds('gt')));
  b.if(
    ordinary(b, lanes, a, c),
    () => {},
    () => {
      callExact(b, { operation: 'order', width: lanes.width, count: 1, a, c, immediate: b.i32(quiet ? 1 : 0) });
      relation.set(b.field32(S.sseResult));
    },
    true,
  );
  const is = (value: number) => b.op('i32_eq', relation, b.i32(value));
  const unordered = b.let(is(UNORDERED));
  b.setZfPfCf(b.let(b.op('i32_or', is(0), unordered)), unordered, b.let(b.op('i32_or', is(-1), unordered)));
}

/** Comparisons of SSE and SSE2. */
export const SSE_FLOAT_COMPARE: readonly Definition[] = [
  ...ALL_LANES.map(compareForm),
  ...[SS, SD].flatMap((lanes) => [order(lanes, true), order(lanes, false)]),
];
