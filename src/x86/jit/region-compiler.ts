import { Code, type Label } from '../../wasm/code.ts';
import { I32, I64, V128 } from '../../wasm/opcodes.ts';
import { LEAVES, type Leave } from '../interp/profile.ts';
import { PROFILE, R, RECORD_BYTES } from '../interp/record.ts';
import { ENGINE, JUMP_HASH, JUMP_SHIFT, JUMP_TABLE, S, TLB_TABLE, TLB_VIEW } from '../state/layout.ts';
import { type FlagRecipe, FLAGS, type FlagSource } from './flag-state.ts';
import { groupAccesses } from './address-groups.ts';
import { buildControlGraph, type ControlGraph } from './control-graph.ts';
import { type FlagLiveness, flagLiveness, type Live } from './flag-liveness.ts';
import { JitEmitter, type JitRuntime, type StateLocals } from './jit-emitter.ts';
import { lower } from './lower.ts';
import type { Region, RegionBlock, RegionNode } from './region-block.ts';

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
  /** (number of the function, linear base page): whether its pages are mapped as they were when it was compiled. Called. */
  readonly verify: number;
}

/** A region's function and the records through which it is entered, in the order of their numbers. */
export interface CompiledRegion {
  readonly code: Code;
  readonly entries: readonly { readonly record: number; readonly delta: number }[];
}

/** What a region is compiled for. */
export interface RegionPlace {
  /** Address of the TLB tables in use. */
  readonly tlb: number;
  /** The function's place in the table. */
  readonly slot: number;
  /** Number of the function among all. */
  readonly number: number;
  /** Address of its guard: see ENGINE.guards. */
  readonly guard: number;
  readonly profiled: boolean;
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
  readonly #profiled: boolean;
  readonly #region: Region;
  /** Blocks lie in several pages. */
  readonly #spans: boolean;
  readonly #guard: number;
  readonly #number: number;
  /** Where a return or a computed jump goes. */
  readonly #target: number;
  /** Distance of the page where control leaves from the base page. */
  readonly #away: number;
  readonly #slot: number;
  readonly #isUser: boolean;
  #bailFlags: Label | undefined;
  #bail: Label | undefined;
  /** Ways to tell flags from registers, by what they are. */
  readonly #recipes = new Map<string, { readonly number: number; readonly recipe: FlagRecipe }>();
  /** The instruction being emitted. */
  #record = 0;
  #count = 0;
  #delta = 0;

  constructor(region: Region, exits: RegionExits, place: RegionPlace) {
    this.#profiled = place.profiled;
    this.#region = region;
    const blocks = region.nodes.map((node) => node.block);
    this.#blocks = blocks;
    this.#exits = exits;
    this.#tlb = place.tlb;
    this.#guard = place.guard;
    this.#number = place.number;
    this.#spans = region.nodes.some((node) => node.delta !== 0);
    this.#slot = place.slot;
    this.#isUser = place.tlb === ENGINE.tlb + TLB_VIEW.user * 2 * TLB_TABLE;
    const successors = region.nodes.map((node) => this.#successorsOf(node));
    this.#graph = buildControlGraph(successors, region.entries);
    // Where the budget is checked control may leave as well, and where a return goes elsewhere than to its call.
    const stops = region.nodes.map((node, i) => this.#guesses(node) || successors[i]!.some((to) => this.#isChecked(i, to)));
    const leaves = region.nodes.map((node) => !this.#guesses(node) && leavesRegion(node));
    this.#liveness = flagLiveness(blocks, successors, leaves, stops);
    [this.#used, this.#written] = totals(blocks);
    this.#dirtyIn = this.#dirtySets(successors);
    const code = this.#code;
    this.#entry = code.local(I32);
    this.#pc = code.local(I32);
    this.#target = code.local(I64);
    this.#away = code.local(I64);
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
    this.#emitter = new JitEmitter(code, exits, this.#locals, { bail: () => this.#bailOut(), again: () => this.#again() }, place.tlb);
    this.#emitter.fastFloat = !place.precise;
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
    if (this.#spans) code.i32(0).get(this.#locals.page).get(this.#away).op('i64_add').store('i64_store', S.page);
    if (this.#region.nodes.some((node) => this.#guesses(node))) {
      code.get(this.#pc).op('i32_eqz').if();
      code.get(this.#target).returnCall(this.#exits.jumpIndirect).end();
    }
    code.get(this.#pc).returnCall(this.#exits.resume);
    return { code, entries: entries.map((node) => ({ record: this.#blocks[node]!.layout.record, delta: this.#region.nodes[node]!.delta })) };
  }

  // --- Analysis -----------------------------------------------------------------------------------------------------

  #successorsOf(node: RegionNode): number[] {
    const next = [node.taken, node.notTaken, ...node.returns];
    return [...new Set(next.filter((to) => to >= 0))];
  }

  #jumpsInside({ block: { end }, delta }: RegionNode): boolean {
    return end.kind === 'indirect' && end.how === 'jump' && end.isNear && this.#region.targets.length > 0 && delta === this.#region.targetDelta;
  }

  /** Leaves the region only when it goes elsewhere than expected. */
  #guesses(node: RegionNode): boolean {
    return node.returns.length > 0 || this.#jumpsInside(node);
  }

  /** What differs from memory at the start of each block. */
  #dirtySets(successors: readonly (readonly number[])[]): Dirty[] {
    const result = this.#blocks.map(() => ({ gpr: 0, xmm: 0, flags: false }));
    const changes = this.#blocks.map((block) => totals([block])[1]);
    for (let changed = true; changed; ) {
      changed = false;
      this.#blocks.forEach((_, i) => {
        const targets = this.#jumpsInside(this.#region.nodes[i]!) ? this.#graph.entries : successors[i]!;
        for (const target of targets) changed = join(result[target]!, result[i]!, changes[i]!) || changed;
      });
    }
    return result;
  }

  // --- Frame --------------------------------------------------------------------------------------------------------

  #prologue(): void {
    const code = this.#code;
    code.i32(0).load('i32_load', S.tlb).i32(this.#tlb).op('i32_ne').if(false);
    this.#tally('other address space');
    code.get(RECORD).i32(RECORD_BYTES).op('i32_add').returnCall(this.#exits.dispatch).end();
    this.#tally('entered');
    code.get(RECORD).load('i32_load16_u', PROFILE.entry).set(this.#entry);
    code.i32(0).load('i64_load', S.page);
    if (this.#spans) code.get(RECORD).load('i64_load32_s', PROFILE.delta).op('i64_sub');
    code.set(this.#locals.page);
    if (this.#spans) this.#checkPages();
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

  /** The other pages must be mapped as when this was compiled: they were, the last time, and nothing has changed since. */
  #checkPages(): void {
    const code = this.#code;
    code
      .i32(0)
      .load('i32_load', S.codeEpoch + (this.#isUser ? 4 : 0))
      .i32(0)
      .load('i32_load', this.#guard)
      .op('i32_ne');
    code
      .get(this.#locals.page)
      .i32(0)
      .load('i64_load', this.#guard + 8)
      .op('i64_ne')
      .op('i32_or')
      .if(false);
    code.i32(this.#number).get(this.#locals.page).call(this.#exits.verify).op('i32_eqz').if(false);
    this.#tally('other address space');
    code.get(RECORD).i32(RECORD_BYTES).op('i32_add').returnCall(this.#exits.dispatch).end().end();
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

  /** For profiles. */
  #tally(cause: Leave): void {
    if (!this.#profiled) return;
    const at = S.counters + LEAVES.indexOf(cause) * 4;
    this.#code.i32(0).i32(0).load('i32_load', at).i32(1).op('i32_add').store('i32_store', at);
  }

  #bailOut(): void {
    this.#tally('memory access that misses or faults');
    this.#leaveInstruction(0);
  }

  /** Cold: the interpreter does the instruction at hand (stop = 0), or starts there later (1). */
  #leaveInstruction(stop: 0 | 1): void {
    this.#leaveTo(this.#record + stop, this.#delta);
  }

  #leaveTo(pc: number, delta: number): void {
    if (delta !== 0) this.#code.i64(BigInt(delta)).set(this.#away);
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
    this.#loops.set(this.#graph.dispatch, this.#graph.dispatches || this.#region.targets.length > 0 ? code.loop() : code.block());
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
    this.#tally('budget');
    this.#leaveTo(this.#blocks[to]!.layout.record + 1, this.#region.nodes[to]!.delta);
    this.#code.end();
  }

  // --- Blocks -------------------------------------------------------------------------------------------------------

  #emitBlock(index: number): void {
    const block = this.#blocks[index]!;
    this.#delta = this.#region.nodes[index]!.delta;
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
    const node = this.#region.nodes[index]!;
    const { end, layout } = node.block;
    const terminator = this.#emitter.effects.terminator;
    if (end.kind === 'leave') {
      this.#tally('instruction that is not compiled');
      this.#flushState(dirty);
      this.#storePage(node.delta);
      this.#code.i32(layout.instructions[end.at]!.record).returnCall(this.#exits.dispatch);
      return;
    }
    this.#charge(layout.instructions.length);
    if (end.kind === 'jump') this.#edge(index, node.taken, end.target, 'followTaken', dirty);
    else if (end.kind === 'branch' && terminator?.kind === 'branch') {
      terminator.condition.push(this.#code);
      this.#code.if();
      const restore = this.#emitter.saveState();
      this.#edge(index, node.taken, end.taken, 'followTaken', dirty);
      this.#code.end();
      this.#emitter.releaseTemps();
      restore();
      this.#edge(index, node.notTaken, end.notTaken, 'followNotTaken', dirty);
    } else if (end.kind === 'indirect' && terminator?.kind === 'indirect') {
      terminator.target.push(this.#code);
      this.#code.set(this.#target);
      this.#tryReturns(index);
      if (this.#jumpsInside(node)) this.#tryTargets();
      this.#tally(end.how === 'jump' ? 'computed jump' : end.how === 'call' ? 'computed call' : 'return');
      if (this.#guesses(node)) {
        this.#leaveTo(0, 0);
        return;
      }
      this.#flushState(dirty);
      this.#code.get(this.#target).returnCall(this.#exits.jumpIndirect);
    }
  }

  /** Compares where a return goes with the calls that led here. */
  #tryReturns(index: number): void {
    const code = this.#code;
    for (const to of this.#region.nodes[index]!.returns) {
      code.get(this.#target);
      this.#pushLinear(this.#blocks[to]!.layout.offset);
      code.op('i64_eq').if(true);
      const restore = this.#emitter.saveState();
      this.#goTo(index, to);
      code.end();
      this.#emitter.releaseTemps();
      restore();
    }
  }

  /** Stays in the region when a computed jump goes to one of its entries: in the same page, known to the jump cache. */
  #tryTargets(): void {
    const code = this.#code;
    const cache = ENGINE.jumpCache + (this.#isUser ? JUMP_TABLE : 0);
    const known = code.local(I32);
    code.get(this.#target);
    this.#pushLinear(this.#region.targetDelta);
    code.op('i64_xor').i64(4096n).op('i64_lt_u').if(true);
    code.get(this.#target).op('i32_wrap_i64').i32(JUMP_HASH).op('i32_mul').i32(JUMP_SHIFT).op('i32_shr_u').i32(4).op('i32_shl').tee(known);
    code.load('i64_load', cache).get(this.#target).op('i64_eq').get(this.#locals.budget).i32(0).op('i32_ge_s').op('i32_and').if(true);
    code
      .get(known)
      .load('i32_load', cache + 8)
      .tee(known);
    code.load('i32_load', R.handler).i32(this.#slot).op('i32_eq');
    code.get(known).load('i32_load', PROFILE.delta).i32(this.#region.targetDelta).op('i32_eq').op('i32_and').if(true);
    const restore = this.#emitter.saveState();
    this.#bringFlags(this.#targetsLive());
    code.get(known).load('i32_load16_u', PROFILE.entry).set(this.#entry).br(this.#loops.get(this.#graph.dispatch)!);
    restore();
    code.end().end().end();
    code.free(known, I32);
  }

  /** Flags that some target needs, or whoever runs when the place turns out to be none. */
  #targetsLive(): Live {
    const read = [...this.#graph.entries].reduce((sum, target) => sum | this.#liveness.atStart[target]!.read, 0);
    if (!this.#written.flags) return { read: 0, seen: 0 };
    if (read === 0) return { read, seen: FLAGS.all };
    // One that wants canonical flags and one that wants a kind: canonical ones are of kind 0.
    this.#emitter.materialize(FLAGS.all);
    this.#code.i32(0).set(this.#locals.kind);
    return { read, seen: FLAGS.all };
  }

  /** The linear address of an offset from the base page. */
  #pushLinear(offset: number): void {
    this.#code.get(this.#locals.page);
    if (offset !== 0) this.#code.i64(BigInt(offset)).op('i64_add');
  }

  #edge(from: number, to: number, offset: number, follow: 'followTaken' | 'followNotTaken', dirty: Dirty): void {
    if (to >= 0) {
      this.#goTo(from, to);
      return;
    }
    const { block, delta } = this.#region.nodes[from]!;
    const isNear = offset >= delta && offset < delta + 4096;
    const isCall = block.end.kind === 'jump' && block.end.isCall;
    if (isNear) this.#tally(isCall ? 'call of other code of the page' : 'branch to other code of the page');
    else this.#tally(isCall ? 'call of another page' : 'branch to another page');
    this.#flushState(dirty);
    if (isNear) {
      this.#storePage(delta);
      this.#code.i32(block.layout.endRecord).returnCall(this.#exits[follow]);
    } else {
      this.#pushLinear(offset);
      this.#code.returnCall(this.#exits.jumpIndirect);
    }
  }

  #storePage(delta: number): void {
    if (!this.#spans) return;
    this.#code.i32(0);
    this.#pushLinear(delta);
    this.#code.store('i64_store', S.page);
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

/** Whether control may leave the region at the end of a block. */
function leavesRegion({ block: { end }, taken, notTaken }: RegionNode): boolean {
  return end.kind === 'branch' ? taken < 0 || notTaken < 0 : end.kind !== 'jump' || taken < 0;
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
