import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import { type Definition, instruction } from './definition.ts';
import { enterMmx, mmx, raisePending } from './mmx-unit.ts';
import { type MmxForm, PACKED, PACKED_HIGH, type PackedRow, pshufb64 } from './packed-integer.ts';
import { alignRight, laneToBottom, SHIFTS, shiftLanes, shuffleByImmediate } from './packed-shift.ts';
import { replaceLane } from './sse-integer.ts';
import { maskedStore } from './sse-move.ts';
import { high, low, narrow, type PackedOp, type Semantics } from './vector.ts';

/** MMX: the packed integer operations of packed-integer.ts on 64-bit registers, and moves. */

/** Both halves the same. */
function doubled(b: Emitter, value: Value): Value {
  return b.simd('i64x2_splat', value);
}

function widened(op: PackedOp, form: MmxForm): Semantics {
  return (b, dst, src) => {
    const c = src!.read();
    const a = dst!.read();
    if (form === 'pair') {
      const both = b.let(b.vector(a, c));
      dst!.write(low(b, op(b, both, both)));
      return;
    }
    const result = op(b, b.let(doubled(b, a)), b.let(doubled(b, c)));
    dst!.write(form === 'high' ? high(b, result) : low(b, result));
  };
}

function arithmetic({ name, opcode, op, mmx: form }: PackedRow): Definition {
  // Interleaving the lower lanes reads no more than those. The upper ones are the `high` of the same operation.
  const source = name.startsWith('PUNPCKL') ? 'Qd' : 'Qq';
  return mmx(name, `NP ${opcode}`, ['Pq', source], widened(op, form));
}

const shifts: Definition[] = SHIFTS.flatMap((row) => {
  const shifted = (b: Emitter, dst: Operand, by: Operand): void => {
    const count = b.let(by.read());
    dst.write(low(b, shiftLanes(b, row, doubled(b, dst.read()), count)));
  };
  return [mmx(row.name, `NP ${row.opcode}`, ['Pq', 'Qq'], shifted), mmx(row.name, `NP ${row.immediate} reg`, ['Nq', 'Ib'], shifted)];
});

function pshufw(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const value = src.read();
  dst.write(low(b, shuffleByImmediate(b, 2, doubled(b, value), narrow(b, imm.read()))));
}

/** The two operands are one value of 16 bytes. */
function palignr(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const count = b.let(imm.read());
  const lower = src.read();
  const both = b.let(b.vector(lower, dst.read()));
  dst.write(low(b, alignRight(b, b.v128(new Array<number>(16).fill(0)), both, count)));
}

function pinsrw(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const value = src.read();
  const lane = b.let(b.and(imm.read(), b.const(3)));
  dst.write(low(b, replaceLane(b, 2, doubled(b, dst.read()), lane, value)));
}

function pextrw(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const chosen = laneToBottom(b, 2, doubled(b, src.read()), b.and(imm.read(), b.const(3)));
  dst.write(b.bool(b.lane('i16x8_extract_lane_u', 0, chosen)));
}

function pmovmskb(b: Emitter, dst: Operand, src: Operand): void {
  const signs = b.simd('i8x16_bitmask', doubled(b, src.read()));
  dst.write(b.bool(b.op('i32_and', signs, b.i32(0xff))));
}

const move: Semantics = (_b, dst, src) => dst!.write(src!.read());
/** MOVD to and from general registers: 32 bits, or 64 with REX.W. */
const moveTruncated: Semantics = (b, dst, src) => dst!.write(b.let(b.zext(src!.read(), dst!.bits)));

/** Empties the registers. Processors set the stack top to 0 here too, though only the tags are documented. */
function emms(b: Emitter): void {
  raisePending(b);
  enterMmx(b);
  b.setField32(S.ftw, b.i32(0));
}

export const MMX: readonly Definition[] = [
  ...PACKED.map(arithmetic),
  ...PACKED_HIGH.map(arithmetic),
  ...shifts,
  mmx('PSHUFB', 'NP 0F 38 00', ['Pq', 'Qq'], widened(pshufb64, 'lanes')),
  mmx('PSHUFW', 'NP 0F 70', ['Pq', 'Qq', 'Ib'], pshufw),
  mmx('PALIGNR', 'NP 0F 3A 0F', ['Pq', 'Qq', 'Ib'], palignr),
  mmx('PINSRW', 'NP 0F C4', ['Pq', 'Ew', 'Ib'], pinsrw),
  mmx('PEXTRW', 'NP 0F C5 reg', ['Gd', 'Nq', 'Ib'], pextrw),
  mmx('PMOVMSKB', 'NP 0F D7 reg', ['Gd', 'Nq'], pmovmskb),
  mmx('MOVD', 'NP 0F 6E', ['Pq', 'Ey'], move),
  mmx('MOVD', 'NP 0F 7E', ['Ey', 'Pq'], moveTruncated),
  mmx('MOVQ', 'NP 0F 6F', ['Pq', 'Qq'], move),
  mmx('MOVQ', 'NP 0F 7F', ['Qq', 'Pq'], move),
  mmx('MOVNTQ', 'NP 0F E7 mem', ['Mq', 'Pq'], move),
  mmx('MOVQ2DQ', 'F3 0F D6 reg', ['Vx', 'Nq'], (b, dst, src) => dst!.write(b.vector(src!.read(), b.const(0)))),
  mmx('MOVDQ2Q', 'F2 0F D6 reg', ['Pq', 'Uq'], move),
  mmx('MASKMOVQ', 'NP 0F F7 reg', ['Pq', 'Nq'], (b, value, mask) => maskedStore(b, doubled(b, value!.read()), doubled(b, mask!.read()), 8), {
    addressSized: true,
  }),
  instruction({ name: 'EMMS', opcode: 'NP 0F 77', unit: 'mmx', semantics: emms }),
];
