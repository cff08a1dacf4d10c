import { Code, type Label } from '../../wasm/code.ts';
import { I32, I64, V128 } from '../../wasm/opcodes.ts';
import { PROFILE, RECORD_BYTES } from '../interp/record.ts';
import { S } from '../state/layout.ts';
import { buildControlGraph, type ControlGraph } from './control-graph.ts';
import { type FlagLiveness, flagLiveness } from './flag-liveness.ts';
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
  #bailFlags: Label | undefined;
  #bail: Label | undefined;
  /** The instruction being emitted. */
  #record = 0;
  #count = 0;

  /** @param wanted indices of blocks that are entered from outside */
  constructor(blocks: readonly RegionBlock[], wanted: readonly number[], exits: RegionExits, tlb: number) {
    this.#blocks = blocks;
    this.#exits = exits;
    this.#tlb = tlb;
    blocks.forEach((block, i) => void this.#index.set(block.layout.offset, i));
    const successors = blocks.map((block) => this.#successorsOf(block.end));
    this.#graph = buildControlGraph(successors, wanted);
    // Where the budget is checked control may leave as well.
    const stops = blocks.map((_, i) => successors[i]!.some((to) => this.#isChecked(i, to)));
    this.#liveness = flagLiveness(
      blocks,
      successors,
      blocks.map((block, i) => stops[i]! || this.#leaves(block.end)),
    );
    [this.#used, this.#written] = totals(blocks);
    this.#dirtyIn = this.#dirtySets(successors);
    const code = this.#code;
    this.#entry = code.local(I32);
    this.#pc = code.local(I32);
    this.#locals = {
      gpr: bits(16).map((i) => (this.#used.gpr & (1 << i) ? code.local(I64) : -1 - i)),
      xmm: bits(16).map((i) => (this.#used.xmm & (1 << i) ? code.local(V128) : -1 - i)),
      zr: code.local(I64),
      sp: code.local(I64),
      cv: code.local(I64),
      page: code.local(I64),
      budget: code.local(I32),
    };
    this.#emitter = new JitEmitter(code, exits, this.#locals, { bail: () => this.#leaveInstruction(0), again: () => this.#again() }, tlb);
  }

  compile(): CompiledRegion {
    const code = this.#code;
    const entries = [...this.#graph.entries].filter((block) => this.#graph.order[block]! >= 0);
    this.#prologue();
    this.#bail = code.block();
    this.#bailFlags = code.block();
    this.#emitDispatch(entries);
    code.end();
    if (this.#written.flags) this.#storeFlagLocals();
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
        for (const next of successors[i]!) {
          // Through the dispatch node everything reaches every entry; only irreducible edges take it.
          const targets = this.#graph.viaDispatch(i, next) ? [...this.#graph.entries] : [next];
          for (const target of targets) changed = join(result[target]!, result[i]!, changes[i]!) || changed;
        }
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
    code.i32(0).load('i64_load', S.page).set(this.#locals.page);
    code.i32(0).load('i32_load', S.budget).set(this.#locals.budget);
    for (const i of bits(16))
      if (this.#used.gpr & (1 << i))
        code
          .i32(0)
          .load('i64_load', S.gpr + i * 8)
          .set(this.#locals.gpr[i]!);
    for (const i of bits(16))
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
    for (const i of bits(16))
      if (dirty.gpr & (1 << i))
        code
          .i32(0)
          .get(this.#locals.gpr[i]!)
          .store('i64_store', S.gpr + i * 8);
    for (const i of bits(16))
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
    const pending = this.#emitter.flagsPending;
    if (pending) this.#emitter.spillFlags();
    this.#code
      .i32(pc)
      .set(this.#pc)
      .br(pending || !this.#written.flags ? this.#bail! : this.#bailFlags!);
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
    this.#loops.set(this.#graph.dispatch, this.#graph.dispatches ? code.loop() : code.block());
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
    this.#emitter.materialize(this.#liveness.atStart[to]!);
    if (via) this.#code.i32(this.#entryNumber(to)).set(this.#entry).br(this.#loops.get(dispatch)!);
    else if (back && loopHeaders.has(to)) this.#code.br(this.#loops.get(to)!);
    else if (merges.has(to)) this.#code.br(this.#ends.get(to)!);
    else this.#emitNode(to);
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
    emitter.beginBlock();
    block.effects.forEach((effects, k) => {
      const instruction = block.layout.instructions[k]!;
      this.#record = instruction.record;
      this.#count = k + 1;
      emitter.effects = { ...effects, flagsRead: 0, flagsWritten: 0, terminator: undefined };
      emitter.flagsDead = this.#liveness.after[index]![k] === 0;
      if (effects.flagsMaybe && !emitter.flagsDead) emitter.canonicalize();
      lower(emitter, instruction);
      add(dirty, effects);
      if (k < block.effects.length - 1 || block.layout.open || block.end.kind === 'leave') emitter.releaseTemps();
    });
    this.#emitEnd(index, dirty);
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
      const restore = this.#emitter.saveFlags();
      this.#edge(index, end.taken, 'followTaken', dirty);
      this.#code.end();
      restore();
      this.#edge(index, end.notTaken, 'followNotTaken', dirty);
    } else if (end.kind === 'indirect' && terminator?.kind === 'indirect') {
      this.#flushState(dirty);
      terminator.target.push(this.#code);
      this.#code.returnCall(this.#exits.jumpIndirect);
    }
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
    if (this.#emitter.flagsPending) this.#emitter.spillFlags();
    else if (dirty.flags) this.#storeFlagLocals();
    this.#spill(dirty);
  }
}

function bits(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

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
