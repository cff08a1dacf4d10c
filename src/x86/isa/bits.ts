import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import { VECTOR } from '../system/exception.ts';
import { type Definition, instruction } from './definition.ts';
import { bit } from './shift.ts';

type BitChange = (b: Emitter, a: Value, mask: Value) => Value;

/** BT BTS BTR BTC: a register offset reaches beyond a memory operand. @spec SDM-2A "BT" */
function bitTest(change: BitChange | undefined): (b: Emitter, dst: Operand, offset: Operand) => void {
  return (b, dst, offset) => {
    const bits = dst.bits;
    const position = offset.read();
    const index = b.let(b.and(position, b.const(bits - 1)));
    let target = dst;
    if (dst.kind === 'memory' && offset.kind === 'gpr') {
      const units = b.sar(b.sext(position, bits), b.const(Math.log2(bits)));
      target = dst.at!(b.let(b.mul(units, b.const(bits / 8))));
    }
    if (change === undefined) {
      b.setCF(bit(b, target.read(), index));
      return;
    }
    const mask = b.let(b.shl(b.const(1), index));
    const { old } = target.update((a) => b.zext(change(b, a, mask), bits));
    b.setCF(bit(b, old, index));
  };
}

const BIT_OPERATIONS: readonly (readonly [string, string, string, BitChange | undefined])[] = [
  ['BT', '0F A3', '/4', undefined],
  ['BTS', '0F AB', '/5', (b, a, mask) => b.or(a, mask)],
  ['BTR', '0F B3', '/6', (b, a, mask) => b.and(a, b.not(mask))],
  ['BTC', '0F BB', '/7', (b, a, mask) => b.xor(a, mask)],
];

/** BSF and BSR leave the destination as it was when the source is 0. */
function scan(forward: boolean): (b: Emitter, dst: Operand, src: Operand) => void {
  return (b, dst, src) => {
    const v = src.read();
    const zero = b.let(b.isZero(v));
    b.if(
      zero,
      () => {},
      () => dst.write(forward ? b.op('i64_ctz', v) : b.sub(b.const(63), b.op('i64_clz', v))),
    );
    b.setZF(zero);
  };
}

/** TZCNT, LZCNT: CF = source was 0, ZF = result is 0. */
function count(trailing: boolean): (b: Emitter, dst: Operand, src: Operand) => void {
  return (b, dst, src) => {
    const v = src.read();
    const bits = dst.bits;
    const zeros = trailing ? b.op('i64_ctz', bits === 64 ? v : b.or(v, b.const(1n << BigInt(bits)))) : b.sub(b.op('i64_clz', v), b.const(64 - bits));
    const result = b.let(zeros);
    const zero = b.let(b.isZero(v));
    dst.write(result);
    b.flagsResult(bits, result, zero, b.i32(0));
  };
}

function popcnt(b: Emitter, dst: Operand, src: Operand): void {
  const v = src.read();
  dst.write(b.let(b.op('i64_popcnt', v)));
  b.setFlagsSplit(v, b.const(1), b.const(0)); // ZF from the source; PF = SF = 0
}

function cmpxchg(b: Emitter, dst: Operand, src: Operand): void {
  const bits = dst.bits;
  const expected = b.reg(0, bits);
  const desired = src.read();
  if (dst.kind === 'gpr') return cmpxchgRegister(b, dst, expected, desired);
  const { old } = dst.update((a) => b.select(b.eq(a, expected), desired, a));
  b.if(
    b.eq(old, expected),
    () => {},
    () => b.setReg(0, bits, old),
  );
  b.flagsSub(bits, expected, old, b.let(b.zext(b.sub(expected, old), bits)));
}

/** A destination register that is not replaced is not written at all: its upper half stays. */
function cmpxchgRegister(b: Emitter, dst: Operand, expected: Value, desired: Value): void {
  const old = dst.read();
  b.if(
    b.eq(old, expected),
    () => dst.write(desired),
    () => b.setReg(0, dst.bits, old),
  );
  b.flagsSub(dst.bits, expected, old, b.let(b.zext(b.sub(expected, old), dst.bits)));
}

function xadd(b: Emitter, dst: Operand, src: Operand): void {
  const addend = src.read();
  const { old, next } = dst.update((a) => b.zext(b.add(a, addend), dst.bits));
  if (dst.kind === 'gpr') {
    // When both are the same register the sum stays.
    src.write(old);
    dst.write(next);
  } else src.write(old);
  b.flagsAdd(dst.bits, old, addend, next);
}

function cmpxchg8b(b: Emitter, dst: Operand): void {
  const expected = b.let(b.or(b.reg(0, 32), b.shl(b.reg(2, 32), b.const(32))));
  const desired = b.let(b.or(b.reg(3, 32), b.shl(b.reg(1, 32), b.const(32))));
  const { old } = dst.update((a) => b.select(b.eq(a, expected), desired, a));
  const same = b.let(b.eq(old, expected));
  b.if(
    same,
    () => {},
    () => {
      b.setReg(0, 32, old);
      b.setReg(2, 32, b.shr(old, b.const(32)));
    },
  );
  b.setZF(same);
}

function cmpxchg16b(b: Emitter, dst: Operand): void {
  const address = dst.linearAddress();
  b.if(b.ne(b.and(address, b.const(15)), b.const(0)), () => b.raise(VECTOR.GP, 0), undefined, false);
  const [low, high] = [b.reg(0, 64), b.reg(2, 64)];
  dst.touch();
  const old = dst.read();
  const [oldLow, oldHigh] = [b.let(b.lane('i64x2_extract_lane', 0, old)), b.let(b.lane('i64x2_extract_lane', 1, old))];
  const same = b.let(b.op('i32_and', b.eq(oldLow, low), b.eq(oldHigh, high)));
  b.if(
    same,
    () => dst.write(b.vector(b.reg(3, 64), b.reg(1, 64))),
    () => {
      dst.write(old);
      b.setReg(0, 64, oldLow);
      b.setReg(2, 64, oldHigh);
    },
  );
  b.setZF(same);
}

/** BMI results set ZF and SF, clear OF, and CF as given. */
function bmiFlags(b: Emitter, bits: number, result: Value, cf: Value): void {
  b.flagsResult(bits, result, cf, b.i32(0));
}

function andn(b: Emitter, dst: Operand, first: Operand, second: Operand): void {
  const c = second.read();
  const result = b.let(b.zext(b.and(b.not(first.read()), c), dst.bits));
  dst.write(result);
  bmiFlags(b, dst.bits, result, b.i32(0));
}

function bls(op: 'BLSR' | 'BLSMSK' | 'BLSI'): (b: Emitter, dst: Operand, src: Operand) => void {
  return (b, dst, src) => {
    const v = src.read();
    const less = b.sub(v, b.const(1));
    const value = op === 'BLSR' ? b.and(v, less) : op === 'BLSMSK' ? b.xor(v, less) : b.and(v, b.sub(b.const(0), v));
    const result = b.let(b.zext(value, dst.bits));
    const zero = b.let(b.isZero(v));
    dst.write(result);
    bmiFlags(b, dst.bits, result, op === 'BLSI' ? b.op('i32_eqz', zero) : zero);
  };
}

function bextr(b: Emitter, dst: Operand, src: Operand, control: Operand): void {
  const c = control.read();
  const v = src.read();
  const start = b.let(b.and(c, b.const(0xff)));
  const length = b.let(b.and(b.shr(c, b.const(8)), b.const(0xff)));
  const moved = b.select(b.ltU(start, b.const(64)), b.shr(v, start), b.const(0));
  const mask = b.select(b.ltU(length, b.const(64)), b.sub(b.shl(b.const(1), length), b.const(1)), b.const(-1));
  const result = b.let(b.and(moved, mask));
  dst.write(result);
  b.setFlagsSplit(result, b.const(1), b.const(0));
}

function bzhi(b: Emitter, dst: Operand, src: Operand, index: Operand): void {
  const bits = dst.bits;
  const n = b.let(b.and(index.read(), b.const(0xff)));
  const v = src.read();
  const inside = b.let(b.ltU(n, b.const(bits)));
  const result = b.let(b.select(inside, b.and(v, b.sub(b.shl(b.const(1), n), b.const(1))), v));
  dst.write(result);
  bmiFlags(b, bits, result, b.op('i32_eqz', inside));
}

/** PDEP and PEXT, one mask bit at a time from the lowest. */
function pdep(deposit: boolean): (b: Emitter, dst: Operand, src: Operand, mask: Operand) => void {
  return (b, dst, srcOperand, maskOperand) => {
    const source = srcOperand.read();
    const mask = b.variable(maskOperand.read());
    const result = b.variable(b.const(0));
    const k = b.variable(b.const(0));
    b.if(b.ne(mask, b.const(0)), () => {
      b.doWhile(() => {
        const lowest = b.let(b.and(mask, b.sub(b.const(0), mask)));
        const from = deposit ? b.and(b.shr(source, k), b.const(1)) : b.bool(b.ne(b.and(source, lowest), b.const(0)));
        const placed = deposit ? b.mul(from, lowest) : b.shl(from, k);
        result.set(b.or(result, placed));
        mask.set(b.and(mask, b.sub(mask, b.const(1))));
        k.set(b.add(k, b.const(1)));
        return b.ne(mask, b.const(0));
      });
    });
    dst.write(result);
  };
}

function shiftx(op: 'SARX' | 'SHLX' | 'SHRX'): (b: Emitter, dst: Operand, src: Operand, by: Operand) => void {
  return (b, dst, src, by) => {
    const bits = dst.bits;
    const n = b.let(b.and(by.read(), b.const(bits - 1)));
    const v = src.read();
    const result = op === 'SHLX' ? b.shl(v, n) : op === 'SHRX' ? b.shr(v, n) : b.sar(b.sext(v, bits), n);
    dst.write(b.let(b.zext(result, bits)));
  };
}

function rorx(b: Emitter, dst: Operand, src: Operand, by: Operand): void {
  const v = src.read();
  const n = by.read();
  if (dst.bits === 64) dst.write(b.op('i64_rotr', v, n));
  else dst.write(b.let(b.op('i64_extend_i32_u', b.op('i32_rotr', b.op('i32_wrap_i64', v), b.op('i32_wrap_i64', n)))));
}

/** ADCX and ADOX touch only their own carry flag. */
function addCarry(flag: 'CF' | 'OF'): (b: Emitter, dst: Operand, src: Operand) => void {
  return (b, dst, src) => {
    const bits = dst.bits;
    const c = src.read();
    const a = dst.read();
    const other = b.flag(flag === 'CF' ? 'OF' : 'CF');
    const carry = b.bool(b.flag(flag));
    const sum = b.let(b.add(b.add(a, c), carry));
    const result = b.let(b.zext(sum, bits));
    const out =
      bits === 64
        ? b.op('i32_wrap_i64', b.shr(b.or(b.and(a, c), b.and(b.or(a, c), b.not(result))), b.const(63)))
        : b.op('i32_wrap_i64', b.shr(sum, b.const(32)));
    dst.write(result);
    const next = b.let(out);
    if (flag === 'CF') b.setCarryOverflow(next, other);
    else b.setCarryOverflow(other, next);
  };
}

/** CRC32C, four bits of the message at a time would need a table; bit by bit is enough for its use. @spec SDM-2A "CRC32" */
function crc32(b: Emitter, dst: Operand, src: Operand): void {
  const message = src.read();
  const crc = b.variable(b.xor(b.zext(dst.read(), 32), src.bits < 64 ? message : b.zext(message, 32)));
  const rounds = (bits: number): void => {
    const k = b.variable(b.i32(bits));
    b.doWhile(() => {
      crc.set(b.xor(b.shr(crc, b.const(1)), b.and(b.sub(b.const(0), b.and(crc, b.const(1))), b.const(0x82f6_3b78))));
      k.set(b.op('i32_sub', k, b.i32(1)));
      return k;
    });
  };
  rounds(Math.min(src.bits, 32));
  if (src.bits === 64) {
    crc.set(b.xor(crc, b.shr(message, b.const(32))));
    rounds(32);
  }
  dst.write(crc);
}

export const BITS: readonly Definition[] = [
  ...BIT_OPERATIONS.flatMap(([name, opcode, digit, change]) => [
    instruction({ name, opcode, operands: ['Ev', 'Gv'], semantics: bitTest(change), ...(change === undefined ? {} : { lock: true }) }),
    instruction({ name, opcode: `0F BA ${digit}`, operands: ['Ev', 'Ib'], semantics: bitTest(change), ...(change === undefined ? {} : { lock: true }) }),
  ]),
  instruction({ name: 'BSF', opcode: '0F BC', operands: ['Gv', 'Ev'], semantics: scan(true) }),
  instruction({ name: 'BSR', opcode: '0F BD', operands: ['Gv', 'Ev'], semantics: scan(false) }),
  instruction({ name: 'TZCNT', opcode: 'F3 0F BC', operands: ['Gv', 'Ev'], semantics: count(true) }),
  instruction({ name: 'LZCNT', opcode: 'F3 0F BD', operands: ['Gv', 'Ev'], semantics: count(false) }),
  instruction({ name: 'POPCNT', opcode: 'F3 0F B8', operands: ['Gv', 'Ev'], semantics: popcnt }),
  instruction({ name: 'CMPXCHG', opcode: '0F B0', operands: ['Eb', 'Gb'], lock: true, semantics: cmpxchg }),
  instruction({ name: 'CMPXCHG', opcode: '0F B1', operands: ['Ev', 'Gv'], lock: true, semantics: cmpxchg }),
  instruction({ name: 'XADD', opcode: '0F C0', operands: ['Eb', 'Gb'], lock: true, semantics: xadd }),
  instruction({ name: 'XADD', opcode: '0F C1', operands: ['Ev', 'Gv'], lock: true, semantics: xadd }),
  instruction({
    name: 'CMPXCHG8B',
    opcode: '0F C7 /1 mem',
    operands: ['Mc'],
    sized: true,
    lock: true,
    semantics: (b, dst) => (b.size === 64 ? cmpxchg16b(b, dst) : cmpxchg8b(b, dst)),
  }),
  instruction({ name: 'ANDN', opcode: 'NP VEX 0F 38 F2', operands: ['Gy', 'By', 'Ey'], semantics: andn }),
  instruction({ name: 'BLSR', opcode: 'NP VEX 0F 38 F3 /1', operands: ['By', 'Ey'], semantics: bls('BLSR') }),
  instruction({ name: 'BLSMSK', opcode: 'NP VEX 0F 38 F3 /2', operands: ['By', 'Ey'], semantics: bls('BLSMSK') }),
  instruction({ name: 'BLSI', opcode: 'NP VEX 0F 38 F3 /3', operands: ['By', 'Ey'], semantics: bls('BLSI') }),
  instruction({ name: 'BEXTR', opcode: 'NP VEX 0F 38 F7', operands: ['Gy', 'Ey', 'By'], semantics: bextr }),
  instruction({ name: 'BZHI', opcode: 'NP VEX 0F 38 F5', operands: ['Gy', 'Ey', 'By'], semantics: bzhi }),
  instruction({ name: 'PDEP', opcode: 'F2 VEX 0F 38 F5', operands: ['Gy', 'By', 'Ey'], semantics: pdep(true) }),
  instruction({ name: 'PEXT', opcode: 'F3 VEX 0F 38 F5', operands: ['Gy', 'By', 'Ey'], semantics: pdep(false) }),
  instruction({ name: 'SARX', opcode: 'F3 VEX 0F 38 F7', operands: ['Gy', 'Ey', 'By'], semantics: shiftx('SARX') }),
  instruction({ name: 'SHLX', opcode: '66 VEX 0F 38 F7', operands: ['Gy', 'Ey', 'By'], semantics: shiftx('SHLX') }),
  instruction({ name: 'SHRX', opcode: 'F2 VEX 0F 38 F7', operands: ['Gy', 'Ey', 'By'], semantics: shiftx('SHRX') }),
  instruction({ name: 'RORX', opcode: 'F2 VEX 0F 3A F0', operands: ['Gy', 'Ey', 'Ib'], semantics: rorx }),
  instruction({ name: 'ADCX', opcode: '66 0F 38 F6', operands: ['Gy', 'Ey'], semantics: addCarry('CF') }),
  instruction({ name: 'ADOX', opcode: 'F3 0F 38 F6', operands: ['Gy', 'Ey'], semantics: addCarry('OF') }),
  instruction({ name: 'CRC32', opcode: 'F2 0F 38 F0', operands: ['Gy', 'Eb'], semantics: crc32 }),
  instruction({ name: 'CRC32', opcode: 'F2 0F 38 F1', operands: ['Gy', 'Ev'], semantics: crc32 }),
];
