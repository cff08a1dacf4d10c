import { alu } from './alu.mjs';
import { bits } from './bits.mjs';
import { control } from './control.mjs';
import { invalid } from './invalid.mjs';
import { move } from './move.mjs';
import { muldiv } from './muldiv.mjs';
import { mmxInteger, sseInteger } from './packed-integer.mjs';
import { prefixes } from './prefixes.mjs';
import { segment } from './segment.mjs';
import { sequence } from './sequence.mjs';
import { shift } from './shift.mjs';
import { crypto, sse4 } from './sse4.mjs';
import { sseApproximate, sseFloat } from './sse-float.mjs';
import { sseMove } from './sse-move.mjs';
import { stack } from './stack.mjs';
import { string } from './string.mjs';
import { x87, x87Transcendental } from './x87.mjs';
import { x87State } from './x87-state.mjs';

/** Every family is one file of recorded vectors. */
export const FAMILIES = {
  alu,
  shift,
  muldiv,
  bits,
  move,
  control,
  stack,
  string,
  'sse-float': sseFloat,
  'sse-approximate': sseApproximate,
  'sse-move': sseMove,
  'sse-integer': sseInteger,
  sse4,
  crypto,
  mmx: mmxInteger,
  x87,
  'x87-state': x87State,
  'x87-transcendental': x87Transcendental,
  invalid,
  prefixes,
  segment,
  sequence,
};
