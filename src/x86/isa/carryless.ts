import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import type { Definition } from './definition.ts';
import { high, low, sse } from './vector.ts';

/** PCLMULQDQ: polynomial multiplication. Immediate bits 0 and 4 choose the halves of destination and source. */
function pclmulqdq(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const choice = b.let(imm.read());
  const c = src.read();
  const a = dst.read();
  const chosen = (value: Value, bit: number): Value => b.let(b.select(b.ne(b.and(choice, b.const(bit)), b.const(0)), high(b, value), low(b, value)));
  dst.write(multiply64(b, chosen(a, 0x01), chosen(c, 0x10)));
}

/** 64 by 64 bits, from three products of 32 (Karatsuba: addition is XOR, so there are no carries to care for). */
function multiply64(b: Emitter, x: Value, y: Value): Value {
  const lower = (v: Value): Value => b.let(b.zext(v, 32));
  const upper = (v: Value): Value => b.let(b.shr(v, b.const(32)));
  const [xl, xh, yl, yh] = [lower(x), upper(x), lower(y), upper(y)];
  const l = multiply32(b, xl, yl);
  const h = multiply32(b, xh, yh);
  const m = b.let(b.xor(multiply32(b, b.let(b.xor(xl, xh)), b.let(b.xor(yl, yh))), b.xor(l, h)));
  return b.vector(b.xor(l, b.shl(m, b.const(32))), b.xor(h, b.shr(m, b.const(32))));
}

/**
 * 32 by 32 bits with integer multiplication: with only every fourth bit set, at most eight ones meet in one place, and
 * their carries stay below the next place that counts.
 */
function multiply32(b: Emitter, x: Value, y: Value): Value {
  const parts = (v: Value): Value[] => [0, 1, 2, 3].map((i) => b.let(b.and(v, b.const(0x1111_1111n << BigInt(i)))));
  const xs = parts(x);
  const ys = parts(y);
  let product: Value = b.const(0);
  for (let place = 0; place < 4; place++) {
    let sum: Value = b.const(0);
    for (let i = 0; i < 4; i++) sum = b.xor(sum, b.mul(xs[i]!, ys[(place - i) & 3]!));
    product = b.or(product, b.and(sum, b.const(0x1111_1111_1111_1111n << BigInt(place))));
  }
  return b.let(product);
}

export const CARRYLESS: readonly Definition[] = [sse('PCLMULQDQ', '66 0F 3A 44', ['Vx', 'Wx', 'Ib'], pclmulqdq)];
