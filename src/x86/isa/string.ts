import type { Emitter, Value, Variable } from '../ir/emitter.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import { type Definition, instruction } from './definition.ts';

const PAGE = 4096;

interface Pointers {
  /** Element size in bits. */
  readonly bits: number;
  readonly source: boolean;
  readonly destination: boolean;
}

function sourceAddress(b: Emitter): Value {
  const sum = b.add(b.reg(GPR.RSI, b.addressBits), b.sourceSegmentBase());
  return b.let(b.mode64 ? sum : b.zext(sum, 32));
}

function destinationAddress(b: Emitter): Value {
  return b.let(b.linear(SEG.ES, b.reg(GPR.RDI, b.addressBits)));
}

/** Bytes from one element to the next: negative when DF is set. */
function stride(b: Emitter, bits: number): Value {
  const backwards = b.op('i32_and', b.otherFlags(), b.i32(0x400));
  return b.let(b.select(backwards, b.const(-bits / 8), b.const(bits / 8)));
}

function advance(b: Emitter, register: number, by: Value): void {
  b.setReg(register, b.addressBits, b.let(b.zext(b.add(b.reg(register, b.addressBits), by), b.addressBits)));
}

function advanceAll(b: Emitter, pointers: Pointers, by: Value): void {
  if (pointers.source) advance(b, GPR.RSI, by);
  if (pointers.destination) advance(b, GPR.RDI, by);
}

/**
 * Repeats `step` as the REP prefix says. A step does one or more elements, moves the pointers and returns how many it did; with
 * `until`, an i32 condition ends the repetition early. Interrupts get in between steps; so do faults, with the registers exact.
 */
function repeat(b: Emitter, step: (remaining: Value) => Value, until?: () => Value): void {
  const count = b.reg(GPR.RCX, b.addressBits);
  b.if(b.ne(count, b.const(0)), () => {
    const remaining = b.variable(count);
    b.doWhile(() => {
      const done = b.let(step(remaining));
      remaining.set(b.sub(remaining, done));
      b.setReg(GPR.RCX, b.addressBits, remaining);
      const more = b.let(b.ne(remaining, b.const(0)));
      const go = until === undefined ? more : b.let(b.op('i32_and', more, b.op('i32_eqz', until())));
      // One unit of the budget per step, plus one per 64 elements done at once.
      const left = b.let(b.op('i32_sub', b.field32(S.budget), b.op('i32_wrap_i64', b.add(b.shr(done, b.const(6)), b.const(1)))));
      b.setField32(S.budget, left);
      b.if(b.op('i32_and', go, b.op('i32_lt_s', left, b.i32(0))), () => b.again(), undefined, false);
      return go;
    });
  });
}

/** Elements from a linear address to the end of its page. */
function elementsInPage(b: Emitter, linear: Value, bits: number): Value {
  return b.shr(b.sub(b.const(PAGE), b.and(linear, b.const(PAGE - 1))), b.const(Math.log2(bits / 8)));
}

/** Elements until a narrow index register wraps: one that lies across the end is none. */
function elementsToWrap(b: Emitter, register: number, bits: number): Value {
  return b.shr(b.sub(b.const(1n << BigInt(b.addressBits)), b.reg(register, b.addressBits)), b.const(Math.log2(bits / 8)));
}

/** Elements that follow each other in memory from an index register on, in one page. */
function elementsAhead(b: Emitter, linear: Value, register: number, bits: number): Value {
  const inPage = elementsInPage(b, linear, bits);
  return b.addressBits === 64 ? inPage : minimum(b, b.let(inPage), b.let(elementsToWrap(b, register, bits)));
}

function minimum(b: Emitter, x: Value, y: Value): Value {
  return b.select(b.ltU(x, y), x, y);
}

function movs(bitsOf: (b: Emitter) => number): (b: Emitter) => void {
  return (b) => {
    const bits = bitsOf(b);
    const pointers = { bits, source: true, destination: true };
    const by = stride(b, bits);
    const one = (): Value => {
      const value = b.load(bits, sourceAddress(b));
      b.store(bits, destinationAddress(b), value);
      advanceAll(b, pointers, by);
      return b.const(1);
    };
    if (b.rep === 0) return void one();
    repeat(b, (remaining) => {
      const done = b.variable(b.const(0));
      b.if(b.op('i64_gt_s', by, b.const(0)), () => copyChunk(b, bits, remaining, done));
      b.if(b.isZero(done), () => done.set(one()));
      return done;
    });
  };
}

/** Copies as much as lies in one page at both ends and does not overlap forwards; leaves `done` 0 when it cannot. */
function copyChunk(b: Emitter, bits: number, remaining: Value, done: Variable): void {
  const from = sourceAddress(b);
  const to = destinationAddress(b);
  const shift = b.const(Math.log2(bits / 8));
  const inPages = b.let(minimum(b, elementsAhead(b, from, GPR.RSI, bits), elementsAhead(b, to, GPR.RDI, bits)));
  const most = b.let(minimum(b, inPages, remaining));
  const read = b.hostOffset(from, false);
  const write = b.hostOffset(to, true);
  // Copying forwards onto itself repeats a pattern: only as far as the distance may go at once.
  const distance = b.let(b.op('i64_extend_i32_u', b.op('i32_sub', write, read)));
  const count = b.let(minimum(b, most, b.select(b.isZero(distance), most, b.shr(distance, shift))));
  const reachable = b.op('i32_and', b.op('i32_ne', read, b.i32(0)), b.op('i32_ne', write, b.i32(0)));
  b.if(b.op('i32_and', reachable, b.ne(count, b.const(0))), () => {
    const bytes = b.let(b.shl(count, shift));
    write.push(b.code);
    read.push(b.code);
    b.op('i32_wrap_i64', bytes).push(b.code);
    b.code.memoryCopy();
    done.set(count);
    advance(b, GPR.RSI, bytes);
    advance(b, GPR.RDI, bytes);
  });
}

function stos(bitsOf: (b: Emitter) => number): (b: Emitter) => void {
  return (b) => {
    const bits = bitsOf(b);
    const by = stride(b, bits);
    const value = b.reg(GPR.RAX, bits);
    const one = (): Value => {
      b.store(bits, destinationAddress(b), value);
      advance(b, GPR.RDI, by);
      return b.const(1);
    };
    if (b.rep === 0) return void one();
    const byte = b.let(b.and(value, b.const(0xff)));
    const pattern = bits === 8 ? byte : b.mul(byte, b.const((1n << BigInt(bits)) / 255n));
    const uniform = b.let(b.op('i32_and', b.eq(value, pattern), b.op('i64_gt_s', by, b.const(0))));
    repeat(b, (remaining) => {
      const done = b.variable(b.const(0));
      b.if(uniform, () => fillChunk(b, bits, byte, remaining, done));
      b.if(b.isZero(done), () => done.set(one()));
      return done;
    });
  };
}

function fillChunk(b: Emitter, bits: number, byte: Value, remaining: Value, done: Variable): void {
  const to = destinationAddress(b);
  const count = b.let(minimum(b, elementsAhead(b, to, GPR.RDI, bits), remaining));
  const write = b.hostOffset(to, true);
  b.if(b.op('i32_and', b.op('i32_ne', write, b.i32(0)), b.ne(count, b.const(0))), () => {
    const bytes = b.let(b.shl(count, b.const(Math.log2(bits / 8))));
    write.push(b.code);
    b.op('i32_wrap_i64', byte).push(b.code);
    b.op('i32_wrap_i64', bytes).push(b.code);
    b.code.memoryFill();
    done.set(count);
    advance(b, GPR.RDI, bytes);
  });
}

function lods(bitsOf: (b: Emitter) => number): (b: Emitter) => void {
  return (b) => {
    const bits = bitsOf(b);
    const by = stride(b, bits);
    const one = (): Value => {
      b.setReg(GPR.RAX, bits, b.load(bits, sourceAddress(b)));
      advance(b, GPR.RSI, by);
      return b.const(1);
    };
    if (b.rep === 0) one();
    else repeat(b, one);
  };
}

/** CMPS and SCAS repeat while equal (F3) or while not equal (F2). */
function comparing(bitsOf: (b: Emitter) => number, source: boolean): (b: Emitter) => void {
  return (b) => {
    const bits = bitsOf(b);
    const by = stride(b, bits);
    const one = (): Value => {
      const left = source ? b.load(bits, sourceAddress(b)) : b.reg(GPR.RAX, bits);
      const right = b.load(bits, destinationAddress(b));
      b.flagsSub(bits, left, right, b.let(b.zext(b.sub(left, right), bits)));
      advanceAll(b, { bits, source, destination: true }, by);
      return b.const(1);
    };
    if (b.rep === 0) one();
    else repeat(b, one, () => b.condition(b.rep === 0xf3 ? 'nz' : 'z'));
  };
}

const byte = (): number => 8;
const sized = (b: Emitter): number => b.size;

export const STRING: readonly Definition[] = [
  instruction({ name: 'MOVS', opcode: 'A4', string: true, semantics: movs(byte) }),
  instruction({ name: 'MOVS', opcode: 'A5', string: true, semantics: movs(sized) }),
  instruction({ name: 'CMPS', opcode: 'A6', string: true, semantics: comparing(byte, true) }),
  instruction({ name: 'CMPS', opcode: 'A7', string: true, semantics: comparing(sized, true) }),
  instruction({ name: 'STOS', opcode: 'AA', string: true, semantics: stos(byte) }),
  instruction({ name: 'STOS', opcode: 'AB', string: true, semantics: stos(sized) }),
  instruction({ name: 'LODS', opcode: 'AC', string: true, semantics: lods(byte) }),
  instruction({ name: 'LODS', opcode: 'AD', string: true, semantics: lods(sized) }),
  instruction({ name: 'SCAS', opcode: 'AE', string: true, semantics: comparing(byte, false) }),
  instruction({ name: 'SCAS', opcode: 'AF', string: true, semantics: comparing(sized, false) }),
];
