import { AES } from './aes.ts';
import { ALU } from './alu.ts';
import { BITS } from './bits.ts';
import { CARRYLESS } from './carryless.ts';
import { DECIMAL } from './decimal.ts';
import type { Definition } from './definition.ts';
import { FLOW } from './flow.ts';
import { FRAME } from './frame.ts';
import { MMX } from './mmx.ts';
import { MOVE } from './move.ts';
import { MULTIPLY } from './multiply.ts';
import { SHA } from './sha.ts';
import { SHIFT } from './shift.ts';
import { SSE_FLOAT } from './sse-float.ts';
import { SSE_FLOAT_COMPARE } from './sse-float-compare.ts';
import { SSE_FLOAT_CONVERT } from './sse-float-convert.ts';
import { SSE_FLOAT_MMX } from './sse-float-mmx.ts';
import { SSE_FLOAT_ROUND } from './sse-float-round.ts';
import { SSE_INTEGER } from './sse-integer.ts';
import { SSE_MOVE } from './sse-move.ts';
import { SSE_SHUFFLE } from './sse-shuffle.ts';
import { SSE4 } from './sse4.ts';
import { STRING } from './string.ts';
import { STRING_COMPARE } from './string-compare.ts';
import { SYSTEM } from './system.ts';
import { SYSTEM_HOT } from './system-hot.ts';
import { X87 } from './x87.ts';

/** Every instruction there is. A position in this list is the definition's number. */
export const DEFINITIONS: readonly Definition[] = [
  ...ALU,
  ...MOVE,
  ...SHIFT,
  ...MULTIPLY,
  ...BITS,
  ...FLOW,
  ...STRING,
  ...FRAME,
  ...DECIMAL,
  ...SYSTEM,
  ...SYSTEM_HOT,
  ...X87,
  ...SSE_MOVE,
  ...SSE_INTEGER,
  ...SSE_SHUFFLE,
  ...SSE4,
  ...MMX,
  ...STRING_COMPARE,
  ...AES,
  ...CARRYLESS,
  ...SHA,
  ...SSE_FLOAT,
  ...SSE_FLOAT_COMPARE,
  ...SSE_FLOAT_CONVERT,
  ...SSE_FLOAT_ROUND,
  ...SSE_FLOAT_MMX,
];
