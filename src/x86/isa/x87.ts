import type { Definition } from './definition.ts';
import { X87_BASIC } from './x87-arithmetic.ts';
import { X87_COMPARE } from './x87-compare.ts';
import { X87_CONTROL } from './x87-control.ts';
import { X87_LOAD } from './x87-load.ts';
import { X87_SPECIAL } from './x87-special.ts';
import { X87_STORE } from './x87-store.ts';

/** The x87 instructions: opcodes D8 to DF, and FWAIT. MMX, EMMS and FXSAVE are elsewhere. @spec SDM-2D table A-7 */
export const X87: readonly Definition[] = [...X87_BASIC, ...X87_COMPARE, ...X87_CONTROL, ...X87_LOAD, ...X87_SPECIAL, ...X87_STORE];
