import { ModuleBuilder } from '../../wasm/module.ts';
import { I32, I64 } from '../../wasm/opcodes.ts';
import type { BlockCache } from '../interp/block-cache.ts';
import { HANDLER } from '../interp/generate.ts';
import { HELPER_NAMES } from '../interp/helpers.ts';
import { codeMode } from '../interp/mode.ts';
import { PROFILE, R } from '../interp/record.ts';
import { S } from '../state/layout.ts';
import { BlockAnalyser } from './analyse-block.ts';
import type { RegionBlock } from './region-block.ts';
import { type CompiledRegion, RegionCompiler, type RegionExits } from './region-compiler.ts';
import { findBody } from './find-address.ts';
import { storeFlagsBody } from './store-flags.ts';
import { groupBlocks } from './region-groups.ts';

export interface JitOptions {
  readonly memory: WebAssembly.Memory;
  /** Exports of the interpreter's instance. */
  readonly interpreter: WebAssembly.Instance['exports'];
  readonly blocks: BlockCache;
  /** Every flag of MXCSR is raised. */
  readonly precise: boolean;
  /** Compile every block when it is entered: for tests. */
  readonly immediate: boolean;
}

/** Compiled code of a page. */
interface PageCode {
  readonly page: number;
  readonly modeIndex: number;
  readonly tlb: number;
  /** Offsets of blocks that were entered often from outside. */
  readonly seeds: Set<number>;
  readonly analysed: Map<number, RegionBlock>;
  readonly slots: number[];
  /** Entry records that lead to compiled code. */
  entries: number[];
  /** When the page is compiled, if it waits for that; counted in instructions. */
  due: number;
  builds: number;
}

/** Functions that a module of compiled code imports from the interpreter, with their types. */
const IMPORTS = {
  probeLoad: [[I64, I32], [I32]],
  probeStore: [[I64, I32], [I32]],
  helper: [[I32], []],
  dispatch: [[I32], [I32]],
  resume: [[I32], [I32]],
  followTaken: [[I32], [I32]],
  followNotTaken: [[I32], [I32]],
  jumpIndirect: [[I64], [I32]],
} as const;
/** Pages that compiled code is kept of; when there are more, all is dropped and what is hot comes back. */
const PAGES_MAX = 4000;

/** Instructions from the first hot block of a page until the page is compiled. */
const GATHER = 500_000;

/**
 * Entries of a block until it is hot, by the instructions that the guest has executed. Compiling must not cost more than going
 * on without; it costs most at first, before the host has compiled the compiler, and a guest that has run for long will go on.
 */
const THRESHOLDS: readonly { readonly until: number; readonly entries: number }[] = [
  { until: 120e6, entries: 100_000 },
  { until: 250e6, entries: 20_000 },
  { until: 600e6, entries: 6000 },
  { until: Number.POSITIVE_INFINITY, entries: 2500 },
];

/** What the compiler has done so far. */
export interface JitStatistics {
  modules: number;
  regions: number;
  instructions: number;
  bytes: number;
  milliseconds: number;
}

/**
 * Decides what is compiled and keeps it. Compiled functions take the place of the first record of a block: links, jump cache
 * and invalidation work on records and know nothing of it.
 */
export class Jit {
  readonly #options: JitOptions;
  readonly #view: DataView;
  readonly #table: WebAssembly.Table;
  readonly #analyser = new BlockAnalyser(importIndices());
  readonly #pages = new Map<string, PageCode>();
  readonly #byPage = new Map<number, PageCode[]>();
  readonly #pending = new Set<PageCode>();
  readonly #free: number[] = [];
  #now = 0;
  /** Index in THRESHOLDS. */
  #stage = 0;
  #nextDue = Number.POSITIVE_INFINITY;
  readonly statistics: JitStatistics = { modules: 0, regions: 0, instructions: 0, bytes: 0, milliseconds: 0 };
  /** Milliseconds, for statistics only. */
  clock: () => number = () => 0;

  constructor(options: JitOptions) {
    this.#options = options;
    this.#view = new DataView(options.memory.buffer as ArrayBuffer);
    this.#table = options.interpreter['table'] as WebAssembly.Table;
    options.blocks.threshold = options.immediate ? 1 : THRESHOLDS[0]!.entries;
    options.blocks.onDrop = (page) => this.#dropPage(page);
  }

  /** A block was entered often enough. */
  hot(record: number): void {
    const code = this.#pageOf(record);
    code.seeds.add(this.#view.getUint16(record + R.pageOffset, true));
    if (this.#options.immediate) {
      this.#compile([code]);
      return;
    }
    if (this.#pending.has(code)) return;
    // Other blocks of the page will follow soon; the more often it was built, the longer it waits for them.
    code.due = this.#now + GATHER * 2 ** code.builds;
    this.#pending.add(code);
    this.#nextDue = Math.min(this.#nextDue, code.due);
  }

  /** So many instructions were executed. Compiles what has become hot; called while no guest code runs. */
  tick(instructions: number): void {
    this.#now += instructions;
    if (this.#now >= THRESHOLDS[this.#stage]!.until && !this.#options.immediate) this.#options.blocks.threshold = THRESHOLDS[++this.#stage]!.entries;
    if (this.#now < this.#nextDue) return;
    if (this.#pages.size > PAGES_MAX) this.dropAll();
    // What is due soon goes into the same module: each has a price of its own.
    const batch = [...this.#pending].filter((code) => code.due <= this.#now + GATHER);
    for (const code of batch) this.#pending.delete(code);
    this.#nextDue = Math.min(Number.POSITIVE_INFINITY, ...[...this.#pending].map((code) => code.due));
    this.#compile(batch);
  }

  #compile(batch: readonly PageCode[]): void {
    const started = this.clock();
    this.#build(batch);
    this.statistics.milliseconds += this.clock() - started;
  }

  /** All records are gone. */
  dropAll(): void {
    for (const code of [...this.#pages.values()]) this.#drop(code, true);
    this.#pages.clear();
    this.#byPage.clear();
    this.#pending.clear();
  }

  #pageOf(record: number): PageCode {
    const page = this.#view.getUint32(record + PROFILE.page, true);
    const modeIndex = this.#view.getUint16(record + PROFILE.mode, true);
    const tlb = this.#view.getUint32(S.tlb, true);
    const key = `${page}/${modeIndex}/${tlb}`;
    let code = this.#pages.get(key);
    if (code === undefined) {
      code = { page, modeIndex, tlb, seeds: new Set(), analysed: new Map(), slots: [], entries: [], due: 0, builds: 0 };
      this.#pages.set(key, code);
      const list = this.#byPage.get(page);
      if (list === undefined) this.#byPage.set(page, [code]);
      else list.push(code);
    }
    return code;
  }

  #dropPage(page: number): void {
    for (const code of this.#byPage.get(page) ?? []) {
      this.#drop(code, false);
      this.#pages.delete(`${code.page}/${code.modeIndex}/${code.tlb}`);
      this.#pending.delete(code);
    }
    this.#byPage.delete(page);
  }

  /** @param restore the records live on, and count again */
  #drop(code: PageCode, restore: boolean): void {
    for (const slot of code.slots) {
      this.#table.set(slot, null);
      this.#free.push(slot);
    }
    code.slots.length = 0;
    if (restore) {
      for (const record of code.entries) {
        this.#view.setUint32(record + R.handler, HANDLER.profile, true);
        this.#view.setInt32(record + PROFILE.left, this.#options.blocks.threshold, true);
      }
    }
    code.entries = [];
  }

  // --- Building -----------------------------------------------------------------------------------------------------

  #build(batch: readonly PageCode[]): void {
    const module = new ModuleBuilder();
    module.importSharedMemory('i', 'memory', { min: 1, max: 65536 });
    const exits = importIndices();
    for (const [name, [parameters, results]] of Object.entries(IMPORTS)) module.importFunction('i', name, parameters, results);
    module.function([I32, I64, I64, I64], [], storeFlagsBody());
    module.function([I64, I32, I32], [I32], findBody(exits.probeLoad));
    module.function([I64, I32, I32], [I32], findBody(exits.probeStore));
    const made: { code: PageCode; region: CompiledRegion }[] = [];
    for (const code of batch) {
      for (const region of this.#regionsOf(code, exits)) {
        module.export(`f${made.length}`, module.function([I32], [I32], region.code));
        made.push({ code, region });
      }
    }
    if (made.length === 0) return;
    const bytes = module.build();
    const compiled = new WebAssembly.Module(bytes);
    const { exports } = new WebAssembly.Instance(compiled, { i: { memory: this.#options.memory, ...this.#options.interpreter } });
    for (const code of batch) {
      this.#drop(code, true);
      code.builds++;
    }
    for (const [i, { code, region }] of made.entries()) this.#install(code, region, exports[`f${i}`] as (record: number) => number);
    this.statistics.modules++;
    this.statistics.regions += made.length;
    this.statistics.bytes += bytes.length;
  }

  #install(code: PageCode, region: CompiledRegion, entry: (record: number) => number): void {
    const slot = this.#free.pop() ?? this.#table.grow(1);
    this.#table.set(slot, entry);
    code.slots.push(slot);
    region.entries.forEach((record, i) => {
      // Two regions of a page may share a block; whoever comes first keeps it.
      if (this.#view.getUint32(record + R.handler, true) !== HANDLER.profile) return;
      this.#view.setUint32(record + R.handler, slot, true);
      this.#view.setUint16(record + PROFILE.entry, i, true);
      code.entries.push(record);
    });
  }

  #regionsOf(code: PageCode, exits: RegionExits): CompiledRegion[] {
    const mode = codeMode(code.modeIndex);
    const find = (offset: number): RegionBlock | undefined => {
      const known = code.analysed.get(offset);
      if (known !== undefined) return known;
      const layout = this.#options.blocks.layout(code.page, offset, mode, code.modeIndex);
      if (layout === undefined) return undefined;
      const block = this.#analyser.analyse(layout);
      code.analysed.set(offset, block);
      return block;
    };
    return groupBlocks([...code.seeds], find).map(({ blocks, entries }) => {
      this.statistics.instructions += blocks.reduce((sum, block) => sum + block.effects.length, 0);
      return new RegionCompiler(blocks, entries, exits, { tlb: code.tlb, precise: this.#options.precise }).compile();
    });
  }
}

/** Imports are the first functions of a module, in the order of IMPORTS. */
function importIndices(): RegionExits {
  const indices = Object.fromEntries(Object.keys(IMPORTS).map((name, i) => [name, i])) as Record<keyof typeof IMPORTS, number>;
  const own = Object.keys(IMPORTS).length;
  return { ...indices, storeFlags: own, findLoad: own + 1, findStore: own + 2, helperIds: new Map(HELPER_NAMES.map((name, i) => [name, i])) };
}
