import type { Emitter, Operand } from '../ir/emitter.ts';
import type { Definition } from './definition.ts';
import { bytesFrom, high, low, type Semantics, sse, unary, zeroExtended } from './vector.ts';

/** Moves between XMM registers, memory and general registers. */

const move: Semantics = (_b, dst, src) => dst!.write(src!.read());
const moveZeroExtended: Semantics = unary(zeroExtended);
const moveHigh: Semantics = unary(high);

/** The upper half of the destination becomes the 64-bit source. */
function intoHigh(b: Emitter, dst: Operand, src: Operand): void {
  const upper = src.read();
  dst.write(b.lane('i64x2_replace_lane', 1, dst.read(), upper));
}

function toGeneral(b: Emitter, dst: Operand, src: Operand): void {
  dst.write(b.let(b.zext(low(b, src.read()), dst.bits)));
}

/** Name, prefix, opcode of the load and of the store, and whether memory may be anywhere. */
const FULL = [
  ['MOVUPS', 'NP', '10', '11', true],
  ['MOVUPD', '66', '10', '11', true],
  ['MOVAPS', 'NP', '28', '29', false],
  ['MOVAPD', '66', '28', '29', false],
  ['MOVDQA', '66', '6F', '7F', false],
  ['MOVDQU', 'F3', '6F', '7F', true],
] as const;

const full: Definition[] = FULL.flatMap(([name, prefix, load, store, unaligned]) => {
  const more = unaligned ? ({ unaligned } as const) : {};
  return [sse(name, `${prefix} 0F ${load}`, ['Vx', 'Wx'], move, more), sse(name, `${prefix} 0F ${store}`, ['Wx', 'Vx'], move, more)];
});

type Shuffle = readonly [name: string, opcode: string, lanes: readonly number[]];

const DUPLICATES: readonly Shuffle[] = [
  ['MOVSLDUP', 'F3 0F 12', [0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11]],
  ['MOVSHDUP', 'F3 0F 16', [4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15]],
];

/** Sign bits of the lanes, in the low bits of a general register. */
const MASKS = [
  ['MOVMSKPS', 'NP 0F 50', 'i32x4_bitmask'],
  ['MOVMSKPD', '66 0F 50', 'i64x2_bitmask'],
  ['PMOVMSKB', '66 0F D7', 'i8x16_bitmask'],
] as const;

/** Bytes whose mask has the top bit set go to DS:rDI. Each is stored by itself: the others may lie in a page that is not there. */
export function maskedStore(b: Emitter, value: ReturnType<Operand['read']>, mask: ReturnType<Operand['read']>, bytes: number): void {
  const offset = b.zext(b.reg(7, 64), b.addressBits);
  const sum = b.add(offset, b.sourceSegmentBase());
  const start = b.let(b.mode64 ? sum : b.zext(sum, 32));
  const selected = b.let(b.simd('i8x16_bitmask', mask));
  const i = b.variable(b.i32(0));
  b.doWhile(() => {
    b.if(b.op('i32_and', b.op('i32_shr_u', selected, i), b.i32(1)), () => {
      const byte = b.lane('i8x16_extract_lane_u', 0, bytesFrom(b, value, i));
      const linear = b.add(start, b.bool(i));
      b.store(8, b.mode64 ? linear : b.zext(linear, 32), b.bool(byte));
    });
    i.set(b.op('i32_add', i, b.i32(1)));
    return b.op('i32_lt_u', i, b.i32(bytes));
  });
}

export const SSE_MOVE: readonly Definition[] = [
  ...full,
  sse('MOVNTPS', 'NP 0F 2B mem', ['Mx', 'Vx'], move),
  sse('MOVNTPD', '66 0F 2B mem', ['Mx', 'Vx'], move),
  sse('MOVNTDQ', '66 0F E7 mem', ['Mx', 'Vx'], move),
  sse('MOVNTDQA', '66 0F 38 2A mem', ['Vx', 'Mx'], move),
  sse('LDDQU', 'F2 0F F0 mem', ['Vx', 'Mx'], move, { unaligned: true }),

  sse('MOVLPS', 'NP 0F 12 mem', ['Vq', 'Mq'], move),
  sse('MOVLPD', '66 0F 12 mem', ['Vq', 'Mq'], move),
  sse('MOVHLPS', 'NP 0F 12 reg', ['Vq', 'Ux'], moveHigh),
  sse('MOVLPS', 'NP 0F 13 mem', ['Mq', 'Vq'], move),
  sse('MOVLPD', '66 0F 13 mem', ['Mq', 'Vq'], move),
  sse('MOVHPS', 'NP 0F 16 mem', ['Vx', 'Mq'], intoHigh),
  sse('MOVHPD', '66 0F 16 mem', ['Vx', 'Mq'], intoHigh),
  sse('MOVLHPS', 'NP 0F 16 reg', ['Vx', 'Uq'], intoHigh),
  sse('MOVHPS', 'NP 0F 17 mem', ['Mq', 'Vx'], moveHigh),
  sse('MOVHPD', '66 0F 17 mem', ['Mq', 'Vx'], moveHigh),

  // A load clears the rest of the register, a move between registers leaves it.
  sse('MOVSS', 'F3 0F 10 mem', ['Vx', 'Md'], moveZeroExtended),
  sse('MOVSS', 'F3 0F 10 reg', ['Vd', 'Ud'], move),
  sse('MOVSS', 'F3 0F 11', ['Wd', 'Vd'], move),
  sse('MOVSD', 'F2 0F 10 mem', ['Vx', 'Mq'], moveZeroExtended),
  sse('MOVSD', 'F2 0F 10 reg', ['Vq', 'Uq'], move),
  sse('MOVSD', 'F2 0F 11', ['Wq', 'Vq'], move),
  sse('MOVQ', 'F3 0F 7E', ['Vx', 'Wq'], moveZeroExtended),
  sse('MOVQ', '66 0F D6 mem', ['Mq', 'Vq'], move),
  sse('MOVQ', '66 0F D6 reg', ['Ux', 'Vq'], moveZeroExtended),
  // MOVQ with REX.W.
  sse('MOVD', '66 0F 6E', ['Vx', 'Ey'], moveZeroExtended),
  sse('MOVD', '66 0F 7E', ['Ey', 'Vx'], toGeneral),

  ...DUPLICATES.map(([name, opcode, lanes]) =>
    sse(
      name,
      opcode,
      ['Vx', 'Wx'],
      unary((b, c) => b.shuffle(lanes, c, c)),
    ),
  ),
  sse(
    'MOVDDUP',
    'F2 0F 12',
    ['Vx', 'Wq'],
    unary((b, c) => b.simd('i64x2_splat', c)),
  ),
  ...MASKS.map(([name, opcode, op]) =>
    sse(
      name,
      opcode,
      ['Gd', 'Ux'],
      unary((b, c) => b.bool(b.simd(op, c))),
    ),
  ),
  sse('MASKMOVDQU', '66 0F F7 reg', ['Vx', 'Ux'], (b, value, mask) => maskedStore(b, value!.read(), mask!.read(), 16), {
    addressSized: true,
  }),
];
