import type { Emitter } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import { VECTOR } from '../system/exception.ts';
import { type Definition, instruction } from './definition.ts';
import type { Semantics } from './vector.ts';

/**
 * The registers of MMX are the significands of the x87 registers. An instruction on them waits for pending x87 exceptions, and
 * leaves the stack top at 0 and all registers in use. @spec SDM-1 §9.5, §9.6
 */
export function mmx(name: string, opcode: string, operands: readonly string[], semantics: Semantics, more: Partial<Definition> = {}): Definition {
  return instruction({ name, opcode, operands, unit: 'mmx', semantics: onMmx(semantics), ...more });
}

/** The transition comes last, after everything that can fault. */
export function onMmx(semantics: Semantics): Semantics {
  return (b, ...operands) => {
    raisePending(b);
    semantics(b, ...operands);
    enterMmx(b);
  };
}

const TOP = 0x3800;

export function enterMmx(b: Emitter): void {
  b.setField32(S.fsw, b.op('i32_and', b.field32(S.fsw), b.i32(~TOP)));
  b.setField32(S.ftw, b.i32(0xff));
}

const FSW_ES = 0x80;
const CR0_NE = 0x20;

/** #MF; with CR0.NE clear execution goes on, as for x87 instructions. */
export function raisePending(b: Emitter): void {
  const pending = b.op('i32_and', b.field32(S.fsw), b.i32(FSW_ES));
  const reported = b.op('i32_and', b.field32(S.cr0), b.i32(CR0_NE));
  const both = b.op('i32_and', b.op('i32_shr_u', pending, b.i32(2)), reported);
  b.if(both, () => b.raise(VECTOR.MF), undefined, false);
}
