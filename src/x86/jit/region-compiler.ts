import { Code, type Label } from '../../wasm/code.ts';
import { I32, I64, V128 } from '../../wasm/opcodes.ts';
import { PROFILE, R, RECORD_BYTES } from '../interp/record.ts';
import { ENGINE, JUMP_HASH, JUMP_SHIFT, JUMP_TABLE, S, TLB_TABLE, TLB_VIEW } from '../state/layout.ts';
import { type FlagRecipe, FLAGS, type FlagSource } from './flag-state.ts';
import { groupAccesses } from './address-groups.ts';
import { buildControlGraph, type ControlGraph } from './control-graph.ts';
import { type FlagLiveness, flagLiveness, type Live } from './flag-liveness.ts';
import { JitEmitter, type JitRuntime, type StateLocals } from './jit-emitter.ts';
import { lower } from './lower.ts';
import type { BlockEnd, RegionBlock } from './region-block.ts';

/** Functions of the interpreter that a region leaves to; indices in the module being built. All are tail-called. */
export interface RegionExits extends JitRuntime {
  /** (record): its handler. */
  readonly dispatch: number;
  /** (record, or record + 1 to stop there because the budget is used up) */
  readonly resume: number;
  /** (record of a relative branch): goes on at its target, or behind it. */
  readonly followTaken: number;
  readonly followNotTaken: number;
  /** (linear RIP) */
  readonly jumpIndirect: number;
}

/** A region's function and the records through which it is entered, in the order of their numbers. */
export interface CompiledRegion {
  readonly code: Code;
  readonly entries: readonly number[];
}

/** What a region is compiled for. */
export interface RegionOptions {
  /** Address of the TLB table. */
  readonly tlb: number;
  /** Every flag of MXCSR is raised. */
  readonly precise: boolean;
}

/** Kinds of flags from here up are the recipes of the region. */
const RECIPES = 64;

const RECORD = 0; // the only parameter

/** Sets of guest registers, and whether flags. */
interface Dirty {
  gpr: number;
  xmm: number;
  flags: boolean;
}

/**
 * Compiles blocks of one page to one function: guest registers in locals, branches between the blocks as branches of
 * WebAssembly, everything else as a tail call back into the interpreter's way of finding code.
 */
export class RegionCompiler {
  readonly #code = new Code(1);
  readonly #blocks: readonly RegionBlock[];
  readonly #exits: RegionExits;
  readonly #graph: ControlGraph;
  readonly #liveness: FlagLiveness;
  readonly #index = new Map<number, number>();
  readonly #locals: StateLocals;
  readonly #emitter: JitEmitter;
  readonly #entry: number;
  readonly #pc: number;
  readonly #used: Dirty;
  readonly #written: Dirty;
  readonly #dirtyIn: Dirty[];
  readonly #loops = new Map<number, Label>();
  readonly #ends = new Map<number, Label>();
  readonly #tlb: number;
  /** Some block jumps to an address that may be an entry of this region. */
  readonly #indirect: boolean;
  /** Handler of the region's entries: this function's place in the table. */
  readonly #self: number;
  readonly #target: number;
  #bailFlags: Label | undefined;
  #bail: Label | undefined;
  /** Ways to tell flags from registers, by what they are. */
  readonly #recipes = new Map<string, { readonly number: number; readonly recipe: FlagRecipe }>();
  /** The instruction being emitted. */
  #record = 0;
  #count = 0;

  /** @param wanted indices of blocks that are entered from outside */
  constructor(blocks: readonly RegionBlock[], wanted: readonly number[], exits: RegionExits, { tlb, precise }: RegionOptions) {
    this.#blocks = blocks;
    this.#exits = exits;
    this.#tlb = tlb;
    blocks.forEach((block, i) => void this.#index.set(block.layout.offset, i));
    const successors = blocks.map((block) => this.#successorsOf(block.end));
    this.#graph = buildControlGraph(successors, wanted);
    // Where the budget is checked control may leave as well.
    const stops = blocks.map((_, i) => successors[i]!.some((to) => this.#isChecked(i, to)));
    const leaves = blocks.map((block) => this.#leaves(block.end));
    this.#liveness = flagLiveness(blocks, successors, leaves, stops);
    [this.#used, this.#written] = totals(blocks);
    this.#indirect = blocks.some((block) => block.end.kind === 'indirect' && block.end.isNear);
    this.#dirtyIn = this.#dirtySets(successors);
    const code = this.#code;
    this.#entry = code.local(I32);
    this.#pc = code.local(I32);
    this.#self = code.local(I32);
    this.#target = code.local(I64);
    this.#locals = {
      gpr: REGISTERS.map((i) => (this.#used.gpr & (1 << i) ? code.local(I64) : -1 - i)),
      xmm: REGISTERS.map((i) => (this.#used.xmm & (1 << i) ? code.local(V128) : -1 - i)),
      zr: code.local(I64),
      sp: code.local(I64),
      cv: code.local(I64),
      kind: code.local(I32),
      page: code.local(I64),
      budget: code.local(I32),
    };
    this.#emitter = new JitEmitter(code, exits, this.#locals, { bail: () => this.#leaveInstruction(0), again: () => this.#again() }, tlb);
    this.#emitter.fastFloat = !precise;
  }

  compile(): CompiledRegion {
    const code = this.#code;
    const entries = [...this.#graph.entries].filter((block) => this.#graph.order[block]! >= 0);
    this.#prologue();
    this.#bail = code.block();
    this.#bailFlags = code.block();
    this.#emitDispatch(entries);
    code.end();
    if (this.#written.flags) this.#storeDeferredFlags();
    code.end();
    this.#spill(this.#written);
    code.get(this.#pc).returnCall(this.#exits.resume);
    return { code, entries: entries.map((block) => this.#blocks[block]!.layout.record) };
  }

  // --- Analysis -----------------------------------------------------------------------------------------------------

  #blockAt(offset: number): number | undefined {
    return this.#index.get(offset);
  }

  #successorsOf(end: BlockEnd): number[] {
    const targets = end.kind === 'branch' ? [end.taken, end.notTaken] : end.kind === 'jump' ? [end.target] : [];
    return [...new Set(targets.map((target) => this.#blockAt(target)).filter((block) => block !== undefined))];
  }

  #leaves(end: BlockEnd): boolean {
    if (end.kind === 'branch') return this.#blockAt(end.taken) === undefined || this.#blockAt(end.notTaken) === undefined;
    return end.kind !== 'jump' || this.#blockAt(end.target) === undefined;
  }

  /** What differs from memory at the start of each block. */
  #dirtySets(successors: readonly (readonly number[])[]): Dirty[] {
    const result = this.#blocks.map(() => ({ gpr: 0, xmm: 0, flags: false }));
    const changes = this.#blocks.map((block) => totals([block])[1]);
    for (let changed = true; changed; ) {
      changed = false;
      this.#blocks.forEach((_, i) => {
        const { end } = this.#blocks[i]!;
        const targets = end.kind === 'indirect' && end.isNear ? this.#graph.entries : successors[i]!;
        for (const target of targets) changed = join(result[target]!, result[i]!, changes[i]!) || changed;
      });
    }
    return result;
  }

  // --- Frame --------------------------------------------------------------------------------------------------------

  #prologue(): void {
    const code = this.#code;
    code.i32(0).load('i32_load', S.tlb).i32(this.#tlb).op('i32_ne').if(false);
    code.get(RECORD).i32(RECORD_BYTES).op('i32_add').returnCall(this.#exits.dispatch).end();
    code.get(RECORD).load('i32_load16_u', PROFILE.entry).set(this.#entry);
    if (this.#indirect) code.get(RECORD).load('i32_load', R.handler).set(this.#self);
    code.i32(0).load('i64_load', S.page).set(this.#locals.page);
    code.i32(0).load('i32_load', S.budget).set(this.#locals.budget);
    for (const i of REGISTERS)
      if (this.#used.gpr & (1 << i))
        code
          .i32(0)
          .load('i64_load', S.gpr + i * 8)
          .set(this.#locals.gpr[i]!);
    for (const i of REGISTERS)
      if (this.#used.xmm & (1 << i))
        code
          .i32(0)
          .simdMemory('v128_load', S.xmm + i * 32)
          .set(this.#locals.xmm[i]!);
    if (!this.#used.flags) return;
    code.i32(0).load('i64_load', S.zr).set(this.#locals.zr);
    code.i32(0).load('i64_load', S.sp).set(this.#locals.sp);
    code.i32(0).load('i64_load', S.cv).set(this.#locals.cv);
  }

  /** Writes registers and the budget back. */
  #spill(dirty: Dirty): void {
    const code = this.#code;
    for (const i of REGISTERS)
      if (dirty.gpr & (1 << i))
        code
          .i32(0)
          .get(this.#locals.gpr[i]!)
          .store('i64_store', S.gpr + i * 8);
    for (const i of REGISTERS)
      if (dirty.xmm & (1 << i))
        code
          .i32(0)
          .get(this.#locals.xmm[i]!)
          .simdMemory('v128_store', S.xmm + i * 32);
    code.i32(0).get(this.#locals.budget).store('i32_store', S.budget);
  }

  #storeFlagLocals(): void {
    const { zr, sp, cv } = this.#locals;
    this.#code.i32(0).get(zr).store('i64_store', S.zr).i32(0).get(sp).store('i64_store', S.sp).i32(0).get(cv).store('i64_store', S.cv);
  }

  /** Cold: the interpreter does the instruction at hand (stop = 0), or starts there later (1). */
  #leaveInstruction(stop: 0 | 1): void {
    this.#leaveTo(this.#record + stop);
  }

  #leaveTo(pc: number): void {
    const restore = this.#emitter.saveState();
    if (this.#written.flags) this.#emitter.deferFlags();
    restore();
    this.#code
      .i32(pc)
      .set(this.#pc)
      .br(this.#written.flags ? this.#bailFlags! : this.#bail!);
  }

  #again(): void {
    this.#charge(this.#count);
    this.#leaveInstruction(1);
  }

  #charge(count: number): void {
    this.#code.get(this.#locals.budget).i32(count).op('i32_sub').set(this.#locals.budget);
  }

  // --- Structure ----------------------------------------------------------------------------------------------------

  #emitDispatch(entries: readonly number[]): void {
    const code = this.#code;
    this.#loops.set(this.#graph.dispatch, this.#graph.dispatches || this.#indirect ? code.loop() : code.block());
    this.#emitBelow(this.#graph.dispatch, () => {
      const labels = entries.map((block) => this.#ends.get(block)!);
      if (labels.length === 1) code.br(labels[0]!);
      else code.get(this.#entry).brTable(labels.slice(0, -1), labels[labels.length - 1]!);
    });
    code.end();
    code.op('unreachable');
  }

  /** Emits a node whose dominated merge points follow it, each behind the end of a block. */
  #emitBelow(node: number, body: () => void): void {
    const { order, merges, children } = this.#graph;
    const below = children[node]!.filter((child) => merges.has(child)).sort((a, b) => order[b]! - order[a]!);
    for (const child of below) this.#ends.set(child, this.#code.block());
    body();
    for (const child of below.reverse()) {
      this.#code.end();
      this.#emitNode(child);
    }
  }

  #emitNode(node: number): void {
    const isLoop = this.#graph.loopHeaders.has(node);
    if (isLoop) this.#loops.set(node, this.#code.loop());
    this.#emitBelow(node, () => this.#emitBlock(node));
    if (isLoop) this.#code.end().op('unreachable');
  }

  /** Goes to a block of the region; emits it in place when this is the only way to it. */
  #goTo(from: number, to: number): void {
    const { order, merges, loopHeaders, dispatch } = this.#graph;
    const back = order[to]! <= order[from]!;
    const via = this.#graph.viaDispatch(from, to);
    if (this.#isChecked(from, to)) this.#checkBudget(to);
    if (!via && !(back && loopHeaders.has(to)) && !merges.has(to)) {
      this.#emitNode(to); // the only way to it
      return;
    }
    this.#bringFlags(this.#liveness.atStart[to]!, to);
    if (via) this.#code.i32(this.#entryNumber(to)).set(this.#entry).br(this.#loops.get(dispatch)!);
    else if (back && loopHeaders.has(to)) this.#code.br(this.#loops.get(to)!);
    else this.#code.br(this.#ends.get(to)!);
  }

  /** Flags in the form in which a block (or some entry) expects them. */
  #bringFlags({ read, seen }: Live, to?: number): void {
    if (read !== 0) this.#emitter.materialize(read | seen);
    else if (seen !== 0 && (to === undefined || !this.#rememberFlags(to))) this.#emitter.deferFlags();
  }

  /** Flags that a block can leave with before it sets its own are told from registers, if it keeps those until then. */
  #rememberFlags(to: number): boolean {
    const recipe = this.#emitter.flagRecipe();
    if (recipe === undefined) return false;
    let used = 0;
    for (const { register } of [recipe.x, recipe.y]) if (register >= 0) used |= 1 << register;
    for (const effects of this.#blocks[to]!.effects) {
      if (effects.flagsWritten === FLAGS.all) {
        this.#code.i32(this.#recipeNumber(recipe)).set(this.#locals.kind);
        return true;
      }
      if ((effects.gprWritten & used) !== 0) return false;
    }
    return false;
  }

  #recipeNumber(recipe: FlagRecipe): number {
    const key = [recipe.kind, ...[recipe.x, recipe.y].flatMap(({ register, bits, constant }) => [register, bits, constant])].join();
    let known = this.#recipes.get(key);
    if (known === undefined) {
      known = { number: RECIPES + this.#recipes.size, recipe };
      this.#recipes.set(key, known);
    }
    return known.number;
  }

  /** Cold: the flags as the kind local says, to the CPU state. */
  #storeDeferredFlags(): void {
    const code = this.#code;
    const { kind, zr, sp, cv } = this.#locals;
    for (const { number, recipe } of this.#recipes.values()) {
      code.get(kind).i32(number).op('i32_eq').if();
      for (const [local, source] of [
        [zr, recipe.x],
        [cv, recipe.y],
      ] as const) {
        this.#pushSource(source);
        code.set(local);
      }
      code.i32(recipe.kind).set(kind).end();
    }
    code.get(kind).get(zr).get(sp).get(cv).call(this.#exits.storeFlags);
  }

  #pushSource({ register, bits, constant }: FlagSource): void {
    if (register < 0) {
      this.#code.i64(BigInt.asIntN(64, constant));
      return;
    }
    this.#code.get(this.#locals.gpr[register]!);
    if (bits < 64) this.#code.i64((1n << BigInt(bits)) - 1n).op('i64_and');
  }

  /** Whether an edge may close a cycle. */
  #isChecked(from: number, to: number): boolean {
    return this.#graph.order[to]! <= this.#graph.order[from]! || this.#graph.viaDispatch(from, to);
  }

  #entryNumber(block: number): number {
    return [...this.#graph.entries].filter((entry) => this.#graph.order[entry]! >= 0).indexOf(block);
  }

  #checkBudget(to: number): void {
    this.#code.get(this.#locals.budget).i32(0).op('i32_lt_s').if(false);
    this.#leaveTo(this.#blocks[to]!.layout.record + 1);
    this.#code.end();
  }

  // --- Blocks -------------------------------------------------------------------------------------------------------

  #emitBlock(index: number): void {
    const block = this.#blocks[index]!;
    const emitter = this.#emitter;
    const dirty = { ...this.#dirtyIn[index]! };
    const live = this.#liveness.atStart[index]!;
    emitter.beginAddresses(groupAccesses(block.effects.flatMap(({ accesses }) => accesses)));
    // Where there is only one way to a block, all that was known at its end is still so.
    if (this.#isMetByMany(index)) emitter.beginBlock(live.read === 0 && live.seen !== 0);
    else emitter.releaseTemps();
    block.effects.forEach((effects, k) => {
      const instruction = block.layout.instructions[k]!;
      this.#record = instruction.record;
      this.#count = k + 1;
      emitter.effects = { ...effects, flagsRead: 0, flagsWritten: 0, terminator: undefined, accesses: [] };
      emitter.flagsDead = !this.#liveness.after[index]![k]!;
      if (effects.flagsMaybe && !emitter.flagsDead) emitter.canonicalize();
      lower(emitter, instruction);
      add(dirty, effects);
      if (k < block.effects.length - 1 || block.layout.open || block.end.kind === 'leave') emitter.releaseTemps();
    });
    this.#emitEnd(index, dirty);
  }

  #isMetByMany(block: number): boolean {
    return this.#graph.merges.has(block) || this.#graph.loopHeaders.has(block);
  }

  #emitEnd(index: number, dirty: Dirty): void {
    const { end, layout } = this.#blocks[index]!;
    const terminator = this.#emitter.effects.terminator;
    if (end.kind === 'leave') {
      this.#flushState(dirty);
      this.#code.i32(layout.instructions[end.at]!.record).returnCall(this.#exits.dispatch);
      return;
    }
    this.#charge(layout.instructions.length);
    if (end.kind === 'jump') this.#edge(index, end.target, 'followTaken', dirty);
    else if (end.kind === 'branch' && terminator?.kind === 'branch') {
      terminator.condition.push(this.#code);
      this.#code.if();
      const restore = this.#emitter.saveState();
      this.#edge(index, end.taken, 'followTaken', dirty);
      this.#code.end();
      this.#emitter.releaseTemps();
      restore();
      this.#edge(index, end.notTaken, 'followNotTaken', dirty);
    } else if (end.kind === 'indirect' && terminator?.kind === 'indirect') {
      terminator.target.push(this.#code);
      this.#code.set(this.#target);
      if (end.isNear) this.#tryEntries();
      this.#flushState(dirty);
      this.#code.get(this.#target).returnCall(this.#exits.jumpIndirect);
    }
  }

  /** Stays in the region when the target is one of its entries: same linear page, known to the jump cache, same function. */
  #tryEntries(): void {
    const code = this.#code;
    const cache = ENGINE.jumpCache + (this.#tlb === ENGINE.tlb + TLB_VIEW.user * 2 * TLB_TABLE ? JUMP_TABLE : 0);
    const known = code.local(I32);
    code.get(this.#target).i64(-4096n).op('i64_and').get(this.#locals.page).op('i64_eq').if();
    code.get(this.#target).op('i32_wrap_i64').i32(JUMP_HASH).op('i32_mul').i32(JUMP_SHIFT).op('i32_shr_u').i32(4).op('i32_shl').tee(known);
    code.load('i64_load', cache).get(this.#target).op('i64_eq').get(this.#locals.budget).i32(0).op('i32_ge_s').op('i32_and').if();
    code
      .get(known)
      .load('i32_load', cache + 8)
      .tee(known)
      .load('i32_load', R.handler)
      .get(this.#self)
      .op('i32_eq')
      .if();
    const restore = this.#emitter.saveState();
    this.#bringFlags(this.#entriesLive());
    code.get(known).load('i32_load16_u', PROFILE.entry).set(this.#entry).br(this.#loops.get(this.#graph.dispatch)!);
    restore();
    code.end().end().end();
    code.free(known, I32);
  }

  /** Flags that some entry needs. */
  #entriesLive(): Live {
    let [read, seen] = [0, 0];
    for (const entry of this.#graph.entries) {
      const live = this.#liveness.atStart[entry]!;
      read |= live.read;
      seen |= live.seen;
    }
    // One that wants canonical flags and one that wants a kind: canonical ones are of kind 0.
    if (read !== 0) {
      this.#emitter.materialize(FLAGS.all);
      this.#code.i32(0).set(this.#locals.kind);
    }
    return { read, seen };
  }

  #edge(from: number, offset: number, follow: 'followTaken' | 'followNotTaken', dirty: Dirty): void {
    const to = this.#blockAt(offset);
    if (to !== undefined) {
      this.#goTo(from, to);
      return;
    }
    this.#flushState(dirty);
    this.#code.i32(this.#blocks[from]!.layout.endRecord).returnCall(this.#exits[follow]);
  }

  /** Before control leaves the region for good. */
  #flushState(dirty: Dirty): void {
    const { kind, zr, sp, cv } = this.#locals;
    if (this.#emitter.flagsPending) this.#emitter.spillFlags();
    else if (dirty.flags && this.#emitter.flagsDeferred) this.#code.get(kind).get(zr).get(sp).get(cv).call(this.#exits.storeFlags);
    else if (dirty.flags) this.#storeFlagLocals();
    this.#spill(dirty);
  }
}

const REGISTERS = Array.from({ length: 16 }, (_, i) => i);

function add(dirty: Dirty, effects: { gprWritten: number; xmmWritten: number; flagsWritten: number; flagsMaybe: boolean }): void {
  dirty.gpr |= effects.gprWritten;
  dirty.xmm |= effects.xmmWritten;
  dirty.flags ||= effects.flagsWritten !== 0 || effects.flagsMaybe;
}

/** What some blocks use and write. */
function totals(blocks: readonly RegionBlock[]): [used: Dirty, written: Dirty] {
  const used = { gpr: 0, xmm: 0, flags: false };
  const written = { gpr: 0, xmm: 0, flags: false };
  for (const { effects } of blocks) {
    for (const one of effects) {
      used.gpr |= one.gprUsed;
      used.xmm |= one.xmmUsed;
      used.flags ||= one.flagsRead !== 0 || one.flagsWritten !== 0 || one.flagsMaybe;
      add(written, one);
    }
  }
  return [used, written];
}

/** target := target | a | b; whether it changed. */
function join(target: Dirty, a: Dirty, b: Dirty): boolean {
  const before = [target.gpr, target.xmm, target.flags];
  target.gpr |= a.gpr | b.gpr;
  target.xmm |= a.xmm | b.xmm;
  target.flags ||= a.flags || b.flags;
  return before[0] !== target.gpr || before[1] !== target.xmm || before[2] !== target.flags;
}
