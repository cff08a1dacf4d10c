import { alu } from './alu.mjs';
import { bits } from './bits.mjs';
import { control } from './control.mjs';
import { move } from './move.mjs';
import { muldiv } from './muldiv.mjs';
import { shift } from './shift.mjs';
import { stack } from './stack.mjs';
import { string } from './string.mjs';

/** Every family is one file of recorded vectors. */
export const FAMILIES = { alu, shift, muldiv, bits, move, control, stack, string };
