import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import { type Definition, instruction } from './definition.ts';

/** What a shift or rotate computes from the old value and a masked, non-zero count. */
interface Shifted {
  readonly result: Value;
  /** i32 booleans. */
  readonly cf: Value;
  readonly of: Value;
}
type Shift = (b: Emitter, bits: number, a: Value, count: Value) => Shifted;

/** i32: bit `index` of v. */
export function bit(b: Emitter, v: Value, index: Value): Value {
  return b.op('i32_wrap_i64', b.and(b.shr(v, index), b.const(1)));
}

function top(b: Emitter, v: Value, bits: number): Value {
  return bit(b, v, b.const(bits - 1));
}

function xor32(b: Emitter, x: Value, y: Value): Value {
  return b.op('i32_xor', x, y);
}

const shl: Shift = (b, bits, a, count) => {
  const result = b.let(b.zext(b.shl(a, count), bits));
  const cf = b.let(bits === 64 ? bit(b, a, b.sub(b.const(64), count)) : bit(b, b.shl(a, count), b.const(bits)));
  return { result, cf, of: xor32(b, top(b, result, bits), cf) };
};

const shr: Shift = (b, bits, a, count) => {
  const result = b.let(b.shr(a, count));
  // For a count of 1 this is the sign of the operand; the shifted-in zero makes it 0 for larger counts, as on hardware.
  const of = xor32(b, top(b, result, bits), bits === 1 ? b.i32(0) : bit(b, result, b.const(bits - 2)));
  return { result, cf: b.let(bit(b, a, b.sub(count, b.const(1)))), of };
};

const sar: Shift = (b, bits, a, count) => {
  const wide = b.let(b.sext(a, bits));
  const result = b.let(b.zext(b.sar(wide, count), bits));
  return { result, cf: b.let(bit(b, b.sar(wide, b.sub(count, b.const(1))), b.const(0))), of: b.i32(0) };
};

/** Rotation counts of 8- and 16-bit operands are taken modulo the width, but a count of 8 or 16 still sets CF. */
function rotate(b: Emitter, bits: number, a: Value, count: Value, left: boolean): Value {
  if (bits === 64) return b.op(left ? 'i64_rotl' : 'i64_rotr', a, count);
  const half = (v: Value): Value => b.op('i32_wrap_i64', v);
  if (bits === 32) return b.op('i64_extend_i32_u', b.op(left ? 'i32_rotl' : 'i32_rotr', half(a), half(count)));
  const by = b.let(b.and(count, b.const(bits - 1)));
  const back = b.sub(b.const(bits), by);
  return left ? b.or(b.shl(a, by), b.shr(a, back)) : b.or(b.shr(a, by), b.shl(a, back));
}

const rol: Shift = (b, bits, a, count) => {
  const result = b.let(b.zext(rotate(b, bits, a, count, true), bits));
  const cf = b.let(bit(b, result, b.const(0)));
  return { result, cf, of: xor32(b, top(b, result, bits), cf) };
};

const ror: Shift = (b, bits, a, count) => {
  const result = b.let(b.zext(rotate(b, bits, a, count, false), bits));
  const cf = b.let(top(b, result, bits));
  return { result, cf, of: xor32(b, cf, bit(b, result, b.const(bits - 2))) };
};

/** Through CF: a rotation of bits + 1 bits. */
const rcl: Shift = (b, bits, a, count) => {
  const carry = b.let(b.bool(b.flag('CF')));
  let result: Value;
  let cf: Value;
  if (bits === 64) {
    result = b.let(b.or(b.or(b.shl(a, count), b.shl(carry, b.sub(count, b.const(1)))), b.shr(b.shr(a, b.const(1)), b.sub(b.const(64), count))));
    cf = bit(b, a, b.sub(b.const(64), count));
  } else {
    const by = bits === 32 ? count : b.let(b.op('i64_rem_u', count, b.const(bits + 1)));
    const x = b.let(b.or(a, b.shl(carry, b.const(bits))));
    const turned = b.let(b.or(b.shl(x, by), b.shr(x, b.sub(b.const(bits + 1), by))));
    result = b.let(b.zext(turned, bits));
    cf = bit(b, turned, b.const(bits));
  }
  const out = b.let(cf);
  return { result, cf: out, of: xor32(b, top(b, result, bits), out) };
};

const rcr: Shift = (b, bits, a, count) => {
  const carry = b.let(b.bool(b.flag('CF')));
  let result: Value;
  let cf: Value;
  if (bits === 64) {
    const back = b.let(b.sub(b.const(64), count));
    result = b.let(b.or(b.or(b.shr(a, count), b.shl(carry, back)), b.shl(b.shl(a, b.const(1)), back)));
    cf = bit(b, a, b.sub(count, b.const(1)));
  } else {
    const by = bits === 32 ? count : b.let(b.op('i64_rem_u', count, b.const(bits + 1)));
    const x = b.let(b.or(a, b.shl(carry, b.const(bits))));
    const turned = b.let(b.or(b.shr(x, by), b.shl(x, b.sub(b.const(bits + 1), by))));
    result = b.let(b.zext(turned, bits));
    cf = bit(b, turned, b.const(bits));
  }
  return { result, cf: b.let(cf), of: xor32(b, top(b, result, bits), bit(b, result, b.const(bits - 2))) };
};

const SHIFTS: readonly (readonly [name: string, shift: Shift, rotates: boolean])[] = [
  ['ROL', rol, true],
  ['ROR', ror, true],
  ['RCL', rcl, true],
  ['RCR', rcr, true],
  ['SHL', shl, false],
  ['SHR', shr, false],
  ['SHL', shl, false],
  ['SAR', sar, false],
];

/** Nothing but the destination's upper half changes when the masked count is 0; rotates leave SF ZF PF AF alone. */
function shifted(shift: Shift, rotates: boolean): (b: Emitter, dst: Operand, count?: Operand) => void {
  return (b, dst, by) => {
    const bits = dst.bits;
    const count = by === undefined ? b.const(1) : b.let(b.and(by.read(), b.const(bits === 64 ? 63 : 31)));
    dst.touch();
    const a = dst.read();
    b.if(
      b.isZero(count),
      () => dst.write(a),
      () => {
        const { result, cf, of } = shift(b, bits, a, count);
        const keepCf = b.let(cf);
        const keepOf = b.let(of);
        dst.write(result);
        if (rotates) b.setCarryOverflow(keepCf, keepOf);
        else b.flagsResult(bits, result, keepCf, keepOf);
      },
    );
  };
}

function shiftGroup(): Definition[] {
  return SHIFTS.flatMap(([name, shift, rotates], digit) => {
    const semantics = shifted(shift, rotates);
    const form = (opcode: string, operands: string[]): Definition => instruction({ name, opcode: `${opcode} /${digit}`, operands, semantics });
    return [
      form('C0', ['Eb', 'Ib']),
      form('C1', ['Ev', 'Ib']),
      form('D0', ['Eb', '1']),
      form('D1', ['Ev', '1']),
      form('D2', ['Eb', 'CL']),
      form('D3', ['Ev', 'CL']),
    ];
  });
}

/** SHLD and SHRD. For 16 bits and counts above 16 the operands repeat, as on hardware (the SDM leaves it undefined). */
function double(left: boolean): (b: Emitter, dst: Operand, src: Operand, by: Operand) => void {
  return (b, dst, src, by) => {
    const bits = dst.bits;
    const count = b.let(b.and(by.read(), b.const(bits === 64 ? 63 : 31)));
    const filler = src.read();
    dst.touch();
    const a = dst.read();
    b.if(
      b.isZero(count),
      () => dst.write(a),
      () => {
        const { result, cf } = left ? shiftLeftDouble(b, bits, a, filler, count) : shiftRightDouble(b, bits, a, filler, count);
        const value = b.let(result);
        const carry = b.let(cf);
        dst.write(value);
        b.flagsResult(bits, value, carry, xor32(b, top(b, value, bits), top(b, a, bits)));
      },
    );
  };
}

function shiftLeftDouble(b: Emitter, bits: number, a: Value, filler: Value, count: Value): { result: Value; cf: Value } {
  if (bits === 64) {
    const result = b.or(b.shl(a, count), b.shr(b.shr(filler, b.const(1)), b.sub(b.const(63), count)));
    return { result, cf: bit(b, a, b.sub(b.const(64), count)) };
  }
  const wide = b.let(bits === 32 ? b.or(b.shl(a, b.const(32)), filler) : repeated16(b, a, filler));
  const from = bits === 32 ? 32 : 32;
  return { result: b.zext(b.shr(b.shl(wide, count), b.const(from)), bits), cf: bit(b, wide, b.sub(b.const(from + bits), count)) };
}

function shiftRightDouble(b: Emitter, bits: number, a: Value, filler: Value, count: Value): { result: Value; cf: Value } {
  if (bits === 64) {
    const result = b.or(b.shr(a, count), b.shl(b.shl(filler, b.const(1)), b.sub(b.const(63), count)));
    return { result, cf: bit(b, a, b.sub(count, b.const(1))) };
  }
  const wide = b.let(bits === 32 ? b.or(b.shl(filler, b.const(32)), a) : repeated16(b, a, filler));
  return { result: b.zext(b.shr(wide, count), bits), cf: bit(b, wide, b.sub(count, b.const(1))) };
}

function repeated16(b: Emitter, a: Value, filler: Value): Value {
  return b.or(b.or(b.shl(a, b.const(32)), b.shl(filler, b.const(16))), a);
}

export const SHIFT: readonly Definition[] = [
  ...shiftGroup(),
  instruction({ name: 'SHLD', opcode: '0F A4', operands: ['Ev', 'Gv', 'Ib'], semantics: double(true) }),
  instruction({ name: 'SHLD', opcode: '0F A5', operands: ['Ev', 'Gv', 'CL'], semantics: double(true) }),
  instruction({ name: 'SHRD', opcode: '0F AC', operands: ['Ev', 'Gv', 'Ib'], semantics: double(false) }),
  instruction({ name: 'SHRD', opcode: '0F AD', operands: ['Ev', 'Gv', 'CL'], semantics: double(false) }),
];
