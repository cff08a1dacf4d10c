import { alu } from './alu.mjs';
import { bits } from './bits.mjs';
import { muldiv } from './muldiv.mjs';
import { shift } from './shift.mjs';

/** Every family is one file of recorded vectors. */
export const FAMILIES = { alu, shift, muldiv, bits };
