import type { Emitter, Operand } from '../ir/emitter.ts';
import type { Definition } from './definition.ts';
import { shuffleByImmediate } from './packed-shift.ts';
import { high, low, narrow, packed, sse } from './vector.ts';

/** Shuffles of floating-point lanes, which look at no value. */

/** The two lower lanes come from the destination, the two upper ones from the source. */
function shufps(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const choice = b.let(narrow(b, imm.read()));
  const upper = shuffleByImmediate(b, 4, src.read(), choice);
  const lower = shuffleByImmediate(b, 4, dst.read(), choice);
  dst.write(b.shuffle([0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31], lower, upper));
}

function shufpd(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  const choice = b.let(narrow(b, imm.read()));
  const c = src.read();
  const a = dst.read();
  const lower = b.select(b.op('i32_and', choice, b.i32(1)), high(b, a), low(b, a));
  const upper = b.select(b.op('i32_and', choice, b.i32(2)), high(b, c), low(b, c));
  dst.write(b.vector(lower, upper));
}

const UNPACK: readonly (readonly [name: string, opcode: string, lanes: readonly number[]])[] = [
  ['UNPCKLPS', 'NP 0F 14', [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23]],
  ['UNPCKHPS', 'NP 0F 15', [8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31]],
  ['UNPCKLPD', '66 0F 14', [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]],
  ['UNPCKHPD', '66 0F 15', [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31]],
];

export const SSE_SHUFFLE: readonly Definition[] = [
  sse('SHUFPS', 'NP 0F C6', ['Vx', 'Wx', 'Ib'], shufps),
  sse('SHUFPD', '66 0F C6', ['Vx', 'Wx', 'Ib'], shufpd),
  ...UNPACK.map(([name, opcode, order]) =>
    sse(
      name,
      opcode,
      ['Vx', 'Wx'],
      packed((b, a, c) => b.shuffle(order, a, c)),
    ),
  ),
];
