import type { Code } from '../../wasm/code.ts';
import { F32, F64, I32, I64, type LaneOp, type Op, type SimdOp, V128, type ValType } from '../../wasm/opcodes.ts';
import { constant32, constant64, expression, localValue, operation, simdOperation, type Value } from './value.ts';

export type { Value } from './value.ts';

/** Conditions by their SDM suffix; code 0..15 in this order. @spec SDM-1 §B.1 */
export const CONDITIONS = ['o', 'no', 'b', 'ae', 'z', 'nz', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'] as const;
export type Condition = (typeof CONDITIONS)[number];

/**
 * An operand of the instruction at hand. Integers up to 64 bits are i64 values, zero-extended from `bits`; 128-bit operands are
 * v128. Reading a memory operand may fault: read (or `touch`) every memory operand before the first write of the instruction.
 */
export interface Operand {
  readonly kind: 'gpr' | 'xmm' | 'mmx' | 'memory' | 'immediate';
  readonly bits: number;
  /** Registers: what identifies it, an i32 value. */
  readonly identity?: Value;
  /** The operand's value, in a local: unaffected by later writes. */
  read(): Value;
  /** Zero-extended (gpr of 32 bits: clears the upper half; xmm narrower than 128: leaves the rest). */
  write(value: Value): void;
  /**
   * Read-modify-write: `change` gets the old value and returns the new one. Atomic on memory when the instruction has LOCK;
   * `change` must be pure then, flags come after. Returns the old and the new value. Checks for writing before it reads.
   */
  update(change: (old: Value) => Value): { old: Value; next: Value };
  /** Memory only: checks that it can be written (raises faults now). */
  touch(): void;
  /** Memory only: effective address without segment base (LEA), truncated to the address size. */
  effectiveAddress(): Value;
  /** Memory only: the operand of the same size `delta` bytes (i64) further. */
  at?(delta: Value): Operand;
  /** Memory only: linear address. */
  linearAddress(): Value;
}

/** What the semantics of an instruction are written in. The interpreter and the JIT each implement the abstract part. */
export abstract class Emitter {
  readonly code: Code;
  /** Operand size of the instruction: 16, 32 or 64. */
  size: 16 | 32 | 64 = 32;
  /** Address size; meaningful for forms marked string or addressSized. */
  addressBits: 16 | 32 | 64 = 64;
  /** Stack width; meaningful for forms marked stack. */
  stackBits: 16 | 32 | 64 = 64;
  /** REP prefix for forms marked string: 0, F2 (REPNE), F3 (REP, REPE). */
  rep: 0 | 0xf2 | 0xf3 = 0;
  lock = false;
  /** PE and DE of MXCSR, which hardly anybody reads, need not be raised by operations that do nothing else unusual. */
  fastFloat = false;
  /** 64-bit mode; false in legacy and compatibility mode. */
  mode64 = true;
  #owned: { local: number; type: ValType }[] = [];

  constructor(code: Code) {
    this.code = code;
  }

  // --- Values -------------------------------------------------------------------------------------------------------

  const(value: bigint | number): Value {
    return constant64(BigInt(value));
  }

  i32(value: number): Value {
    return constant32(value);
  }

  /** Evaluates now, once; the result is a local or a constant. */
  let(value: Value): Value {
    if (value.constant !== undefined) return value;
    const local = this.temp(value.type);
    value.push(this.code);
    this.code.set(local);
    return localValue(local, value.type);
  }

  /** A local that can change: for loops and for values that two branches compute. */
  variable(initial: Value): Variable {
    const local = this.temp(initial.type);
    initial.push(this.code);
    this.code.set(local);
    return new Variable(this.code, local, initial.type);
  }

  /** A local that is given back at the end of the instruction. */
  temp(type: ValType): number {
    const local = this.code.local(type);
    this.#owned.push({ local, type });
    return local;
  }

  /** Ends an instruction: its temporaries can be used again. */
  releaseTemps(): void {
    for (const { local, type } of this.#owned) this.code.free(local, type);
    this.#owned = [];
  }

  op(name: Op, ...args: Value[]): Value {
    return operation(name, args);
  }

  simd(name: SimdOp, ...args: Value[]): Value {
    return simdOperation(name, args);
  }

  /** extract: lane(name, i, v); replace: lane(name, i, v, x). */
  lane(name: LaneOp, index: number, ...args: Value[]): Value {
    return expression(laneType(name), (code) => {
      for (const arg of args) arg.push(code);
      code.lane(name, index);
    });
  }

  /** Lanes 0..15 come from a, 16..31 from c. */
  shuffle(lanes: readonly number[], a: Value, c: Value): Value {
    return expression(V128, (code) => {
      a.push(code);
      c.push(code);
      code.shuffle(lanes);
    });
  }

  v128(bytes: readonly number[]): Value {
    return expression(V128, (code) => void code.v128(bytes));
  }

  /** Two 64-bit lanes from i64 values. */
  vector(low: Value, high: Value): Value {
    return this.lane('i64x2_replace_lane', 1, this.simd('i64x2_splat', low), high);
  }

  truncSat(name: 'i32_trunc_sat_f32_s' | 'i32_trunc_sat_f64_s' | 'i64_trunc_sat_f32_s' | 'i64_trunc_sat_f64_s', value: Value): Value {
    return expression(name.startsWith('i32') ? I32 : I64, (code) => {
      value.push(code);
      code.truncSat(name);
    });
  }

  select(condition: Value, then: Value, otherwise: Value): Value {
    if (condition.constant !== undefined) return condition.constant !== 0n ? then : otherwise;
    return expression(then.type, (code) => {
      then.push(code);
      otherwise.push(code);
      condition.push(code);
      if (then.type === V128) code.out.u8(0x1c).u32(1).u8(V128);
      else code.op('select');
    });
  }

  // Shorthands on i64.
  add = (a: Value, c: Value): Value => this.op('i64_add', a, c);
  sub = (a: Value, c: Value): Value => this.op('i64_sub', a, c);
  mul = (a: Value, c: Value): Value => this.op('i64_mul', a, c);
  and = (a: Value, c: Value): Value => this.op('i64_and', a, c);
  or = (a: Value, c: Value): Value => this.op('i64_or', a, c);
  xor = (a: Value, c: Value): Value => this.op('i64_xor', a, c);
  not = (a: Value): Value => this.op('i64_xor', a, this.const(-1n));
  shl = (a: Value, count: Value): Value => this.op('i64_shl', a, count);
  shr = (a: Value, count: Value): Value => this.op('i64_shr_u', a, count);
  sar = (a: Value, count: Value): Value => this.op('i64_shr_s', a, count);
  eq = (a: Value, c: Value): Value => this.op('i64_eq', a, c);
  ne = (a: Value, c: Value): Value => this.op('i64_ne', a, c);
  ltU = (a: Value, c: Value): Value => this.op('i64_lt_u', a, c);
  ltS = (a: Value, c: Value): Value => this.op('i64_lt_s', a, c);
  isZero = (a: Value): Value => this.op('i64_eqz', a);
  /** i32 boolean to i64. */
  bool = (a: Value): Value => this.op('i64_extend_i32_u', a);

  /** Clears the bits above `bits`. */
  zext(value: Value, bits: number): Value {
    if (bits >= 64) return value;
    if (bits === 32) return this.op('i64_extend_i32_u', this.op('i32_wrap_i64', value));
    return this.and(value, this.const((1n << BigInt(bits)) - 1n));
  }

  /** Sign-extends from `bits` to 64. */
  sext(value: Value, bits: number): Value {
    if (bits >= 64) return value;
    if (bits === 32) return this.op('i64_extend32_s', value);
    return this.op(bits === 16 ? 'i64_extend16_s' : 'i64_extend8_s', value);
  }

  asF32 = (v: Value): Value => this.op('f32_reinterpret_i32', v.type === I64 ? this.op('i32_wrap_i64', v) : v);
  asF64 = (v: Value): Value => this.op('f64_reinterpret_i64', v);
  /** Bits of a float as a zero-extended i64. */
  bitsOf = (v: Value): Value => (v.type === F32 ? this.op('i64_extend_i32_u', this.op('i32_reinterpret_f32', v)) : this.op('i64_reinterpret_f64', v));

  // --- Control inside one instruction -------------------------------------------------------------------------------

  if(condition: Value, then: () => void, otherwise?: () => void, likely?: boolean): void {
    if (condition.constant !== undefined) {
      if (condition.constant !== 0n) then();
      else otherwise?.();
      return;
    }
    condition.push(this.code);
    this.code.if(likely);
    this.enterBranch();
    then();
    if (otherwise !== undefined) {
      this.code.else();
      this.switchBranch();
      otherwise();
    }
    this.code.end();
    this.leaveBranch();
  }

  /** Repeats `body` while it returns a true condition. */
  doWhile(body: () => Value): void {
    const top = this.code.loop();
    this.enterBranch();
    body().push(this.code);
    this.code.brIf(top);
    this.code.end();
    this.leaveBranch();
  }

  /** Hooks for back ends that keep state in locals and must merge it. */
  protected enterBranch(): void {}
  protected switchBranch(): void {}
  protected leaveBranch(): void {}

  // --- Flags --------------------------------------------------------------------------------------------------------

  /** Flags of r = a + c (+ carry-in, which is named then), all zero-extended from `bits`. */
  flagsAdd(bits: number, a: Value, c: Value, r: Value, _carry?: Value): void {
    // Carry out of each bit position.
    const carries = this.or(this.and(a, c), this.and(this.or(a, c), this.not(r)));
    this.setFlags(this.sext(r, bits), this.alignCarries(carries, bits));
  }

  /** Flags of r = a - c (- borrow-in, which is named then). */
  flagsSub(bits: number, a: Value, c: Value, r: Value, _borrow?: Value): void {
    const borrows = this.or(this.and(this.not(a), c), this.and(this.or(this.not(a), c), r));
    this.setFlags(this.sext(r, bits), this.alignCarries(borrows, bits));
  }

  /** Flags of a - c, when nobody wants the difference itself. */
  flagsCompare(bits: number, a: Value, c: Value): void {
    this.flagsSub(bits, a, c, this.let(this.zext(this.sub(a, c), bits)));
  }

  /** Flags of a logical operation: CF = OF = AF = 0. */
  flagsLogic(bits: number, r: Value): void {
    this.setFlags(this.sext(r, bits), this.const(0));
  }

  /** Result flags from r; CF and OF from i32 booleans; AF 0. */
  flagsResult(bits: number, r: Value, cf: Value, of: Value): void {
    this.setFlags(this.sext(r, bits), this.carryVector(cf, of));
  }

  /** The carry vector for given CF and OF. */
  carryVector(cf: Value, of: Value): Value {
    const differ = this.op('i32_xor', cf, of);
    return this.or(this.shl(this.bool(cf), this.const(63)), this.shl(this.bool(differ), this.const(62)));
  }

  /** Moves the carries of the top two positions of a `bits` wide operation to bits 63 and 62, keeping bit 3 for AF. */
  protected alignCarries(carries: Value, bits: number): Value {
    if (bits === 64) return carries;
    const once = this.let(carries);
    return this.or(this.shl(once, this.const(64 - bits)), this.and(once, this.const(8)));
  }

  /** Sets all arithmetic flags: ZF, SF, PF from a sign-extended result, CF, OF, AF from a carry vector. */
  abstract setFlags(result: Value, carries: Value): void;
  /** Replaces CF and OF (i32 booleans) only. */
  abstract setCarryOverflow(cf: Value, of: Value): void;
  /** Replaces CF (i32 boolean) only. */
  abstract setCF(cf: Value): void;
  /** Replaces ZF (i32 boolean) only. */
  abstract setZF(zf: Value): void;
  /** Sets ZF, PF, CF as given (i32 booleans), and SF = OF = AF = 0 (COMISS, PTEST ...). */
  setZfPfCf(zf: Value, pf: Value, cf: Value): void {
    this.setFlagsSplit(this.bool(this.op('i32_eqz', zf)), this.bool(this.op('i32_eqz', pf)), this.carryVector(cf, this.i32(0)));
  }
  /** ZF = (zr == 0), SF and PF from sp, CF OF AF from the carry vector. */
  abstract setFlagsSplit(zr: Value, sp: Value, cv: Value): void;
  /** i32 boolean. */
  abstract condition(condition: Condition): Value;
  /** i32 boolean. */
  abstract flag(name: 'CF' | 'PF' | 'AF' | 'ZF' | 'SF' | 'OF'): Value;
  /** RFLAGS bits other than the arithmetic ones, as i32 (DF is bit 10). */
  abstract otherFlags(): Value;
  abstract setOtherFlags(value: Value): void;

  // --- State --------------------------------------------------------------------------------------------------------

  /** A fixed general register, zero-extended from `bits`; bits 8 is the low byte. */
  abstract reg(index: number, bits: number): Value;
  abstract setReg(index: number, bits: number, value: Value): void;
  /** A fixed XMM register as v128. */
  abstract xmm(index: number): Value;
  abstract setXmm(index: number, value: Value): void;
  /** A 32- or 64-bit field of the CPU state by its offset in S (layout.ts). */
  abstract field32(offset: number): Value;
  abstract setField32(offset: number, value: Value): void;
  abstract field64(offset: number): Value;
  abstract setField64(offset: number, value: Value): void;

  /** i32 boolean: whether two register operands name the same register. */
  abstract sameRegister(a: Operand, c: Operand): Value;

  // --- Memory -------------------------------------------------------------------------------------------------------

  /** Loads 8..64 bits zero-extended as i64, or 128 as v128, from a linear address; may fault. */
  abstract load(bits: number, linear: Value): Value;
  /** Stores at a linear address; may fault. */
  abstract store(bits: number, linear: Value, value: Value): void;
  /** Adds the base of a segment (index of SEG) and truncates outside 64-bit mode. */
  abstract linear(segment: number, offset: Value): Value;
  /** The segment of string sources (DS or the override) as a linear base value. */
  abstract sourceSegmentBase(): Value;
  /**
   * Host offset (i32) of the byte at a linear address for reading or writing, or 0 when it cannot be reached directly:
   * `bytes` must not cross a page. Never faults; for bulk operations.
   */
  abstract hostOffset(linear: Value, write: boolean): Value;

  // --- Stack (forms marked stack) -----------------------------------------------------------------------------------

  push(bits: number, value: Value): void {
    const kept = this.let(value);
    const rsp = this.let(this.zext(this.sub(this.reg(4, 64), this.const(bits / 8)), this.stackBits));
    this.store(bits, this.stackLinear(rsp), kept);
    this.setReg(4, this.stackBits, rsp);
  }

  /** Reads the top of the stack; the caller moves the stack pointer with `dropStack` after the last thing that can fault. */
  peek(bits: number, offset = 0): Value {
    const rsp = this.zext(this.add(this.reg(4, 64), this.const(offset)), this.stackBits);
    return this.load(bits, this.stackLinear(rsp));
  }

  dropStack(bytes: number | Value): void {
    const by = typeof bytes === 'number' ? this.const(bytes) : bytes;
    this.setReg(4, this.stackBits, this.let(this.zext(this.add(this.reg(4, 64), by), this.stackBits)));
  }

  stackLinear(rsp: Value): Value {
    return this.mode64 ? rsp : this.linear(2, rsp);
  }

  // --- Leaving the instruction --------------------------------------------------------------------------------------

  /** Raises an exception without error code, or with one; nothing of the instruction has happened. */
  abstract raise(vector: number, errorCode?: number): void;
  /** Near relative branch to the instruction's Jb/Jz operand when the i32 condition holds, else on to the next instruction. */
  abstract branch(condition: Value): void;
  /** Unconditional relative branch. */
  abstract jumpRelative(): void;
  /** Near indirect branch: target as an offset in the code segment (RIP in 64-bit mode). */
  abstract jumpIndirect(target: Value, kind: 'jump' | 'call' | 'return'): void;
  /** Address of the next instruction as CALL pushes it. */
  abstract nextRip(): Value;
  /** For string instructions that stop early to let interrupts in: RIP stays at this instruction; ends the block. */
  abstract again(): void;
  /** Does the whole instruction in the TypeScript of the same definition (`system`) instead; nothing of it has happened. */
  abstract slowPath(): void;
  /**
   * Calls a TypeScript helper by its name (see interp/helpers.ts) with values left in S.temp and so on; it may not fault.
   */
  abstract callHelper(name: string): void;
}

/** A local that can be assigned. */
export class Variable implements Value {
  readonly type: ValType;
  readonly constant = undefined;
  readonly local: number;
  readonly #code: Code;

  constructor(code: Code, local: number, type: ValType) {
    this.#code = code;
    this.local = local;
    this.type = type;
  }

  push(code: Code): void {
    code.get(this.local);
  }

  set(value: Value): void {
    value.push(this.#code);
    this.#code.set(this.local);
  }
}

function laneType(name: LaneOp): ValType {
  if (name.includes('replace')) return V128;
  if (name.startsWith('f32')) return F32;
  if (name.startsWith('f64')) return F64;
  return name.startsWith('i64') ? I64 : I32;
}
