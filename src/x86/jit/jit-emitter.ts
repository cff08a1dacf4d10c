import type { Code } from '../../wasm/code.ts';
import { I32, I64, type LaneOp, type Op, type SimdOp, V128, type ValType } from '../../wasm/opcodes.ts';
import { type Condition, CONDITIONS, Emitter, type Operand, type Value } from '../ir/emitter.ts';
import { constant64, expression, localValue } from '../ir/value.ts';
import { S, SEG, TLB_ENTRIES, TLB_WRITE } from '../state/layout.ts';
import type { AddressGroup, Affine } from './address-groups.ts';
import { type Effects, noEffects } from './effects.ts';
import { CANONICAL, CONDITION_READS, FLAGS, type FlagRecipe, type FlagSource, type FlagState, partsOf, type Producer } from './flag-state.ts';
import { affineOf, type JitValue, knownOperation, laneOf, RegisterValue, stableLocal, widthOf } from './jit-value.ts';
import { flagKind } from './store-flags.ts';

/** Functions that compiled code calls; indices in the module being built. */
export interface JitRuntime {
  /** (address: i64, bytes) -> host offset of RAM in reach, or -1: the interpreter has to do the instruction. */
  readonly probeLoad: number;
  readonly probeStore: number;
  /** The same, for accesses that did not look into the TLB themselves: (address, bytes, table). */
  readonly findLoad: number;
  readonly findStore: number;
  /** (kind, zr, sp, cv): see store-flags.ts */
  readonly storeFlags: number;
  /** (helper id) */
  readonly helper: number;
  readonly helperIds: ReadonlyMap<string, number>;
}

/** Where a guest operand lies in the host's memory. */
interface HostAddress {
  readonly base: Value;
  readonly offset: number;
}

const PAGE_SUM: Affine = { root: 'page', offset: 0n };

interface Temp {
  readonly local: number;
  readonly type: ValType;
}

/** Locals of a compiled function that hold guest state. */
export interface StateLocals {
  readonly gpr: readonly number[];
  readonly xmm: readonly number[];
  readonly zr: number;
  readonly sp: number;
  readonly cv: number;
  /** What the three flag locals hold where that is not known: a kind of store-flags.ts. */
  readonly kind: number;
  /** Linear address of the page of the code. */
  readonly page: number;
  readonly budget: number;
}

/** What the surrounding function does for an instruction that cannot go on here. */
export interface Leaving {
  /** Gives the instruction to the interpreter; nothing of it has happened. Emitted where flags are as `flags` says. */
  bail(): void;
  /** The instruction stops and goes on later, from its own start (REP). */
  again(): void;
}

/**
 * Lowers semantics with operands that are known: registers in locals, immediates as constants, flags as expressions until
 * somebody needs them. Everything that cannot be done inline leaves the instruction to the interpreter.
 */
export class JitEmitter extends Emitter {
  readonly #runtime: JitRuntime;
  readonly #locals: StateLocals;
  readonly #leave: Leaving;
  /** Address of the TLB table in use: part of what a region is compiled for. */
  readonly #tlb: number;
  effects: Effects = noEffects();
  /** Flags after the instruction are overwritten before anybody can see them. */
  flagsDead = false;
  /** Offset of the next instruction in the page of the code. */
  nextOffset = 0;
  /** Linear base of string sources as a state offset, or -1 for none. */
  sourceSegment = -1;

  #flags: FlagState = CANONICAL;
  /** The flag locals hold what the kind local says, as long as nothing is pending. */
  #dynamic = false;
  /** Locals that the pending flags need beyond their instruction. */
  #flagTemps: Temp[] = [];
  /** How many flag states need a local: that at hand, and those that wait for the other side of a branch. */
  readonly #owners = new Map<number, number>();
  #flagReads: RegisterValue[] = [];
  #temps: Temp[] = [];
  /** Register values of this instruction and of the pending flags that still name the register's local. */
  #reads: RegisterValue[] = [];
  #flagsChanged = false;
  #branchDepth = 0;
  readonly #widths = new Uint8Array(16).fill(64);
  /** For each general register a local that holds the same, or -1. */
  readonly #copies = new Int32Array(16).fill(-1);
  #carryIn: Value | undefined;

  constructor(code: Code, runtime: JitRuntime, locals: StateLocals, leave: Leaving, tlb: number) {
    super(code);
    this.#runtime = runtime;
    this.#locals = locals;
    this.#leave = leave;
    this.#tlb = tlb;
  }

  // --- Values and locals --------------------------------------------------------------------------------------------

  override op(name: Op, ...args: Value[]): Value {
    return knownOperation(name, args);
  }

  override let(value: Value): Value {
    if (value.constant !== undefined || (value as JitValue).stable === true) return value;
    const local = this.temp(value.type);
    value.push(this.code);
    this.code.set(local);
    return stableLocal(local, value.type, widthOf(value), affineOf(value));
  }

  override zext(value: Value, bits: number): Value {
    return widthOf(value) <= bits ? value : super.zext(value, bits);
  }

  override sext(value: Value, bits: number): Value {
    return widthOf(value) < bits ? value : super.sext(value, bits);
  }

  override lane(name: LaneOp, index: number, ...args: Value[]): Value {
    const value = super.lane(name, index, ...args);
    const bits = index > 0 ? 0 : name === 'i64x2_extract_lane' ? 64 : name === 'i32x4_extract_lane' ? 32 : 0;
    return bits === 0 ? value : ({ ...value, lane: { vector: args[0]!, bits } } as JitValue);
  }

  /** What came from a vector and goes into all lanes of another does not pass through a general register. */
  override simd(name: SimdOp, ...args: Value[]): Value {
    const bits = name === 'i64x2_splat' ? 64 : name === 'i32x4_splat' ? 32 : 0;
    const lane = bits === 0 ? undefined : laneOf(args[0]!);
    if (lane?.bits !== bits) return super.simd(name, ...args);
    const bytes = Array.from({ length: 16 }, (_, i) => i % (bits / 8));
    return this.shuffle(bytes, lane.vector, lane.vector);
  }

  override select(condition: Value, then: Value, otherwise: Value): Value {
    if (condition.constant !== undefined) return condition.constant !== 0n ? then : otherwise;
    const value = super.select(condition, then, otherwise);
    return { type: value.type, constant: undefined, width: Math.max(widthOf(then), widthOf(otherwise)), push: value.push } as JitValue;
  }

  override temp(type: ValType): number {
    const local = this.code.local(type);
    this.#temps.push({ local, type });
    const stale = this.#copies.indexOf(local);
    if (stale >= 0) this.#copies[stale] = -1;
    return local;
  }

  // --- Addresses ----------------------------------------------------------------------------------------------------

  /** What is in the general registers, as sums. */
  readonly #sums: Affine[] = [];
  #version = 0;
  #writtenInBranch = 0;
  #groups = new Map<string, AddressGroup>();
  /** Groups that were looked up: a local with the host offset of their lowest byte, or 0. */
  readonly #found = new Map<string, { group: AddressGroup; local: number }>();

  /** Starts a block as far as addresses go: what of it shares look-ups. */
  beginAddresses(groups: Map<string, AddressGroup>): void {
    for (const { local } of this.#found.values()) this.code.free(local, I32);
    this.#found.clear();
    this.#groups = groups;
    this.#version = 0;
    for (let i = 0; i < 16; i++) this.#renew(i);
  }

  /** A register has a value that is like nothing known. */
  #renew(index: number): void {
    this.#sums[index] = { root: `${index}.${this.#version++}`, offset: 0n };
  }

  #renewWritten(): void {
    for (let i = 0; i < 16; i++) if (this.#writtenInBranch & (1 << i)) this.#renew(i);
  }

  /** Ends an instruction. What the pending flags are computed from stays. */
  override releaseTemps(): void {
    if (this.#flagsChanged) {
      this.#flagTemps.push(...this.#temps);
      this.#own(this.#temps);
      this.#flagReads.push(...this.#reads);
    } else for (const { local, type } of this.#temps) this.code.free(local, type);
    this.#temps = [];
    this.#reads = [];
    this.#flagsChanged = false;
    this.#carryIn = undefined;
  }

  #own(temps: readonly Temp[]): void {
    for (const { local } of temps) this.#owners.set(local, (this.#owners.get(local) ?? 0) + 1);
  }

  #disown(temps: readonly Temp[]): void {
    for (const { local, type } of temps) {
      const left = this.#owners.get(local)! - 1;
      this.#owners.set(local, left);
      if (left === 0) this.code.free(local, type);
    }
  }

  /** Starts a block that several ways lead to: nothing is known of registers, and flags are canonical or as their kind says. */
  beginBlock(dynamic = false): void {
    this.releaseTemps();
    this.#forgetRegisters();
    this.#setState(CANONICAL, false);
    this.#flagsChanged = false;
    this.#dynamic = dynamic;
  }

  #forgetRegisters(): void {
    this.#widths.fill(64);
    this.#copies.fill(-1);
  }

  /** What is known at a branch, to be restored once for its other side. */
  saveState(): () => void {
    const [flags, temps, reads, dynamic] = [this.#flags, [...this.#flagTemps], [...this.#flagReads], this.#dynamic];
    const locals = reads.map(({ local }) => local);
    const [widths, copies] = [this.#widths.slice(), this.#copies.slice()];
    this.#own(temps);
    return () => {
      this.#disown(this.#flagTemps);
      this.#dynamic = dynamic;
      this.#flags = flags;
      this.#flagTemps = temps;
      this.#flagReads = reads;
      // On the side that was emitted a register may have been written, and what was read of it moved.
      reads.forEach((read, i) => {
        read.local = locals[i]!;
      });
      this.#widths.set(widths);
      this.#copies.set(copies);
    };
  }

  protected override enterBranch(): void {
    this.#branchDepth++;
    this.#forgetRegisters();
  }

  protected override switchBranch(): void {
    this.#renewWritten();
    this.#forgetRegisters();
  }

  protected override leaveBranch(): void {
    this.#branchDepth--;
    this.#renewWritten();
    if (this.#branchDepth === 0) this.#writtenInBranch = 0;
    this.#forgetRegisters();
  }

  override doWhile(body: () => Value): void {
    this.#settleRegisters();
    super.doWhile(body);
  }

  // --- Registers ----------------------------------------------------------------------------------------------------

  /** Values that name a register's local get their own copy: the register is about to change. */
  #keepReads(local: number, type: ValType): void {
    if (this.#flagReads.some((read) => read.local === local)) {
      const copy = { local: this.code.local(type), type };
      this.#flagTemps.push(copy);
      this.#own([copy]);
      this.#moveReads(this.#flagReads, local, copy.local);
    }
    if (this.#reads.some((read) => read.local === local)) this.#moveReads(this.#reads, local, this.temp(type));
  }

  #moveReads(reads: RegisterValue[], local: number, copy: number): void {
    this.code.get(local).set(copy);
    for (const read of reads) if (read.local === local) read.local = copy;
  }

  /** Before a fork of control: every value must be the same on all sides. */
  #settleRegisters(): void {
    for (const local of this.#locals.gpr) this.#keepReads(local, I64);
    for (const local of this.#locals.xmm) this.#keepReads(local, V128);
  }

  override if(condition: Value, then: () => void, otherwise?: () => void, likely?: boolean): void {
    if (condition.constant === undefined) this.#settleRegisters();
    super.if(condition, then, otherwise, likely);
  }

  #readGpr(index: number): Value {
    this.effects.gprUsed |= 1 << index;
    const local = this.#locals.gpr[index]!;
    const width = this.#widths[index]!;
    return this.#read(local, I64, width, this.#sums[index]);
  }

  #read(local: number, type: ValType, width: number, sum?: Affine): Value {
    if (this.#branchDepth > 0) return this.let({ type, constant: undefined, width, push: (code) => void code.get(local) } as JitValue);
    const value = new RegisterValue(local, type, width, sum);
    this.#reads.push(value);
    return value;
  }

  #writeGpr(index: number, value: Value): void {
    this.effects.gprUsed |= 1 << index;
    this.effects.gprWritten |= 1 << index;
    const local = this.#locals.gpr[index]!;
    // The value is computed from the register as it was; only values used later need a copy, but which is not known yet.
    value.push(this.code);
    if (this.#isRead(local)) {
      const next = this.temp(I64);
      this.code.set(next);
      this.#keepReads(local, I64);
      this.code.get(next);
    }
    this.code.set(local);
    this.#widths[index] = this.#branchDepth > 0 ? 64 : widthOf(value);
    const sum = this.#branchDepth > 0 ? undefined : affineOf(value);
    if (this.#branchDepth > 0) this.#writtenInBranch |= 1 << index;
    if (sum === undefined) this.#renew(index);
    else this.#sums[index] = sum;
    this.#copies[index] = this.#branchDepth > 0 ? -1 : ((value as JitValue).local ?? -1);
  }

  #isRead(local: number): boolean {
    return this.#reads.some((read) => read.local === local) || this.#flagReads.some((read) => read.local === local);
  }

  reg(index: number, bits: number): Value {
    const whole = this.#readGpr(index);
    return this.#partOf(whole, bits, this.let(this.zext(whole, bits)));
  }

  /** Notes that a value is the low bits of a register. */
  #partOf(whole: Value, bits: number, value: Value): Value {
    if (value === whole || !(whole instanceof RegisterValue)) return value;
    return { ...(value as JitValue), part: { whole, bits } } as JitValue;
  }

  setReg(index: number, bits: number, value: Value): void {
    if (bits >= 32) this.#writeGpr(index, this.zext(value, bits));
    else this.#insert(index, bits, 0, value);
  }

  /** Writes 8 or 16 bits of a register and leaves the others. */
  #insert(index: number, bits: number, at: number, value: Value): void {
    const mask = ((1n << BigInt(bits)) - 1n) << BigInt(at);
    const rest = this.and(this.#readGpr(index), this.const(~mask));
    this.#writeGpr(index, this.or(rest, this.shl(this.zext(value, bits), this.const(at))));
  }

  xmm(index: number): Value {
    this.effects.xmmUsed |= 1 << index;
    return this.#read(this.#locals.xmm[index]!, V128, 128);
  }

  setXmm(index: number, value: Value): void {
    this.effects.xmmUsed |= 1 << index;
    this.effects.xmmWritten |= 1 << index;
    const local = this.#locals.xmm[index]!;
    value.push(this.code);
    if (this.#isRead(local)) {
      const next = this.temp(V128);
      this.code.set(next);
      this.#keepReads(local, V128);
      this.code.get(next);
    }
    this.code.set(local);
  }

  gprOperand(index: number, bits: number, high: boolean): Operand {
    const at = high ? 8 : 0;
    const read = (): Value => {
      const whole = this.#readGpr(index);
      const value = this.let(this.zext(this.shr(whole, this.const(at)), bits));
      return high ? value : this.#partOf(whole, bits, value);
    };
    const write = (value: Value): void => {
      if (bits >= 32) this.#writeGpr(index, this.zext(value, bits));
      else this.#insert(index, bits, at, value);
    };
    return this.#registerOperand('gpr', bits, S.gpr + index * 8 + (high ? 1 : 0), read, write);
  }

  xmmOperand(index: number, bits: number): Operand {
    const read = (): Value => {
      const vector = this.xmm(index);
      return bits === 128 ? vector : ({ ...this.let(this.#lowLane(vector, bits)), lane: { vector, bits } } as JitValue);
    };
    const write = (value: Value): void => this.setXmm(index, bits === 128 ? value : this.#withLowLane(this.xmm(index), bits, value));
    return this.#registerOperand('xmm', bits, S.xmm + index * 32, read, write);
  }

  #lowLane(vector: Value, bits: number): Value {
    if (bits === 64) return this.lane('i64x2_extract_lane', 0, vector);
    const lane = bits === 32 ? 'i32x4_extract_lane' : bits === 16 ? 'i16x8_extract_lane_u' : 'i8x16_extract_lane_u';
    return this.bool(this.lane(lane, 0, vector));
  }

  #withLowLane(vector: Value, bits: number, value: Value): Value {
    const known = laneOf(value);
    if (known?.bits === bits) {
      const bytes = Array.from({ length: 16 }, (_, i) => (i < bits / 8 ? 16 + i : i));
      return this.shuffle(bytes, vector, known.vector);
    }
    if (bits === 64) return this.lane('i64x2_replace_lane', 0, vector, value);
    const lane = bits === 32 ? 'i32x4_replace_lane' : bits === 16 ? 'i16x8_replace_lane' : 'i8x16_replace_lane';
    return this.lane(lane, 0, vector, this.op('i32_wrap_i64', value));
  }

  /** MMX registers stay in memory. */
  mmxOperand(index: number, bits: number): Operand {
    const offset = S.st + index * 16;
    const read = (): Value => this.let(this.#loadAt(bits, this.i32(0), offset));
    return this.#registerOperand('mmx', bits, offset, read, (value) => {
      this.#storeAt(bits, this.i32(0), offset, value);
      this.#storeAt(16, this.i32(0), offset + 8, this.const(0xffff)); // no number for x87
    });
  }

  #registerOperand(kind: 'gpr' | 'xmm' | 'mmx', bits: number, slot: number, read: () => Value, write: (value: Value) => void): Operand {
    return {
      kind,
      bits,
      read,
      write,
      identity: this.i32(slot),
      update: (change) => {
        const old = read();
        const next = this.let(change(old));
        write(next);
        return { old, next };
      },
      touch: () => {},
      effectiveAddress: () => unsupported('effective address of a register'),
      linearAddress: () => unsupported('linear address of a register'),
    };
  }

  sameRegister(a: Operand, c: Operand): Value {
    return this.i32(a.identity!.constant === c.identity!.constant ? 1 : 0);
  }

  // --- Fields -------------------------------------------------------------------------------------------------------

  field32(offset: number): Value {
    if (offset === S.budget) return this.let(localValue(this.#locals.budget, I32));
    return this.let(expression(I32, (code) => void code.i32(0).load('i32_load', offset)));
  }

  setField32(offset: number, value: Value): void {
    if (offset === S.budget) {
      value.push(this.code);
      this.code.set(this.#locals.budget);
      return;
    }
    this.code.i32(0);
    value.push(this.code);
    this.code.store('i32_store', offset);
  }

  field64(offset: number): Value {
    return this.let(this.#loadAt(64, this.i32(0), offset));
  }

  setField64(offset: number, value: Value): void {
    this.#storeAt(64, this.i32(0), offset, value);
  }

  otherFlags(): Value {
    return this.field32(S.flags);
  }

  setOtherFlags(value: Value): void {
    this.setField32(S.flags, this.let(value));
  }

  // --- Flags --------------------------------------------------------------------------------------------------------

  /** Flags that instructions set from here on replace the pending ones. */
  #setState(state: FlagState, keepsOld: boolean): void {
    if (!keepsOld) {
      this.#disown(this.#flagTemps);
      this.#flagTemps = [];
      this.#flagReads = [];
    }
    this.#flags = state;
    this.#dynamic = false;
    this.#flagsChanged = true;
  }

  #writes(flags: number): boolean {
    if (this.#branchDepth > 0) this.effects.flagsMaybe = true;
    else this.effects.flagsWritten |= flags;
    if (this.flagsDead && this.#branchDepth === 0) this.#setState(CANONICAL, false);
    return !this.flagsDead;
  }

  #set(flags: number, state: FlagState): void {
    if (!this.#writes(flags)) return;
    if (this.#branchDepth === 0) {
      this.#setState(state, false);
      return;
    }
    this.#store(state, partsOf(FLAGS.all));
  }

  /** Marks flags as read, unless this instruction has set them itself. */
  #noteRead(flags: number): void {
    this.effects.flagsRead |= flags & ~this.effects.flagsWritten;
  }

  override flagsAdd(bits: number, a: Value, c: Value, r: Value, carry?: Value): void {
    const cv = (): Value => this.alignCarries(this.or(this.and(a, c), this.and(this.or(a, c), this.not(r))), bits);
    this.#setComputed(carry === undefined ? { kind: 'add', bits, a, c, r } : undefined, bits, r, cv);
  }

  override flagsSub(bits: number, a: Value, c: Value, r: Value, carry?: Value): void {
    const cv = (): Value => this.alignCarries(this.or(this.and(this.not(a), c), this.and(this.or(this.not(a), c), r)), bits);
    this.#setComputed(carry === undefined ? { kind: 'sub', bits, a, c, r } : undefined, bits, r, cv);
  }

  override flagsCompare(bits: number, a: Value, c: Value): void {
    const r = this.zext(this.sub(a, c), bits);
    const cv = (): Value => this.alignCarries(this.or(this.and(this.not(a), c), this.and(this.or(this.not(a), c), r)), bits);
    this.#setComputed({ kind: 'sub', bits, a, c, r, compares: true }, bits, r, cv);
  }

  override flagsLogic(bits: number, r: Value): void {
    this.#setComputed({ kind: 'logic', bits, r }, bits, r, () => this.const(0));
  }

  override flagsResult(bits: number, r: Value, cf: Value, of: Value): void {
    this.#setComputed({ kind: 'result', bits, r, cf, of }, bits, r, () => this.carryVector(cf, of));
  }

  #setComputed(producer: Producer | undefined, bits: number, r: Value, cv: () => Value): void {
    const result = (): Value => this.sext(r, bits);
    this.#set(FLAGS.all, { producer, zr: () => r, sp: result, cv });
  }

  setFlags(result: Value, carries: Value): void {
    this.setFlagsSplit(result, result, carries);
  }

  setFlagsSplit(zr: Value, sp: Value, cv: Value): void {
    this.#set(FLAGS.all, { zr: () => zr, sp: () => sp, cv: () => cv });
  }

  /** The carry vector as it is now. */
  #carries(): Value {
    return this.#flags.cv?.() ?? localValue(this.#locals.cv, I64);
  }

  setCarryOverflow(cf: Value, of: Value): void {
    if (!this.#writes(FLAGS.CF | FLAGS.OF)) return;
    const fresh = (): Value => this.carryVector(cf, of);
    const cv = this.let(this.or(this.and(this.#carries(), this.const(8)), fresh()));
    this.#replaceCarries(cv, undefined);
  }

  setCF(cf: Value): void {
    // INC and DEC put back the CF that they found: then nobody has read it, and nobody has written it.
    const passes = cf === this.#carryIn;
    if (passes) {
      this.effects.flagsRead &= ~this.#carryWasRead;
      if (this.#branchDepth === 0) this.effects.flagsWritten &= ~FLAGS.CF;
    }
    if (this.#branchDepth > 0) this.effects.flagsMaybe = true;
    else if (!passes) this.effects.flagsWritten |= FLAGS.CF;
    if (this.flagsDead) {
      if (this.#branchDepth === 0) this.#setState(CANONICAL, false);
      return;
    }
    if (this.#branchDepth === 0 && this.#flags.cv !== undefined && this.#flags.producer !== undefined) {
      const state = this.#flags;
      const cv = (): Value => this.#mergeCarry(this.let(state.cv!()), cf);
      this.#setState({ ...state, carry: cf, cv }, true);
      return;
    }
    this.#replaceCarries(this.let(this.#mergeCarry(this.let(this.#carries()), cf)), cf);
  }

  #carryWasRead = 0;

  #mergeCarry(old: Value, cf: Value): Value {
    return this.or(this.and(old, this.const(8)), this.carryVector(cf, this.#overflowOf(old)));
  }

  #replaceCarries(cv: Value, carry: Value | undefined): void {
    if (this.#branchDepth > 0) {
      cv.push(this.code);
      this.code.set(this.#locals.cv);
      return;
    }
    this.#setState({ ...this.#flags, producer: undefined, carry, cv: () => cv }, true);
  }

  setZF(zf: Value): void {
    if (!this.#writes(FLAGS.ZF)) return;
    const zr = this.let(this.bool(this.op('i32_eqz', zf)));
    if (this.#branchDepth > 0) {
      zr.push(this.code);
      this.code.set(this.#locals.zr);
      return;
    }
    this.#setState({ ...this.#flags, producer: undefined, zr: () => zr }, true);
  }

  /** Brings the parts that `flags` needs into their locals. */
  materialize(flags: number): void {
    const state = this.#flags;
    const parts = partsOf(flags);
    this.#store(state, parts);
    this.#flags = {
      producer: state.producer,
      carry: state.carry,
      zr: parts.zr ? undefined : state.zr,
      sp: parts.sp ? undefined : state.sp,
      cv: parts.cv ? undefined : state.cv,
    };
  }

  #store(state: FlagState, parts: { zr: boolean; sp: boolean; cv: boolean }): void {
    const { zr, sp, cv } = this.#locals;
    const values: [number, Value][] = [];
    if (parts.zr && state.zr !== undefined) values.push([zr, state.zr()]);
    if (parts.sp && state.sp !== undefined) values.push([sp, state.sp()]);
    if (parts.cv && state.cv !== undefined) values.push([cv, state.cv()]);
    for (const [, value] of values) value.push(this.code);
    for (const [local] of values.reverse()) this.code.set(local);
  }

  /** All flags in their locals, and nothing else known: for instructions that set flags on some paths only. */
  canonicalize(): void {
    this.materialize(FLAGS.all);
    this.#setState(CANONICAL, false);
    this.#flagsChanged = false;
  }

  /** Brings the flags into two or three locals as cheaply as possible, and says in the kind local how. */
  deferFlags(): void {
    const deferred = this.#deferred();
    if (deferred === undefined) {
      if (!this.flagsPending && this.#dynamic) return;
      this.materialize(FLAGS.all);
      this.code.i32(0).set(this.#locals.kind);
      return;
    }
    const { zr, cv, kind } = this.#locals;
    const [first, second] = deferred.values;
    first.push(this.code);
    second?.push(this.code);
    if (second !== undefined) this.code.set(cv);
    this.code.set(zr).i32(deferred.kind).set(kind);
  }

  /** The pending flags as a kind and one or two values, if they have that form. */
  #deferred(): { kind: number; values: readonly [Value, Value?] } | undefined {
    const { producer: p, carry, zr, sp, cv } = this.#flags;
    if (p === undefined || zr === undefined || sp === undefined || cv === undefined) return undefined;
    if (carry !== undefined) {
      if (p.c?.constant !== 1n || (p.kind !== 'sub' && p.kind !== 'add')) return undefined;
      return { kind: flagKind(p.kind === 'sub' ? 'dec' : 'inc', p.bits), values: [p.r, this.bool(carry)] };
    }
    if (p.kind === 'logic') return { kind: flagKind('logic', p.bits), values: [p.r] };
    if (p.kind === 'result')
      return { kind: flagKind('result', p.bits), values: [p.r, this.bool(this.op('i32_or', p.cf!, this.op('i32_shl', p.of!, this.i32(1))))] };
    // Of operands and result two are enough: those that live on anyway.
    if (p.compares === true) return { kind: flagKind('cmp', p.bits), values: [p.a!, p.c!] };
    return { kind: flagKind(p.kind, p.bits), values: [p.r, p.c!] };
  }

  /** The pending flags as a function of registers as they are now, if they are one. */
  flagRecipe(): FlagRecipe | undefined {
    const deferred = this.#deferred();
    if (deferred === undefined) return undefined;
    const [first, second = this.const(0)] = deferred.values;
    const x = this.#source(first);
    const y = this.#source(second);
    return x === undefined || y === undefined ? undefined : { kind: deferred.kind, x, y };
  }

  #source(value: Value): FlagSource | undefined {
    if (value.constant !== undefined) return { register: -1, bits: 64, constant: value.constant };
    const { local, part } = value as JitValue;
    const whole = value instanceof RegisterValue ? value.local : part?.whole.local;
    const register = whole === undefined ? -1 : this.#locals.gpr.indexOf(whole);
    if (register >= 0) return { register, bits: part?.bits ?? 64, constant: 0n };
    const copy = local === undefined ? -1 : this.#copies.indexOf(local);
    return copy < 0 ? undefined : { register: copy, bits: 64, constant: 0n };
  }

  /** Whether flags wait to be computed. */
  get flagsPending(): boolean {
    return this.#flags.zr !== undefined || this.#flags.sp !== undefined || this.#flags.cv !== undefined;
  }

  /** Whether the flag locals hold what the kind local says. */
  get flagsDeferred(): boolean {
    return this.#dynamic && !this.flagsPending;
  }

  /** Writes the three parts of the flags to the CPU state. */
  spillFlags(): void {
    const { zr, sp } = this.#locals;
    this.setField64(S.zr, this.#flags.zr?.() ?? localValue(zr, I64));
    this.setField64(S.sp, this.#flags.sp?.() ?? localValue(sp, I64));
    const carries = this.#carries();
    this.setField64(S.cv, carries);
  }

  flag(name: 'CF' | 'PF' | 'AF' | 'ZF' | 'SF' | 'OF'): Value {
    const before = this.effects.flagsRead;
    this.#noteRead(FLAGS[name]);
    const value = this.#copy(this.#flag(name));
    if (name === 'CF') {
      this.#carryIn = value;
      this.#carryWasRead = this.effects.flagsRead & ~before;
    }
    return value;
  }

  /** A value of this instruction's own: what pending flags are made of goes when new flags are set. */
  #copy(value: Value): Value {
    if (value.constant !== undefined) return value;
    const local = this.temp(value.type);
    value.push(this.code);
    this.code.set(local);
    return stableLocal(local, value.type, widthOf(value));
  }

  #flag(name: string): Value {
    const { producer, carry } = this.#flags;
    const zr = (): Value => this.#flags.zr?.() ?? localValue(this.#locals.zr, I64);
    const sp = (): Value => this.#flags.sp?.() ?? localValue(this.#locals.sp, I64);
    switch (name) {
      case 'CF':
        return carry ?? (producer === undefined ? undefined : this.#producerCarry(producer)) ?? this.ltS(this.#carries(), this.const(0));
      case 'OF': {
        if (producer?.kind === 'logic') return this.i32(0);
        if (producer?.kind === 'result') return producer.of!;
        return this.#overflowOf(this.let(this.#carries()));
      }
      case 'AF':
        return this.op('i32_wrap_i64', this.and(this.shr(this.#carries(), this.const(3)), this.const(1)));
      case 'ZF':
        return producer === undefined ? this.isZero(zr()) : this.#equal(producer);
      case 'SF':
        return producer === undefined ? this.ltS(sp(), this.const(0)) : this.#negative(producer);
      default: {
        const bits = this.op('i64_popcnt', this.and(sp(), this.const(0xff)));
        return this.op('i32_eqz', this.op('i32_wrap_i64', this.and(bits, this.const(1))));
      }
    }
  }

  #overflowOf(cv: Value): Value {
    return this.ltS(this.xor(cv, this.shl(cv, this.const(1))), this.const(0));
  }

  #producerCarry(p: Producer): Value | undefined {
    if (p.kind === 'sub') return this.ltU(p.a!, p.c!);
    if (p.kind === 'add') return this.ltU(p.r, p.a!);
    return p.kind === 'logic' ? this.i32(0) : p.cf;
  }

  #equal(p: Producer): Value {
    return p.kind === 'sub' && p.c!.constant !== 0n ? this.eq(p.a!, p.c!) : this.isZero(p.r);
  }

  /** The operands of a signed comparison in the cheapest type. */
  #signed(op: 'lt_s' | 'le_s', bits: number, a: Value, c: Value): Value {
    if (bits === 32) return this.op(`i32_${op}`, this.op('i32_wrap_i64', a), this.op('i32_wrap_i64', c));
    return this.op(`i64_${op}`, this.sext(a, bits), this.sext(c, bits));
  }

  #negative(p: Producer): Value {
    return this.#signed('lt_s', p.bits, p.r, this.const(0));
  }

  condition(condition: Condition): Value {
    const code = CONDITIONS.indexOf(condition);
    this.#noteRead(CONDITION_READS[code >> 1]!);
    const canonical = this.#flags.producer === undefined;
    const value = this.#condition(code & ~1);
    const result = code & 1 ? this.op('i32_eqz', value) : value;
    return canonical ? this.let(result) : result;
  }

  #condition(code: number): Value {
    const p = this.#flags.carry === undefined ? this.#flags.producer : undefined;
    const whole = this.#flags.producer; // valid for everything but CF
    switch (code) {
      case 0:
        return this.#flag('OF');
      case 2:
        return this.#flag('CF');
      case 4:
        return this.#flag('ZF');
      case 6: {
        if (p?.kind === 'sub') return this.op('i64_le_u', p.a!, p.c!);
        if (p?.kind === 'logic') return this.#flag('ZF');
        return this.op('i32_or', this.#flag('CF'), this.#flag('ZF'));
      }
      case 8:
        return this.#flag('SF');
      case 10:
        return this.#flag('PF');
      case 12: {
        if (whole?.kind === 'sub') return this.#signed('lt_s', whole.bits, whole.a!, whole.c!);
        return whole?.kind === 'logic' ? this.#negative(whole) : this.#less();
      }
      default: {
        if (whole?.kind === 'sub') return this.#signed('le_s', whole.bits, whole.a!, whole.c!);
        if (whole?.kind === 'logic') return this.#signed('le_s', whole.bits, whole.r, this.const(0));
        return this.op('i32_or', this.#less(), this.#flag('ZF'));
      }
    }
  }

  #less(): Value {
    const cv = this.let(this.#carries());
    const sp = this.#flags.sp?.() ?? localValue(this.#locals.sp, I64);
    return this.ltS(this.xor(sp, this.xor(cv, this.shl(cv, this.const(1)))), this.const(0));
  }

  // --- Memory -------------------------------------------------------------------------------------------------------

  memoryOperand(bits: number, address: { effective: () => Value; linear: (effective: Value) => Value }, delta?: Value): Operand {
    let known: Value | undefined;
    const linear = (): Value => {
      if (known !== undefined) return known;
      const start = address.linear(address.effective());
      known = this.let(delta === undefined ? start : this.add(start, delta));
      return known;
    };
    let host: HostAddress | undefined;
    const touch = (): HostAddress => {
      host ??= this.#translate(linear(), bits, true);
      return host;
    };
    return {
      kind: 'memory',
      bits,
      read: () => (host === undefined ? this.load(bits, linear()) : this.let(this.#loadAt(bits, host.base, host.offset))),
      write: (value) => {
        if (host === undefined) this.store(bits, linear(), value);
        else this.#storeAt(bits, host.base, host.offset, value);
      },
      update: (change) => {
        const at = touch();
        const old = this.let(this.#loadAt(bits, at.base, at.offset));
        const next = this.let(change(old));
        this.#storeAt(bits, at.base, at.offset, next);
        return { old, next };
      },
      touch: () => void touch(),
      effectiveAddress: () => address.effective(),
      linearAddress: linear,
      at: (by) => this.memoryOperand(bits, address, by),
    };
  }

  load(bits: number, linear: Value): Value {
    const { base, offset } = this.#translate(this.let(linear), bits, false);
    return this.let(this.#loadAt(bits, base, offset));
  }

  store(bits: number, linear: Value, value: Value): void {
    const kept = this.let(value);
    const { base, offset } = this.#translate(this.let(linear), bits, true);
    this.#storeAt(bits, base, offset, kept);
  }

  #loadAt(bits: number, address: Value, offset: number): Value {
    if (bits === 128) {
      return expression(V128, (code) => {
        address.push(code);
        code.simdMemory('v128_load', offset);
      });
    }
    const name = LOADS[bits as keyof typeof LOADS];
    const push = (code: Code): void => {
      address.push(code);
      code.load(name, offset);
    };
    return { type: I64, constant: undefined, width: bits, push } as JitValue;
  }

  #storeAt(bits: number, address: Value, offset: number, value: Value): void {
    address.push(this.code);
    value.push(this.code);
    if (bits === 128) this.code.simdMemory('v128_store', offset);
    else this.code.store(STORES[bits as keyof typeof STORES], offset);
  }

  /** Where an operand lies, after the TLB or a probe; leaves the instruction to the interpreter when that is nowhere. */
  #translate(linear: Value, bits: number, write: boolean): HostAddress {
    this.effects.bails = true;
    const bytes = bits / 8;
    const sum = this.#branchDepth > 0 ? undefined : affineOf(linear);
    if (sum === undefined) return { base: this.#translateAlone(linear, bytes, write), offset: 0 };
    this.effects.accesses.push({ ...sum, bytes, write });
    const group = this.#groups.get(sum.root);
    const end = sum.offset + BigInt(bytes);
    if (group === undefined || sum.offset < group.low || end > group.high || (write && !group.write))
      return { base: this.#translateAlone(linear, bytes, write), offset: 0 };
    const offset = Number(sum.offset - group.low);
    const found = this.#found.get(sum.root);
    return {
      base:
        found === undefined
          ? this.#translateGroup(linear, bytes, write, { ...sum, group })
          : this.#translateFound(linear, bytes, write, { offset, local: found.local }),
      offset,
    };
  }

  #translateAlone(linear: Value, bytes: number, write: boolean): Value {
    const { code } = this;
    const { entry, miss } = this.#lookUp(linear, bytes, write);
    const host = this.temp(I32);
    miss.push(code);
    code.if(false);
    this.#probe(linear, bytes, write ? this.#runtime.probeStore : this.#runtime.probeLoad, host);
    code.else();
    linear.push(code);
    code
      .op('i32_wrap_i64')
      .get(entry)
      .load('i32_load', this.#table(write) + 8)
      .op('i32_add')
      .set(host);
    code.end();
    return stableLocal(host, I32, 32);
  }

  /** The slow way: a call of (address, bytes) that gives a host offset or -1. */
  #probe(linear: Value, bytes: number, fn: number, host: number): void {
    const { code } = this;
    linear.push(code);
    code.i32(bytes);
    if (fn === this.#runtime.findLoad || fn === this.#runtime.findStore) code.i32(this.#table(fn === this.#runtime.findStore));
    code.call(fn).tee(host);
    code.i32(-1).op('i32_eq').if(false);
    this.#leave.bail();
    code.end();
  }

  /** The first access of a group looks all of it up. @returns the host offset of the group's lowest byte, were it in the same page */
  #translateGroup(linear: Value, bytes: number, write: boolean, { root, offset, group }: Affine & { group: AddressGroup }): Value {
    const { code } = this;
    const delta = offset - group.low;
    const lowest = this.let(this.sub(linear, this.const(delta)));
    const { entry, miss } = this.#lookUp(lowest, Number(group.high - group.low), group.write);
    const host = this.temp(I32);
    const local = code.local(I32);
    this.#found.set(root, { group, local });
    miss.push(code);
    code.if(false);
    // Not all of it lies in a page that is known: this access alone, and so will be the others.
    this.#probe(linear, bytes, write ? this.#runtime.findStore : this.#runtime.findLoad, host);
    code.get(host).i32(Number(delta)).op('i32_sub').set(host).i32(0).set(local);
    code.else();
    lowest.push(code);
    code
      .op('i32_wrap_i64')
      .get(entry)
      .load('i32_load', this.#table(group.write) + 8)
      .op('i32_add')
      .tee(host)
      .set(local);
    code.end();
    return stableLocal(host, I32, 32);
  }

  /** An access of a group that was looked up before. */
  #translateFound(linear: Value, bytes: number, write: boolean, { offset, local }: { offset: number; local: number }): Value {
    const { code } = this;
    const host = this.temp(I32);
    code.get(local).tee(host).op('i32_eqz').if(false);
    this.#probe(linear, bytes, write ? this.#runtime.findStore : this.#runtime.findLoad, host);
    code.get(host).i32(offset).op('i32_sub').set(host);
    code.end();
    return stableLocal(host, I32, 32);
  }

  #table(write: boolean): number {
    return this.#tlb + (write ? TLB_WRITE : 0);
  }

  /** The tag is compared with the page of the last byte, so that a miss also covers accesses that cross a page. */
  #lookUp(linear: Value, bytes: number, write: boolean): { entry: number; miss: Value } {
    const { code } = this;
    const entry = this.temp(I32);
    linear.push(code);
    code
      .i64(8n)
      .op('i64_shr_u')
      .op('i32_wrap_i64')
      .i32((TLB_ENTRIES - 1) << 4)
      .op('i32_and')
      .set(entry);
    const miss = expression(I32, () => {
      code.get(entry).load('i64_load', this.#table(write));
      linear.push(code);
      if (bytes > 1) code.i64(BigInt(bytes - 1)).op('i64_add');
      code.i64(-4096n).op('i64_and').op('i64_ne');
    });
    return { entry, miss };
  }

  linear(segment: number, offset: Value): Value {
    return segment < SEG.FS ? offset : this.add(offset, this.field64(S.segBase + segment * 8));
  }

  sourceSegmentBase(): Value {
    return this.sourceSegment < 0 ? this.const(0) : this.field64(this.sourceSegment);
  }

  hostOffset(address: Value, write: boolean): Value {
    const linear = this.let(address);
    const { entry, miss } = this.#lookUp(linear, 1, write);
    const host = expression(I32, (code) => {
      linear.push(code);
      code
        .op('i32_wrap_i64')
        .get(entry)
        .load('i32_load', this.#table(write) + 8)
        .op('i32_add');
    });
    return this.let(this.select(miss, this.i32(0), host));
  }

  // --- Control ------------------------------------------------------------------------------------------------------

  /** Exceptions are the interpreter's: it does the instruction again. */
  raise(_vector: number, _errorCode?: number): void {
    this.effects.bails = true;
    this.#leave.bail();
  }

  /** The uncommon case of a system instruction. */
  slowPath(): void {
    this.effects.bails = true;
    this.#leave.bail();
  }

  branch(condition: Value): void {
    this.effects.terminator = { kind: 'branch', condition };
  }

  jumpRelative(): void {
    this.effects.terminator = { kind: 'jump' };
  }

  jumpIndirect(target: Value, how: 'jump' | 'call' | 'return'): void {
    this.effects.terminator = { kind: 'indirect', target: this.let(target), how };
  }

  nextRip(): Value {
    return this.pageRelative(this.nextOffset);
  }

  /** Linear address of an offset from the page of the code. */
  pageRelative(offset: number): Value {
    return this.add(stableLocal(this.#locals.page, I64, 64, PAGE_SUM), constant64(BigInt(offset)));
  }

  again(): void {
    this.effects.bails = true;
    this.effects.repeats = true;
    this.#leave.again();
  }

  callHelper(name: string): void {
    const id = this.#runtime.helperIds.get(name);
    if (id === undefined) throw new Error(`Cannot call helper ${name}: not registered`);
    this.code.i32(id).call(this.#runtime.helper);
  }
}

function unsupported(what: string): never {
  throw new Error(`Cannot lower an instruction: ${what}`);
}

const LOADS = { 8: 'i64_load8_u', 16: 'i64_load16_u', 32: 'i64_load32_u', 64: 'i64_load' } as const;
const STORES = { 8: 'i64_store8', 16: 'i64_store16', 32: 'i64_store32', 64: 'i64_store' } as const;
