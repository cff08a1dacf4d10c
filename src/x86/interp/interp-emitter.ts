import type { Code, Label } from '../../wasm/code.ts';
import { I32, I64, V128 } from '../../wasm/opcodes.ts';
import { type Condition, CONDITIONS, Emitter, type Operand, type Value } from '../ir/emitter.ts';
import { expression, localValue } from '../ir/value.ts';
import { ENGINE_BYTES, S, SEG, TLB_ENTRIES, TLB_WRITE } from '../state/layout.ts';
import { SLOW_UPDATE } from '../mmu/access.ts';
import { EXIT, R, RECORD_BYTES } from './record.ts';

/** Functions that handlers call; indices in the module being built. */
export interface Runtime {
  /** (bytes) -> host offset or -1; S.slowVa is the address. */
  readonly slowLoad: number;
  readonly slowStore: number;
  readonly commitStore: number;
  /** (record) -> 0 or an exit plus one: the instruction in TypeScript. */
  readonly system: number;
  /** (rip: i64) -> exit; tail-called. */
  readonly jumpLinear: number;
  /** (helper id): TypeScript helpers by name. */
  readonly helper: number;
  readonly helperIds: ReadonlyMap<string, number>;
  /** Type (i32) -> i32 of handlers. */
  readonly handlerType: number;
}

/** How the effective address of a handler's memory operand is formed: base + displacement, or all parts. */
export type AddressForm = 'simple' | 'full';

/** The function that handlers are part of when they are many in one: where its parts begin, inside which they are emitted. */
export interface HandlerLoop {
  /** Runs the record at PC. */
  readonly again: Label;
  /** Goes on at the linear RIP in the local. */
  readonly jump: Label;
  readonly target: number;
}

const PC = 0; // the only parameter: address of the record

/**
 * Lowers semantics with operands as fields of the record: one function per instruction form, size and kind of operands.
 */
export class InterpEmitter extends Emitter {
  readonly #runtime: Runtime;
  addressForm: AddressForm = 'full';
  /** The form has a relative branch target: then the next instruction's offset is in the displacement, else in the immediate. */
  relative = false;
  /** Undefined for a handler that is a function of its own. */
  loop: HandlerLoop | undefined;

  constructor(code: Code, runtime: Runtime) {
    super(code);
    this.#runtime = runtime;
  }

  /** Ends the handler: on to the next record. */
  next(): void {
    const { code, loop } = this;
    code.get(PC).i32(RECORD_BYTES).op('i32_add');
    if (loop !== undefined) code.set(PC).br(loop.again);
    else
      code
        .get(PC)
        .load('i32_load', RECORD_BYTES + R.handler)
        .returnCallIndirect(this.#runtime.handlerType);
  }

  // --- Operands -----------------------------------------------------------------------------------------------------

  /** Address (i32) of the state slot that a record field names. */
  #slot(field: number): Value {
    return expression(I32, (code) => void code.get(PC).load('i32_load16_u', field));
  }

  gprOperand(field: number, bits: number): Operand {
    return this.registerOperand('gpr', bits, () => this.#slot(field), 0);
  }

  /** A register at a known state offset. */
  fixedGpr(index: number, bits: number): Operand {
    return this.registerOperand('gpr', bits, () => this.i32(0), S.gpr + index * 8);
  }

  vectorOperand(kind: 'xmm' | 'mmx', field: number, bits: number): Operand {
    return this.registerOperand(kind, bits, () => this.#slot(field), 0);
  }

  registerOperand(kind: 'gpr' | 'xmm' | 'mmx', bits: number, slot: () => Value, offset: number): Operand {
    const operand: Operand = {
      kind,
      bits,
      identity: this.op('i32_add', slot(), this.i32(offset)),
      read: () => this.let(this.#loadAt(bits, slot(), offset)),
      write: (value) => this.#storeRegister(kind, bits, slot(), offset, value),
      update: (change) => {
        const old = operand.read();
        const next = this.let(change(old));
        operand.write(next);
        return { old, next };
      },
      touch: () => {},
      effectiveAddress: () => unsupported('effective address of a register'),
      linearAddress: () => unsupported('linear address of a register'),
    };
    return operand;
  }

  immediateOperand(field: 'immediate' | 'displacement', bits: number): Operand {
    const read = () =>
      field === 'immediate'
        ? expression(I64, (code) => void code.get(PC).load('i64_load', R.immediate))
        : expression(I64, (code) => void code.get(PC).load('i64_load32_u', R.displacement));
    return constantOperand(bits, read);
  }

  memoryOperand(bits: number, delta?: Value): Operand {
    let linear: Value | undefined;
    const address = (): Value => {
      const start = this.#effectiveAddress(true);
      linear ??= this.let(delta === undefined ? start : this.add(start, delta));
      return linear;
    };
    let host: Value | undefined; // of an address checked for writing
    const touch = (): Value => {
      host ??= this.#translate(address(), bits, true, SLOW_UPDATE);
      return host;
    };
    const operand: Operand = {
      kind: 'memory',
      bits,
      read: () => (host !== undefined ? this.let(this.#loadAt(bits, host, 0)) : this.load(bits, address())),
      write: (value) => {
        if (host === undefined) this.store(bits, address(), value);
        else this.#storeChecked(bits, host, value);
      },
      update: (change) => this.#updateMemory(bits, touch(), change),
      touch: () => void touch(),
      effectiveAddress: () => this.#effectiveAddress(false),
      linearAddress: () => address(),
      at: (by) => this.memoryOperand(bits, by),
    };
    return operand;
  }

  #effectiveAddress(withSegment: boolean): Value {
    return expression(I64, (code) => {
      code.get(PC).load('i32_load16_u', R.base).load('i64_load', 0);
      code.get(PC).load('i64_load32_s', R.displacement).op('i64_add');
      if (this.addressForm === 'simple') return;
      code.get(PC).load('i32_load16_u', R.index).load('i64_load', 0);
      code.get(PC).load('i64_load8_u', R.scale).op('i64_shl').op('i64_add');
      if (withSegment) code.get(PC).load('i32_load16_u', R.seg).load('i64_load', 0).op('i64_add');
    });
  }

  #loadAt(bits: number, address: Value, offset: number): Value {
    if (bits === 128) {
      return expression(V128, (code) => {
        address.push(code);
        code.simdMemory('v128_load', offset);
      });
    }
    const name = LOADS[bits as keyof typeof LOADS];
    return expression(I64, (code) => {
      address.push(code);
      code.load(name, offset);
    });
  }

  #storeAt(bits: number, address: Value, offset: number, value: Value): void {
    address.push(this.code);
    value.push(this.code);
    if (bits === 128) this.code.simdMemory('v128_store', offset);
    else this.code.store(STORES[bits as keyof typeof STORES], offset);
  }

  /** 32-bit general registers clear their upper half; MMX registers get the exponent that makes them no number for x87. */
  #storeRegister(kind: 'gpr' | 'xmm' | 'mmx', bits: number, slot: Value, offset: number, value: Value): void {
    const wide = kind === 'gpr' && bits === 32;
    this.#storeAt(wide ? 64 : bits, slot, offset, wide ? this.zext(value, 32) : value);
    if (kind === 'mmx') this.#storeAt(16, slot, offset + 8, this.const(0xffff));
  }

  // --- Fixed registers and fields -----------------------------------------------------------------------------------

  reg(index: number, bits: number): Value {
    return this.let(this.#loadAt(bits, this.i32(0), S.gpr + index * 8));
  }

  setReg(index: number, bits: number, value: Value): void {
    this.#storeRegister('gpr', bits, this.i32(0), S.gpr + index * 8, value);
  }

  xmm(index: number): Value {
    return this.let(this.#loadAt(128, this.i32(0), S.xmm + index * 32));
  }

  setXmm(index: number, value: Value): void {
    this.#storeAt(128, this.i32(0), S.xmm + index * 32, value);
  }

  field32(offset: number): Value {
    return this.let(expression(I32, (code) => void code.i32(0).load('i32_load', offset)));
  }

  setField32(offset: number, value: Value): void {
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

  // --- Flags --------------------------------------------------------------------------------------------------------

  setFlags(result: Value, carries: Value): void {
    const once = this.let(result);
    this.setFlagsSplit(once, once, carries);
  }

  setFlagsSplit(zr: Value, sp: Value, cv: Value): void {
    const carries = this.let(cv);
    this.setField64(S.zr, zr);
    this.setField64(S.sp, sp);
    this.setField64(S.cv, carries);
  }

  setCarryOverflow(cf: Value, of: Value): void {
    const af = this.and(this.field64(S.cv), this.const(8));
    this.setField64(S.cv, this.let(this.or(af, this.carryVector(cf, of))));
  }

  setCF(cf: Value): void {
    const keep = this.flag('OF');
    this.setCarryOverflow(this.let(cf), keep);
  }

  /** SF and PF live in `sp`, so ZF alone is the one field. */
  setZF(zf: Value): void {
    this.setField64(S.zr, this.bool(this.op('i32_eqz', zf)));
  }

  flag(name: 'CF' | 'PF' | 'AF' | 'ZF' | 'SF' | 'OF'): Value {
    return this.let(this.#flag(name));
  }

  #flag(name: string): Value {
    const cv = () => this.#loadAt(64, this.i32(0), S.cv);
    const sp = () => this.#loadAt(64, this.i32(0), S.sp);
    switch (name) {
      case 'CF':
        return this.ltS(cv(), this.const(0));
      case 'OF':
        return this.ltS(this.xor(cv(), this.shl(cv(), this.const(1))), this.const(0));
      case 'AF':
        return this.op('i32_wrap_i64', this.and(this.shr(cv(), this.const(3)), this.const(1)));
      case 'ZF':
        return this.isZero(this.#loadAt(64, this.i32(0), S.zr));
      case 'SF':
        return this.ltS(sp(), this.const(0));
      default: {
        const bits = this.op('i64_popcnt', this.and(sp(), this.const(0xff)));
        return this.op('i32_eqz', this.op('i32_wrap_i64', this.and(bits, this.const(1))));
      }
    }
  }

  condition(condition: Condition): Value {
    return this.let(this.#condition(condition));
  }

  #condition(condition: Condition): Value {
    const code = CONDITIONS.indexOf(condition);
    if ((code & 1) === 1) return this.op('i32_eqz', this.#condition(CONDITIONS[code - 1]!));
    switch (condition) {
      case 'o':
        return this.#flag('OF');
      case 'b':
        return this.#flag('CF');
      case 'z':
        return this.#flag('ZF');
      case 'be':
        return this.op('i32_or', this.#flag('CF'), this.#flag('ZF'));
      case 's':
        return this.#flag('SF');
      case 'p':
        return this.#flag('PF');
      case 'l':
        return this.#less();
      default:
        return this.op('i32_or', this.#less(), this.#flag('ZF'));
    }
  }

  /** SF != OF. */
  #less(): Value {
    const cv = () => this.#loadAt(64, this.i32(0), S.cv);
    const mixed = this.xor(this.#loadAt(64, this.i32(0), S.sp), this.xor(cv(), this.shl(cv(), this.const(1))));
    return this.ltS(mixed, this.const(0));
  }

  sameRegister(a: Operand, c: Operand): Value {
    return this.let(this.op('i32_eq', a.identity!, c.identity!));
  }

  otherFlags(): Value {
    return this.field32(S.flags);
  }

  setOtherFlags(value: Value): void {
    this.setField32(S.flags, this.let(value));
  }

  // --- Memory -------------------------------------------------------------------------------------------------------

  load(bits: number, linear: Value): Value {
    return this.let(this.#loadAt(bits, this.#translate(this.let(linear), bits, false), 0));
  }

  store(bits: number, linear: Value, value: Value): void {
    const kept = this.let(value);
    const { host, miss } = this.#probe(this.let(linear), bits, true);
    miss.push(this.code);
    this.code.if(false);
    this.#slow(host, bits, true);
    this.#storeAt(bits, localValue(host, I32), 0, kept);
    this.#commitIfStaged(bits, localValue(host, I32));
    this.code.else();
    this.#storeAt(bits, localValue(host, I32), 0, kept);
    this.code.end();
  }

  /** Host offset of an operand, after the TLB or the slow path; leaves the handler on a fault. */
  #translate(linear: Value, bits: number, write: boolean, how = 0): Value {
    const { host, miss } = this.#probe(linear, bits, write);
    miss.push(this.code);
    this.code.if(false);
    this.#slow(host, bits, write, how);
    this.code.end();
    return localValue(host, I32);
  }

  /**
   * TLB look-up. The tag is compared with the page of the last byte, so that a miss also covers accesses that cross a page.
   * `host` is valid when `miss` is false; S.slowVa is set when it is true.
   */
  #probe(linear: Value, bits: number, write: boolean): { host: number; miss: Value } {
    const { code } = this;
    const entry = this.temp(I32);
    const host = this.temp(I32);
    linear.push(code);
    code
      .i64(8n)
      .op('i64_shr_u')
      .op('i32_wrap_i64')
      .i32((TLB_ENTRIES - 1) << 4)
      .op('i32_and');
    code.i32(0).load('i32_load', S.tlb).op('i32_add').set(entry);
    linear.push(code);
    code
      .op('i32_wrap_i64')
      .get(entry)
      .load('i32_load', (write ? TLB_WRITE : 0) + 8)
      .op('i32_add')
      .set(host);
    const miss = expression(I32, () => {
      code.get(entry).load('i64_load', write ? TLB_WRITE : 0);
      linear.push(code);
      if (bits > 8) code.i64(BigInt(bits / 8 - 1)).op('i64_add');
      code.i64(-4096n).op('i64_and').op('i64_ne');
    });
    this.#lastLinear = linear;
    return { host, miss };
  }

  #lastLinear: Value = this.const(0);

  #slow(host: number, bits: number, write: boolean, how = 0): void {
    const { code } = this;
    this.setField64(S.slowVa, this.#lastLinear);
    code.i32(0).get(PC).store('i32_store', S.pc);
    code
      .i32(bits / 8 + how)
      .call(write ? this.#runtime.slowStore : this.#runtime.slowLoad)
      .tee(host);
    code.i32(-1).op('i32_eq').if(false);
    code.i32(EXIT.fault).op('return').end();
  }

  /** A store to a host offset that `touch` gave: staged accesses are carried out after it. */
  #storeChecked(bits: number, host: Value, value: Value): void {
    this.#storeAt(bits, host, 0, value);
    this.#commitIfStaged(bits, host);
  }

  #commitIfStaged(bits: number, host: Value): void {
    host.push(this.code);
    this.code.i32(ENGINE_BYTES).op('i32_lt_u').if(false);
    this.code
      .i32(bits / 8)
      .call(this.#runtime.commitStore)
      .end();
  }

  #updateMemory(bits: number, host: Value, change: (old: Value) => Value): { old: Value; next: Value } {
    const old = this.variable(bits === 128 ? this.v128(new Array(16).fill(0)) : this.const(0));
    const next = this.variable(old);
    if (!this.lock || bits === 128) {
      old.set(this.#loadAt(bits, host, 0));
      next.set(change(old));
      this.#storeChecked(bits, host, next);
      return { old, next };
    }
    const { code } = this;
    host.push(code);
    code
      .i32(bits / 8 - 1)
      .op('i32_and')
      .op('i32_eqz')
      .if(true);
    const again = code.loop();
    old.set(this.#loadAt(bits, host, 0));
    next.set(change(old));
    host.push(code);
    old.push(code);
    this.zext(next, bits).push(code);
    code.atomic('cmpxchg', bits as 8 | 16 | 32 | 64);
    old.push(code);
    code.op('i64_ne').brIf(again, false).end();
    code.else();
    old.set(this.#loadAt(bits, host, 0));
    next.set(change(old));
    this.#storeAt(bits, host, 0, next);
    code.end();
    this.#commitIfStaged(bits, host);
    return { old, next };
  }

  linear(segment: number, offset: Value): Value {
    if (this.mode64 && segment < SEG.FS) return offset;
    const sum = this.add(offset, this.#loadAt(64, this.i32(0), S.segBase + segment * 8));
    return this.mode64 ? sum : this.zext(sum, 32);
  }

  sourceSegmentBase(): Value {
    return this.let(expression(I64, (code) => void code.get(PC).load('i32_load16_u', R.seg).load('i64_load', 0)));
  }

  hostOffset(linear: Value, write: boolean): Value {
    const { host, miss } = this.#probe(this.let(linear), 8, write);
    return this.let(this.select(miss, this.i32(0), localValue(host, I32)));
  }

  // --- Control ------------------------------------------------------------------------------------------------------

  raise(vector: number, errorCode = -1): void {
    const { code } = this;
    this.setField32(S.exitInfo, this.i32(vector));
    this.setField32(S.exitCode, this.i32(errorCode));
    code.i32(0).get(PC).store('i32_store', S.pc);
    code.i32(EXIT.raise).op('return');
  }

  branch(condition: Value): void {
    this.#charge();
    condition.push(this.code);
    this.code.if();
    this.#follow(R.taken, 'i64_load', R.immediate);
    this.code.end();
    this.#follow(R.notTaken, 'i64_load32_s', R.displacement);
  }

  jumpRelative(): void {
    this.#charge();
    this.#follow(R.taken, 'i64_load', R.immediate);
  }

  /** Goes on behind a branch that compiled code has taken, or not. */
  follow(taken: boolean): void {
    if (taken) this.#follow(R.taken, 'i64_load', R.immediate);
    else this.#follow(R.notTaken, 'i64_load32_s', R.displacement);
  }

  /** Goes on with a linked record, or looks the page-relative target up. */
  #follow(link: number, load: 'i64_load' | 'i64_load32_s', target: number): void {
    const { code } = this;
    const to = this.temp(I32);
    code.get(PC).load('i32_load', link).tee(to).i32(1).op('i32_gt_u').if(true);
    this.#enter(to);
    code.end();
    code.i32(0).get(PC).i32(link).op('i32_add').i32(0).get(to).op('i32_eqz').op('select').store('i32_store', S.link);
    code.i32(0).load('i64_load', S.page).get(PC).load(load, target).op('i64_add');
    if (!this.mode64) code.i64(0xffff_ffffn).op('i64_and');
    this.#jump();
  }

  #enter(to: number): void {
    const { code } = this;
    code.i32(0).load('i32_load', S.budget).i32(0).op('i32_lt_s').if(false);
    code.i32(0).get(to).store('i32_store', S.pc).i32(EXIT.budget).op('return').end();
    if (this.loop !== undefined) code.get(to).set(PC).br(this.loop.again);
    else code.get(to).get(to).load('i32_load', R.handler).returnCallIndirect(this.#runtime.handlerType);
  }

  /** Goes on at the linear RIP on the stack. */
  #jump(): void {
    if (this.loop !== undefined) this.code.set(this.loop.target).br(this.loop.jump);
    else this.code.returnCall(this.#runtime.jumpLinear);
  }

  jumpIndirect(target: Value, _kind: 'jump' | 'call' | 'return'): void {
    const { code } = this;
    this.#charge();
    code.i32(0).i32(0).store('i32_store', S.link);
    this.linear(SEG.CS, target).push(code);
    this.#jump();
  }

  #charge(): void {
    this.code.i32(0).i32(0).load('i32_load', S.budget).get(PC).load('i32_load8_u', R.count).op('i32_sub').store('i32_store', S.budget);
  }

  nextRip(): Value {
    const linear = this.let(
      expression(I64, (code) => {
        code.i32(0).load('i64_load', S.page).get(PC);
        if (this.relative) code.load('i64_load32_s', R.displacement);
        else code.load('i64_load', R.immediate);
        code.op('i64_add');
      }),
    );
    if (this.mode64) return linear;
    return this.zext(this.sub(linear, this.#loadAt(64, this.i32(0), S.segBase + SEG.CS * 8)), 32);
  }

  again(): void {
    const { code } = this;
    this.#charge();
    code.i32(0).get(PC).store('i32_store', S.pc).i32(EXIT.budget).op('return');
  }

  slowPath(): void {
    const { code } = this;
    const result = this.temp(I32);
    code.i32(0).get(PC).store('i32_store', S.pc);
    code.get(PC).call(this.#runtime.system).tee(result).if(false);
    code.get(result).i32(1).op('i32_sub').op('return').end();
    this.next();
  }

  callHelper(name: string): void {
    const id = this.#runtime.helperIds.get(name);
    if (id === undefined) throw new Error(`Cannot call helper ${name}: not registered`);
    this.code.i32(id).call(this.#runtime.helper);
  }
}

export function constantOperand(bits: number, read: () => Value): Operand {
  return {
    kind: 'immediate',
    bits,
    read,
    write: () => unsupported('writing an immediate'),
    update: () => unsupported('updating an immediate'),
    touch: () => {},
    effectiveAddress: () => unsupported('effective address of an immediate'),
    linearAddress: () => unsupported('linear address of an immediate'),
  };
}

function unsupported(what: string): never {
  throw new Error(`Cannot lower an instruction: ${what}`);
}

const LOADS = { 8: 'i64_load8_u', 16: 'i64_load16_u', 32: 'i64_load32_u', 64: 'i64_load' } as const;
const STORES = { 8: 'i64_store8', 16: 'i64_store16', 32: 'i64_store32', 64: 'i64_store' } as const;
