import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import { type Definition, instruction } from './definition.ts';

type Binary = (b: Emitter, dst: Operand, src: Operand) => void;

function add(b: Emitter, dst: Operand, src: Operand): void {
  const c = src.read();
  const { old, next } = dst.update((a) => b.zext(b.add(a, c), dst.bits));
  b.flagsAdd(dst.bits, old, c, next);
}

function adc(b: Emitter, dst: Operand, src: Operand): void {
  const c = src.read();
  const carry = b.let(b.bool(b.flag('CF')));
  const { old, next } = dst.update((a) => b.zext(b.add(b.add(a, c), carry), dst.bits));
  b.flagsAdd(dst.bits, old, c, next, carry);
}

function sub(b: Emitter, dst: Operand, src: Operand): void {
  const c = src.read();
  const { old, next } = dst.update((a) => b.zext(b.sub(a, c), dst.bits));
  b.flagsSub(dst.bits, old, c, next);
}

function sbb(b: Emitter, dst: Operand, src: Operand): void {
  const c = src.read();
  const borrow = b.let(b.bool(b.flag('CF')));
  const { old, next } = dst.update((a) => b.zext(b.sub(b.sub(a, c), borrow), dst.bits));
  b.flagsSub(dst.bits, old, c, next, borrow);
}

function cmp(b: Emitter, dst: Operand, src: Operand): void {
  const a = dst.read();
  const c = src.read();
  b.flagsCompare(dst.bits, a, c);
}

function logic(op: (b: Emitter, a: Value, c: Value) => Value): Binary {
  return (b, dst, src) => {
    const c = src.read();
    const { next } = dst.update((a) => op(b, a, c));
    b.flagsLogic(dst.bits, next);
  };
}

const OPERATIONS: readonly (readonly [name: string, semantics: Binary])[] = [
  ['ADD', add],
  ['OR', logic((b, a, c) => b.or(a, c))],
  ['ADC', adc],
  ['SBB', sbb],
  ['AND', logic((b, a, c) => b.and(a, c))],
  ['SUB', sub],
  ['XOR', logic((b, a, c) => b.xor(a, c))],
  ['CMP', cmp],
];

/** The eight two-operand operations in their six encodings and three immediate groups. @spec SDM-2D table A-2 */
function arithmetic(): Definition[] {
  return OPERATIONS.flatMap(([name, semantics], i) => {
    const row = i * 8;
    const form = (opcode: string, operands: string[], extra: Partial<Definition> = {}): Definition =>
      instruction({ name, opcode, operands, semantics, ...(name === 'CMP' ? {} : { lock: true }), ...extra });
    return [
      form(hex(row), ['Eb', 'Gb']),
      form(hex(row + 1), ['Ev', 'Gv']),
      form(hex(row + 2), ['Gb', 'Eb']),
      form(hex(row + 3), ['Gv', 'Ev']),
      form(hex(row + 4), ['AL', 'Ib']),
      form(hex(row + 5), ['rAX', 'Iz']),
      form(`80 /${i}`, ['Eb', 'Ib']),
      form(`81 /${i}`, ['Ev', 'Iz']),
      form(`82 /${i}`, ['Eb', 'Ib'], { mode: 'legacy' }),
      form(`83 /${i}`, ['Ev', 'sIb']),
    ].map((definition) => (definition.operands![0]![0] === 'E' ? definition : withoutLock(definition)));
  });
}

function withoutLock(definition: Definition): Definition {
  const { lock: _, ...rest } = definition;
  return rest;
}

export function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0');
}

function test(b: Emitter, dst: Operand, src: Operand): void {
  const a = dst.read();
  b.flagsLogic(dst.bits, b.let(b.and(a, src.read())));
}

/** INC and DEC leave CF alone. */
function step(direction: 'INC' | 'DEC'): (b: Emitter, dst: Operand) => void {
  return (b, dst) => {
    const cf = b.flag('CF');
    const one = b.const(1);
    const { old, next } = dst.update((a) => b.zext(direction === 'INC' ? b.add(a, one) : b.sub(a, one), dst.bits));
    if (direction === 'INC') b.flagsAdd(dst.bits, old, one, next);
    else b.flagsSub(dst.bits, old, one, next);
    b.setCF(cf);
  };
}

function not(b: Emitter, dst: Operand): void {
  dst.update((a) => b.zext(b.not(a), dst.bits));
}

function neg(b: Emitter, dst: Operand): void {
  const { old, next } = dst.update((a) => b.zext(b.sub(b.const(0), a), dst.bits));
  b.flagsSub(dst.bits, b.const(0), old, next);
}

export const ALU: readonly Definition[] = [
  ...arithmetic(),
  instruction({ name: 'TEST', opcode: '84', operands: ['Eb', 'Gb'], semantics: test }),
  instruction({ name: 'TEST', opcode: '85', operands: ['Ev', 'Gv'], semantics: test }),
  instruction({ name: 'TEST', opcode: 'A8', operands: ['AL', 'Ib'], semantics: test }),
  instruction({ name: 'TEST', opcode: 'A9', operands: ['rAX', 'Iz'], semantics: test }),
  ...[0, 1].flatMap((digit) => [
    instruction({ name: 'TEST', opcode: `F6 /${digit}`, operands: ['Eb', 'Ib'], semantics: test }),
    instruction({ name: 'TEST', opcode: `F7 /${digit}`, operands: ['Ev', 'Iz'], semantics: test }),
  ]),
  instruction({ name: 'NOT', opcode: 'F6 /2', operands: ['Eb'], lock: true, semantics: not }),
  instruction({ name: 'NOT', opcode: 'F7 /2', operands: ['Ev'], lock: true, semantics: not }),
  instruction({ name: 'NEG', opcode: 'F6 /3', operands: ['Eb'], lock: true, semantics: neg }),
  instruction({ name: 'NEG', opcode: 'F7 /3', operands: ['Ev'], lock: true, semantics: neg }),
  instruction({ name: 'INC', opcode: 'FE /0', operands: ['Eb'], lock: true, semantics: step('INC') }),
  instruction({ name: 'INC', opcode: 'FF /0', operands: ['Ev'], lock: true, semantics: step('INC') }),
  instruction({ name: 'DEC', opcode: 'FE /1', operands: ['Eb'], lock: true, semantics: step('DEC') }),
  instruction({ name: 'DEC', opcode: 'FF /1', operands: ['Ev'], lock: true, semantics: step('DEC') }),
  instruction({ name: 'INC', opcode: '40 +r', operands: ['Zv'], mode: 'legacy', semantics: step('INC') }),
  instruction({ name: 'DEC', opcode: '48 +r', operands: ['Zv'], mode: 'legacy', semantics: step('DEC') }),
];
