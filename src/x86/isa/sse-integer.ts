import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import type { Definition } from './definition.ts';
import { PACKED, PACKED_HIGH, PACKED_XMM } from './packed-integer.ts';
import { alignRight, laneToBottom, SHIFTS, shiftBytes, shiftLanes, shuffleByImmediate } from './packed-shift.ts';
import { lanes, low, narrow, type PackedOp, packed, sse } from './vector.ts';

/** Packed integers in XMM registers: SSE2 and SSSE3. */

const arithmetic: Definition[] = [...PACKED, ...PACKED_HIGH].map(({ name, opcode, op }) => sse(name, `66 ${opcode}`, ['Vx', 'Wx'], packed(op)));

const onlyXmm: Definition[] = PACKED_XMM.map(([name, opcode, op]) => sse(name, `66 ${opcode}`, ['Vx', 'Wx'], packed(op)));

/** The count is the low 64 bits of the operand, all of which count. */
const shifts: Definition[] = SHIFTS.flatMap((row) => [
  sse(row.name, `66 ${row.opcode}`, ['Vx', 'Wx'], (b, dst, src) => {
    const count = b.let(low(b, src!.read()));
    dst!.write(shiftLanes(b, row, dst!.read(), count));
  }),
  sse(row.name, `66 ${row.immediate} reg`, ['Ux', 'Ib'], (b, dst, imm) => {
    const count = b.let(imm!.read());
    dst!.write(shiftLanes(b, row, dst!.read(), count));
  }),
]);

function byteShift(direction: 'left' | 'right'): (b: Emitter, dst: Operand, imm: Operand) => void {
  return (b, dst, imm) => {
    const count = b.let(imm.read());
    dst.write(shiftBytes(b, direction, dst.read(), count));
  };
}

/** Name, encoding and which lanes of which size the immediate shuffles. */
const SHUFFLES = [
  ['PSHUFD', '66 0F 70', 4, 0],
  ['PSHUFHW', 'F3 0F 70', 2, 4],
  ['PSHUFLW', 'F2 0F 70', 2, 0],
] as const;

const shuffles: Definition[] = SHUFFLES.map(([name, opcode, bytes, from]) =>
  sse(name, opcode, ['Vx', 'Wx', 'Ib'], (b, dst, src, imm) => {
    const value = src!.read();
    dst!.write(shuffleByImmediate(b, bytes, value, narrow(b, imm!.read()), from, from + 4));
  }),
);

function palignr(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const count = b.let(imm.read());
  const lower = src.read();
  dst.write(alignRight(b, dst.read(), lower, count));
}

/** A lane of `bytes` replaced; its number (i64) is below the number of lanes. */
export function replaceLane(b: Emitter, bytes: 1 | 2 | 4 | 8, vector: Value, lane: Value, value: Value): Value {
  const shape = SHAPES[bytes];
  const scalar = bytes === 8 ? value : narrow(b, value);
  if (lane.constant !== undefined) return b.lane(`${shape}_replace_lane`, Number(lane.constant), vector, scalar);
  const numbers = lanes(
    b,
    bytes,
    Array.from({ length: 16 / bytes }, (_, i) => i),
  );
  const here = b.simd(`${shape}_eq`, numbers, b.simd(`${shape}_splat`, bytes === 8 ? lane : narrow(b, lane)));
  return b.simd('v128_bitselect', b.simd(`${shape}_splat`, scalar), vector, here);
}

const SHAPES = { 1: 'i8x16', 2: 'i16x8', 4: 'i32x4', 8: 'i64x2' } as const;

function pinsrw(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const value = src.read();
  const lane = b.let(b.and(imm.read(), b.const(7)));
  dst.write(replaceLane(b, 2, dst.read(), lane, value));
}

function pextrw(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const chosen = laneToBottom(b, 2, src.read(), b.and(imm.read(), b.const(7)));
  dst.write(b.bool(b.lane('i16x8_extract_lane_u', 0, chosen)));
}

/** Logic on floating-point registers is logic. */
const LOGIC: readonly (readonly [name: string, opcode: string, op: PackedOp])[] = [
  ['AND', '54', (b, a, c) => b.simd('v128_and', a, c)],
  ['ANDN', '55', (b, a, c) => b.simd('v128_andnot', c, a)],
  ['OR', '56', (b, a, c) => b.simd('v128_or', a, c)],
  ['XOR', '57', (b, a, c) => b.simd('v128_xor', a, c)],
];

const logic: Definition[] = LOGIC.flatMap(([name, opcode, op]) => [
  sse(`${name}PS`, `NP 0F ${opcode}`, ['Vx', 'Wx'], packed(op)),
  sse(`${name}PD`, `66 0F ${opcode}`, ['Vx', 'Wx'], packed(op)),
]);

export const SSE_INTEGER: readonly Definition[] = [
  ...arithmetic,
  ...onlyXmm,
  ...shifts,
  sse('PSRLDQ', '66 0F 73 /3 reg', ['Ux', 'Ib'], byteShift('right')),
  sse('PSLLDQ', '66 0F 73 /7 reg', ['Ux', 'Ib'], byteShift('left')),
  ...shuffles,
  sse('PALIGNR', '66 0F 3A 0F', ['Vx', 'Wx', 'Ib'], palignr),
  sse('PINSRW', '66 0F C4', ['Vx', 'Ew', 'Ib'], pinsrw),
  sse('PEXTRW', '66 0F C5 reg', ['Gd', 'Ux', 'Ib'], pextrw),
  ...logic,
];
