import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import { VECTOR } from '../system/exception.ts';
import { type Definition, instruction } from './definition.ts';

/** Upper 64 bits of the unsigned product, from four 32-bit products. */
export function mulHighUnsigned(b: Emitter, x: Value, y: Value): Value {
  const low = b.const(0xffff_ffff);
  const half = b.const(32);
  const [xl, xh] = [b.let(b.and(x, low)), b.let(b.shr(x, half))];
  const [yl, yh] = [b.let(b.and(y, low)), b.let(b.shr(y, half))];
  const ll = b.let(b.mul(xl, yl));
  const hl = b.let(b.add(b.mul(xh, yl), b.shr(ll, half)));
  const lh = b.let(b.add(b.mul(xl, yh), b.and(hl, low)));
  return b.add(b.add(b.mul(xh, yh), b.shr(hl, half)), b.shr(lh, half));
}

function mulHighSigned(b: Emitter, x: Value, y: Value): Value {
  const unsigned = b.let(mulHighUnsigned(b, x, y));
  const fixX = b.and(b.sar(x, b.const(63)), y);
  const fixY = b.and(b.sar(y, b.const(63)), x);
  return b.sub(b.sub(unsigned, fixX), fixY);
}

/** The double-width product into AX or rDX:rAX. */
function writeWide(b: Emitter, bits: number, low: Value, high: Value): void {
  if (bits === 8) {
    b.setReg(0, 16, b.or(low, b.shl(high, b.const(8))));
    return;
  }
  b.setReg(0, bits, low);
  b.setReg(2, bits, high);
}

function mul(b: Emitter, src: Operand): void {
  const bits = src.bits;
  const x = b.reg(0, bits);
  const y = src.read();
  const product = b.let(b.mul(x, y));
  const low = b.let(b.zext(product, bits));
  const high = b.let(bits === 64 ? mulHighUnsigned(b, x, y) : b.shr(product, b.const(bits)));
  writeWide(b, bits, low, high);
  const over = b.let(b.ne(high, b.const(0)));
  b.flagsResult(bits, low, over, over);
}

function imulWide(b: Emitter, src: Operand): void {
  const bits = src.bits;
  const x = b.let(b.sext(b.reg(0, bits), bits));
  const y = b.let(b.sext(src.read(), bits));
  const product = b.let(b.mul(x, y));
  const low = b.let(b.zext(product, bits));
  const high = b.let(bits === 64 ? mulHighSigned(b, x, y) : b.zext(b.sar(product, b.const(bits)), bits));
  writeWide(b, bits, low, high);
  const over = b.let(overflowed(b, bits, product, high));
  b.flagsResult(bits, low, over, over);
}

/** Whether a signed product does not fit its lower half. */
function overflowed(b: Emitter, bits: number, product: Value, high: Value): Value {
  if (bits === 64) return b.ne(high, b.sar(product, b.const(63)));
  return b.ne(b.sext(product, bits), product);
}

function imul(b: Emitter, dst: Operand, left: Operand, right: Operand): void {
  const bits = dst.bits;
  const x = b.let(b.sext(left.read(), bits));
  const y = b.let(b.sext(right.read(), bits));
  const product = b.let(b.mul(x, y));
  const over = b.let(overflowed(b, bits, product, bits === 64 ? b.let(mulHighSigned(b, x, y)) : product));
  const low = b.let(b.zext(product, bits));
  dst.write(low);
  b.flagsResult(bits, low, over, over);
}

function divideError(b: Emitter, when: Value): void {
  b.if(when, () => b.raise(VECTOR.DE), undefined, false);
}

/** The dividend of 8-, 16- and 32-bit divisions fits 64 bits. */
function dividend(b: Emitter, bits: number): Value {
  if (bits === 8) return b.reg(0, 16);
  return b.let(b.or(b.shl(b.reg(2, bits), b.const(bits)), b.reg(0, bits)));
}

function writeQuotient(b: Emitter, bits: number, quotient: Value, remainder: Value): void {
  writeWide(b, bits, b.zext(quotient, bits), b.zext(remainder, bits));
}

function div(b: Emitter, src: Operand): void {
  const bits = src.bits;
  const divisor = src.read();
  divideError(b, b.isZero(divisor));
  if (bits === 64) return divide128(b, divisor, false);
  const n = dividend(b, bits);
  const quotient = b.let(b.op('i64_div_u', n, divisor));
  divideError(b, b.ne(b.shr(quotient, b.const(bits)), b.const(0)));
  writeQuotient(b, bits, quotient, b.let(b.op('i64_rem_u', n, divisor)));
}

function idiv(b: Emitter, src: Operand): void {
  const bits = src.bits;
  const divisor = b.let(b.sext(src.read(), bits));
  divideError(b, b.isZero(divisor));
  if (bits === 64) return divide128(b, divisor, true);
  const n = b.let(b.sext(dividend(b, bits), bits * 2));
  // The one quotient that 64 bits cannot hold would trap in WebAssembly.
  divideError(b, b.op('i32_and', b.eq(n, b.const(1n << 63n)), b.eq(divisor, b.const(-1))));
  const quotient = b.let(b.op('i64_div_s', n, divisor));
  divideError(b, b.ne(b.sext(quotient, bits), quotient));
  writeQuotient(b, bits, quotient, b.let(b.op('i64_rem_s', n, divisor)));
}

/** 128 by 64 bits: directly when the upper half is only an extension, else in TypeScript. */
function divide128(b: Emitter, divisor: Value, signed: boolean): void {
  const low = b.reg(0, 64);
  const high = b.reg(2, 64);
  const narrow = signed ? b.op('i32_and', b.eq(high, b.sar(low, b.const(63))), b.ne(divisor, b.const(-1))) : b.isZero(high);
  b.if(
    narrow,
    () => {
      const quotient = b.let(b.op(signed ? 'i64_div_s' : 'i64_div_u', low, divisor));
      const remainder = b.let(b.op(signed ? 'i64_rem_s' : 'i64_rem_u', low, divisor));
      writeQuotient(b, 64, quotient, remainder);
    },
    () => {
      b.setField64(S.temp, low);
      b.setField64(S.temp + 8, high);
      b.setField64(S.temp + 16, divisor);
      b.callHelper(signed ? 'divideSigned' : 'divideUnsigned');
      divideError(b, b.ne(b.field64(S.temp + 16), b.const(0)));
      writeQuotient(b, 64, b.field64(S.temp), b.field64(S.temp + 8));
    },
    true,
  );
}

/** MULX: the unsigned product without flags. */
function mulx(b: Emitter, high: Operand, low: Operand, src: Operand): void {
  const bits = src.bits;
  const x = b.reg(2, bits);
  const y = src.read();
  const product = b.let(b.mul(x, y));
  const upper = b.let(bits === 64 ? mulHighUnsigned(b, x, y) : b.shr(product, b.const(32)));
  low.write(b.zext(product, bits));
  high.write(upper); // last: wins when both are the same register
}

export const MULTIPLY: readonly Definition[] = [
  instruction({ name: 'MUL', opcode: 'F6 /4', operands: ['Eb'], semantics: mul }),
  instruction({ name: 'MUL', opcode: 'F7 /4', operands: ['Ev'], semantics: mul }),
  instruction({ name: 'IMUL', opcode: 'F6 /5', operands: ['Eb'], semantics: imulWide }),
  instruction({ name: 'IMUL', opcode: 'F7 /5', operands: ['Ev'], semantics: imulWide }),
  instruction({ name: 'DIV', opcode: 'F6 /6', operands: ['Eb'], semantics: div }),
  instruction({ name: 'DIV', opcode: 'F7 /6', operands: ['Ev'], semantics: div }),
  instruction({ name: 'IDIV', opcode: 'F6 /7', operands: ['Eb'], semantics: idiv }),
  instruction({ name: 'IDIV', opcode: 'F7 /7', operands: ['Ev'], semantics: idiv }),
  instruction({ name: 'IMUL', opcode: '0F AF', operands: ['Gv', 'Ev'], semantics: (b, dst, src) => imul(b, dst, dst, src) }),
  instruction({ name: 'IMUL', opcode: '69', operands: ['Gv', 'Ev', 'Iz'], semantics: imul }),
  instruction({ name: 'IMUL', opcode: '6B', operands: ['Gv', 'Ev', 'sIb'], semantics: imul }),
  instruction({ name: 'MULX', opcode: 'F2 VEX 0F 38 F6', operands: ['Gy', 'By', 'Ey'], semantics: mulx }),
];
