import type { SimdOp } from '../../wasm/opcodes.ts';
import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import type { Definition } from './definition.ts';
import { multiplyEven } from './packed-integer.ts';
import { laneToBottom } from './packed-shift.ts';
import { replaceLane } from './sse-integer.ts';
import { bytesFrom, lanes, low, narrow, type PackedOp, packed, type Semantics, sse, unary, zero } from './vector.ts';

/** SSE4.1 and SSE4.2 without floating-point arithmetic and string comparison. */

const ARITHMETIC: readonly (readonly [name: string, opcode: string, op: PackedOp | SimdOp])[] = [
  ['PMULDQ', '28', multiplyEven('i64x2_extmul_low_i32x4_s')],
  ['PCMPEQQ', '29', 'i64x2_eq'],
  ['PACKUSDW', '2B', 'i16x8_narrow_i32x4_u'],
  ['PCMPGTQ', '37', 'i64x2_gt_s'],
  ['PMINSB', '38', 'i8x16_min_s'],
  ['PMINSD', '39', 'i32x4_min_s'],
  ['PMINUW', '3A', 'i16x8_min_u'],
  ['PMINUD', '3B', 'i32x4_min_u'],
  ['PMAXSB', '3C', 'i8x16_max_s'],
  ['PMAXSD', '3D', 'i32x4_max_s'],
  ['PMAXUW', '3E', 'i16x8_max_u'],
  ['PMAXUD', '3F', 'i32x4_max_u'],
  ['PMULLD', '40', 'i32x4_mul'],
];

/** Blends whose choice is the sign of each lane of XMM0. */
const VARIABLE_BLENDS = [
  ['PBLENDVB', '10', 'i8x16_shr_s', 7],
  ['BLENDVPS', '14', 'i32x4_shr_s', 31],
  ['BLENDVPD', '15', 'i64x2_shr_s', 63],
] as const;

const variableBlends: Definition[] = VARIABLE_BLENDS.map(([name, opcode, shift, count]) =>
  sse(
    name,
    `66 0F 38 ${opcode}`,
    ['Vx', 'Wx'],
    packed((b, a, c) => b.simd('v128_bitselect', c, a, b.simd(shift, b.xmm(0), b.i32(count)))),
  ),
);

/** Blends whose choice is a bit of the immediate for each lane. */
const BLENDS = [
  ['BLENDPS', '0C', 4],
  ['BLENDPD', '0D', 8],
  ['PBLENDW', '0E', 2],
] as const;

const blends: Definition[] = BLENDS.map(([name, opcode, bytes]) =>
  sse(name, `66 0F 3A ${opcode}`, ['Vx', 'Wx', 'Ib'], (b, dst, src, imm) => {
    const c = src!.read();
    dst!.write(b.simd('v128_bitselect', c, dst!.read(), laneMask(b, bytes, imm!.read())));
  }),
);

/** Ones in each lane whose bit is set in an i64. */
function laneMask(b: Emitter, bytes: 2 | 4 | 8, bits: Value): Value {
  const known = bits.constant;
  if (known !== undefined) {
    return lanes(
      b,
      bytes,
      Array.from({ length: 16 / bytes }, (_, i) => ((known >> BigInt(i)) & 1n ? -1 : 0)),
    );
  }
  const each = lanes(
    b,
    bytes,
    Array.from({ length: 16 / bytes }, (_, i) => 1 << i),
  );
  const wide = b.simd('i64x2_splat', b.mul(bits, b.const(bytes === 2 ? 0x0001_0001_0001_0001n : bytes === 4 ? 0x1_0000_0001n : 1n)));
  const shape = ({ 2: 'i16x8', 4: 'i32x4', 8: 'i64x2' } as const)[bytes];
  return b.simd(`${shape}_ne`, b.simd('v128_and', wide, each), zero(b));
}

/** ZF: no bit in common; CF: no bit of the source outside the destination. */
function ptest(b: Emitter, dst: Operand, src: Operand): void {
  const c = src.read();
  const a = dst.read();
  const none = (value: Value): Value => b.let(b.op('i32_eqz', b.simd('v128_any_true', value)));
  b.setZfPfCf(none(b.simd('v128_and', a, c)), b.i32(0), none(b.simd('v128_andnot', c, a)));
}

/** The steps from the narrow to the wide lanes, by their signedness. */
const WIDEN = {
  8: { s: 'i16x8_extend_low_i8x16_s', u: 'i16x8_extend_low_i8x16_u' },
  16: { s: 'i32x4_extend_low_i16x8_s', u: 'i32x4_extend_low_i16x8_u' },
  32: { s: 'i64x2_extend_low_i32x4_s', u: 'i64x2_extend_low_i32x4_u' },
} as const;

/** Kind, operand, and the lane widths passed through. */
const EXTENSIONS = [
  ['BW', 'Wq', [8]],
  ['BD', 'Wd', [8, 16]],
  ['BQ', 'Ww', [8, 16, 32]],
  ['WD', 'Wq', [16]],
  ['WQ', 'Wd', [16, 32]],
  ['DQ', 'Wq', [32]],
] as const;

const extensions: Definition[] = (['s', 'u'] as const).flatMap((sign) =>
  EXTENSIONS.map(([kind, operand, steps], i) =>
    sse(
      `PMOV${sign === 's' ? 'SX' : 'ZX'}${kind}`,
      `66 0F 38 ${sign === 's' ? '2' : '3'}${i}`,
      ['Vx', operand],
      unary((b, c) => steps.reduce<Value>((v, bits) => b.simd(WIDEN[bits][sign], v), b.simd('i64x2_splat', c))),
    ),
  ),
);

/** The smallest word and its first place. */
function phminposuw(b: Emitter, c: Value): Value {
  let smallest = c;
  for (const distance of [8, 4, 2]) {
    const turned = Array.from({ length: 16 }, (_, i) => (i + distance) & 15);
    smallest = b.let(b.simd('i16x8_min_u', smallest, b.shuffle(turned, smallest, smallest)));
  }
  const at = b.op('i32_ctz', b.simd('i16x8_bitmask', b.simd('i16x8_eq', smallest, c)));
  const value = b.lane('i16x8_extract_lane_u', 0, smallest);
  return b.vector(b.bool(b.op('i32_or', value, b.op('i32_shl', at, b.i32(16)))), b.const(0));
}

/** Sums of absolute differences of four bytes of the source with those at eight places of the destination. */
function mpsadbw(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const choice = b.let(narrow(b, imm.read()));
  const c = src.read();
  const a = dst.read();
  const start = b.let(b.op('i32_and', choice, b.i32(4)));
  const block = b.let(b.op('i32_mul', b.op('i32_and', choice, b.i32(3)), b.i32(4)));
  let sum = zero(b);
  for (let k = 0; k < 4; k++) {
    const moving = b.simd('i16x8_extend_low_i8x16_u', bytesFrom(b, a, b.op('i32_add', start, b.i32(k))));
    const fixed = b.simd('i8x16_swizzle', c, b.simd('i8x16_splat', b.op('i32_add', block, b.i32(k))));
    const difference = b.simd('i16x8_sub', moving, b.simd('i16x8_extend_low_i8x16_u', fixed));
    sum = b.simd('i16x8_add', sum, b.simd('i16x8_abs', difference));
  }
  dst.write(sum);
}

/** PEXTR: a lane to memory, or zero-extended to a general register. */
function extract(bytes: 1 | 2 | 4): Semantics {
  return (b, dst, src, imm) => {
    const width = bytes === 4 ? dst!.bits / 8 : bytes;
    const lane = b.and(imm!.read(), b.const(16 / width - 1));
    dst!.write(b.let(b.zext(low(b, laneToBottom(b, width, src!.read(), lane)), width * 8)));
  };
}

function insert(bytes: 1 | 4): Semantics {
  return (b, dst, src, imm) => {
    const value = src!.read();
    const width = bytes === 1 ? 1 : src!.bits === 64 ? 8 : 4;
    const lane = b.let(b.and(imm!.read(), b.const(16 / width - 1)));
    dst!.write(replaceLane(b, width, dst!.read(), lane, value));
  };
}

/** Bits 7:6 choose the lane of a register source, 5:4 the lane replaced, 3:0 the lanes cleared. */
function insertps(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const choice = b.let(imm.read());
  const from = src.read();
  const value = src.bits === 128 ? low(b, laneToBottom(b, 4, from, b.shr(choice, b.const(6)))) : from;
  const lane = b.let(b.and(b.shr(choice, b.const(4)), b.const(3)));
  const inserted = replaceLane(b, 4, dst.read(), lane, value);
  dst.write(b.simd('v128_andnot', inserted, laneMask(b, 4, choice)));
}

export const SSE4: readonly Definition[] = [
  ...ARITHMETIC.map(([name, opcode, op]) => sse(name, `66 0F 38 ${opcode}`, ['Vx', 'Wx'], packed(typeof op === 'string' ? (b, a, c) => b.simd(op, a, c) : op))),
  ...variableBlends,
  ...blends,
  ...extensions,
  sse('PTEST', '66 0F 38 17', ['Vx', 'Wx'], ptest),
  sse('PHMINPOSUW', '66 0F 38 41', ['Vx', 'Wx'], unary(phminposuw)),
  sse('MPSADBW', '66 0F 3A 42', ['Vx', 'Wx', 'Ib'], mpsadbw),
  sse('PEXTRB', '66 0F 3A 14 mem', ['Mb', 'Vx', 'Ib'], extract(1)),
  sse('PEXTRB', '66 0F 3A 14 reg', ['Rd', 'Vx', 'Ib'], extract(1)),
  sse('PEXTRW', '66 0F 3A 15 mem', ['Mw', 'Vx', 'Ib'], extract(2)),
  sse('PEXTRW', '66 0F 3A 15 reg', ['Rd', 'Vx', 'Ib'], extract(2)),
  // PEXTRQ and PINSRQ with REX.W.
  sse('PEXTRD', '66 0F 3A 16', ['Ey', 'Vx', 'Ib'], extract(4)),
  sse('EXTRACTPS', '66 0F 3A 17', ['Ed', 'Vx', 'Ib'], extract(4)),
  sse('PINSRB', '66 0F 3A 20 mem', ['Vx', 'Mb', 'Ib'], insert(1)),
  sse('PINSRB', '66 0F 3A 20 reg', ['Vx', 'Rd', 'Ib'], insert(1)),
  sse('PINSRD', '66 0F 3A 22', ['Vx', 'Ey', 'Ib'], insert(4)),
  sse('INSERTPS', '66 0F 3A 21 mem', ['Vx', 'Md', 'Ib'], insertps),
  sse('INSERTPS', '66 0F 3A 21 reg', ['Vx', 'Ux', 'Ib'], insertps),
];
