import { ModuleBuilder } from '../../wasm/module.ts';
import { I32, I64 } from '../../wasm/opcodes.ts';
import type { BlockCache } from '../interp/block-cache.ts';
import { HANDLER } from '../interp/generate.ts';
import { HELPER_NAMES } from '../interp/helpers.ts';
import { codeMode } from '../interp/mode.ts';
import { PROFILE, R } from '../interp/record.ts';
import { ENGINE, GUARDS_MAX, S, TLB_TABLE, TLB_VIEW } from '../state/layout.ts';
import { BlockAnalyser } from './analyse-block.ts';
import { type CodeSource, RegionGrower } from './grow-region.ts';
import type { Region, RegionBlock } from './region-block.ts';
import { type CompiledRegion, RegionCompiler, type RegionExits } from './region-compiler.ts';
import { findBody } from './find-address.ts';
import { storeFlagsBody } from './store-flags.ts';

export interface JitOptions {
  readonly memory: WebAssembly.Memory;
  /** Exports of the interpreter's instance. */
  readonly interpreter: WebAssembly.Instance['exports'];
  readonly blocks: BlockCache;
  /** Every flag of MXCSR is raised. */
  readonly precise: boolean;
  /** Physical address of a linear one, in halves, as code is fetched; negative when it cannot be. */
  translate(low: number, high: number, user: boolean): number;
  /** Compile every block when it is entered: for tests. */
  readonly immediate: boolean;
  /** Compiled code counts why control leaves it. */
  readonly profiled?: boolean;
}

/** A page with hot blocks, as it was mapped when they became hot, and the code that was compiled for it. */
interface PageCode {
  readonly key: string;
  readonly page: number;
  readonly modeIndex: number;
  readonly tlb: number;
  /** Linear address of the page, in halves. */
  low: number;
  high: number;
  /** Offsets of blocks that were entered often from outside. */
  readonly seeds: Set<number>;
  /** Those that stay hot although they lie in a region: they are entries of their own. */
  readonly forced: Set<number>;
  readonly passed: Set<number>;
  regions: Installed[];
  /** When the page is compiled, if it waits for that; counted in instructions. */
  due: number;
  builds: number;
  delays: number;
}

/** A compiled region. */
interface Installed {
  readonly slot: number;
  readonly code: PageCode;
  readonly region: Region;
  readonly bytes: number;
  /** Entry records that lead to it. */
  readonly entries: number[];
}

/** A region to be, and the hot blocks that it was grown from. */
interface Group {
  readonly seeds: readonly number[];
  readonly region: Region;
  readonly isCut: boolean;
  readonly crossings: ReadonlySet<number>;
  /** What was left to other groups. */
  readonly elsewhere: ReadonlySet<number>;
}

type Grow = (seeds: readonly number[], elsewhere?: ReadonlySet<number>) => Group | undefined;

/** A group that can be entered at more blocks; undefined if it has no room for them all. */
function withSeeds(group: Group, more: readonly number[], grow: Grow): Group | undefined {
  const seeds = [...new Set([...group.seeds, ...more])].sort((a, b) => a - b);
  if (seeds.length === group.seeds.length) return group;
  const grown = grow(seeds, group.elsewhere);
  return grown !== undefined && seeds.every((seed) => grown.region.root.has(seed)) ? grown : undefined;
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
  verify: [[I32, I64], [I32]],
} as const;
/** Bytes of WebAssembly that are kept; when there are more, all is dropped and what is hot comes back. */
const BYTES_MAX = 24 << 20;
/** Places in the table that one batch may take. */
const SLOTS_SPARE = 400;
/** Blocks that were entered a quarter as often as hot ones are compiled with them. */
const WARM_SHIFT = 2;
const USER_TLB = ENGINE.tlb + TLB_VIEW.user * 2 * TLB_TABLE;
/** How often hot code waits for its address space to be the one at hand. */
const DELAYS_MAX = 8;

/** Instructions from the first hot block of a page until the page is compiled. */
const GATHER = 500_000;

/**
 * Entries of a block until it is hot, by the instructions that the guest has executed. Compiling must not cost more than going
 * on without; it costs most at first, before the host has compiled the compiler, and a guest that has run for long will go on.
 */
const THRESHOLDS: readonly { readonly until: number; readonly entries: number }[] = [
  { until: 130e6, entries: 1_000_000 },
  { until: 250e6, entries: 30_000 },
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
  /** By page, mode and address space. */
  readonly #pages = new Map<string, PageCode>();
  readonly #pending = new Set<PageCode>();
  /** By place in the table, from #firstSlot on. */
  readonly #installed: (Installed | undefined)[] = [];
  /** Physical page -> regions with code of it. */
  readonly #byPage = new Map<number, Set<Installed>>();
  /** Physical page * 64 + mode -> offset -> block. */
  readonly #analysed = new Map<number, Map<number, RegionBlock>>();
  #bytes = 0;
  readonly #free: number[] = [];
  readonly #firstSlot: number;
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
    this.#firstSlot = this.#table.length;
    options.blocks.threshold = options.immediate ? 1 : THRESHOLDS[0]!.entries;
    options.blocks.onDrop = (page) => this.#dropPage(page);
  }

  /** A block was entered often enough. Its page is the one at hand. */
  hot(record: number): void {
    const code = this.#pageOf(record);
    const offset = this.#view.getUint16(record + R.pageOffset, true);
    code.seeds.add(offset);
    if (code.passed.has(offset)) code.forced.add(offset);
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

  #pageOf(record: number): PageCode {
    const page = this.#view.getUint32(record + PROFILE.page, true);
    const modeIndex = this.#view.getUint16(record + PROFILE.mode, true);
    const tlb = this.#view.getUint32(S.tlb, true);
    const [low, high] = [this.#view.getInt32(S.page, true), this.#view.getInt32(S.page + 4, true)];
    const key = `${page}/${modeIndex}/${tlb}`;
    let code = this.#pages.get(key);
    if (code === undefined) {
      const sets = { seeds: new Set<number>(), forced: new Set<number>(), passed: new Set<number>() };
      code = { key, page, modeIndex, tlb, low, high, ...sets, regions: [], due: 0, builds: 0, delays: 0 };
      this.#pages.set(key, code);
    }
    code.low = low;
    code.high = high;
    return code;
  }

  /** So many instructions were executed. Compiles what has become hot; called while no guest code runs. */
  tick(instructions: number): void {
    this.#now += instructions;
    if (this.#now >= THRESHOLDS[this.#stage]!.until && !this.#options.immediate) this.#options.blocks.threshold = THRESHOLDS[++this.#stage]!.entries;
    // What is due soon goes into the same module: each has a price of its own.
    if (this.#now >= this.#nextDue) this.#compileDue(this.#now + GATHER);
  }

  #compileDue(until: number): void {
    const batch: PageCode[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const code of this.#pending) {
      if (code.due <= until && (this.#isMapped(code) || code.delays++ >= DELAYS_MAX)) {
        this.#pending.delete(code);
        batch.push(code);
        continue;
      }
      if (code.due <= until) code.due = this.#now + GATHER;
      next = Math.min(next, code.due);
    }
    this.#nextDue = next;
    this.#compile(batch);
  }

  #compile(batch: readonly PageCode[]): void {
    const started = this.clock();
    if (this.#bytes > BYTES_MAX || this.#installed.length > GUARDS_MAX - SLOTS_SPARE) this.dropAll();
    this.#build(batch);
    this.statistics.milliseconds += this.clock() - started;
  }

  /** Whether a record leads to compiled code. */
  isCompiled(record: number): boolean {
    return this.#view.getUint32(record + R.handler, true) >= this.#firstSlot;
  }

  /** Regions of now with code of several pages. */
  get regionsAcrossPages(): number {
    return this.#installed.filter((one) => one?.region.nodes.some((node) => node.delta !== 0)).length;
  }

  /** All records are gone, or all code has to go. */
  dropAll(): void {
    for (const one of [...this.#installed]) if (one !== undefined) this.#drop(one);
    this.#analysed.clear();
    this.#pending.clear();
    this.#pages.clear();
  }

  #dropPage(page: number): void {
    for (const one of [...(this.#byPage.get(page) ?? [])]) this.#drop(one);
    this.#byPage.delete(page);
    for (const key of [...this.#analysed.keys()]) if (key >= page * 64 && key < page * 64 + 64) this.#analysed.delete(key);
    for (const code of [...this.#pages.values()].filter((one) => one.page === page)) {
      this.#pages.delete(code.key);
      this.#pending.delete(code);
    }
  }

  /** Its records count again; those of a page that has changed lead nowhere any more. */
  #drop(one: Installed): void {
    this.#table.set(one.slot, null);
    this.#installed[one.slot - this.#firstSlot] = undefined;
    this.#free.push(one.slot);
    this.#bytes -= one.bytes;
    one.code.regions = one.code.regions.filter((other) => other !== one);
    for (const page of one.region.pages.values()) this.#byPage.get(page)?.delete(one);
    for (const record of one.entries) {
      if (this.#view.getUint32(record + R.handler, true) === one.slot) this.#count(record, this.#options.blocks.threshold);
    }
  }

  /** A record counts entries from here on. */
  #count(record: number, left: number): void {
    this.#view.setUint32(record + R.handler, HANDLER.profile, true);
    this.#view.setInt32(record + PROFILE.left, Math.max(1, left), true);
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
    const made: { one: Installed; compiled: CompiledRegion }[] = [];
    for (const code of batch) {
      for (const one of [...code.regions]) this.#drop(one);
      code.builds++;
      for (const region of this.#regionsOf(code)) made.push(this.#compileRegion(code, region, exits));
    }
    made.forEach(({ compiled }, i) => void module.export(`f${i}`, module.function([I32], [I32], compiled.code)));
    if (made.length === 0) return;
    const bytes = module.build();
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      i: { ...this.#options.interpreter, memory: this.#options.memory, verify: this.#verify },
    });
    for (const [i, { one }] of made.entries()) this.#table.set(one.slot, instance.exports[`f${i}`] as () => number);
    this.statistics.modules++;
    this.statistics.regions += made.length;
    this.statistics.bytes += bytes.length;
  }

  #compileRegion(code: PageCode, region: Region, exits: RegionExits): { one: Installed; compiled: CompiledRegion } {
    const slot = this.#free.pop() ?? this.#table.grow(1);
    const number = slot - this.#firstSlot;
    const guard = ENGINE.guards + number * 16;
    const { precise, profiled = false } = this.#options;
    const compiled = new RegionCompiler(region, exits, { tlb: code.tlb, slot, number, guard, precise, profiled }).compile();
    this.#view.setInt32(guard, -1, true);
    const one: Installed = { slot, code, region, bytes: compiled.code.out.length, entries: [] };
    this.#installed[number] = one;
    code.regions.push(one);
    this.#claim(one, compiled);
    this.statistics.instructions += region.nodes.reduce((sum, node) => sum + node.block.effects.length, 0);
    return { one, compiled };
  }

  /** Regions for the hot blocks of a page. Those that meet become one, as long as that is not too large. */
  #regionsOf(code: PageCode): Region[] {
    const source = this.#sourceOf(code);
    let groups: Group[] = [];
    const grow: Grow = (seeds, elsewhere = new Set()) => {
      const grower = new RegionGrower(source, code.page, elsewhere);
      const region = grower.grow(seeds);
      return region === undefined ? undefined : { seeds, region, isCut: grower.isCut, crossings: grower.crossings, elsewhere };
    };
    for (const seed of [...code.seeds].sort((a, b) => a - b)) {
      const within = groups.find(({ region }) => region.root.has(seed));
      if (within !== undefined) {
        // Control comes to it through the region. If not, it will be heard of again.
        if (!code.forced.has(seed)) this.#passOver(code, seed);
        else groups = groups.map((group) => (group === within ? (withSeeds(group, [seed], grow) ?? group) : group));
        continue;
      }
      let made = grow([seed]);
      if (made === undefined) continue;
      let apart = false;
      for (const other of [...groups]) {
        const met: Group = made;
        if (![...met.region.root].some((offset) => other.region.root.has(offset))) continue;
        const merged = withSeeds(other, met.seeds, grow);
        apart ||= merged === undefined || merged.isCut;
        if (merged === undefined || merged.isCut) continue;
        groups = groups.filter((one) => one !== other);
        made = merged;
      }
      // Too large together: the later one leads to the earlier ones and has nothing of theirs.
      if (apart) made = grow(made.seeds, new Set(groups.flatMap(({ region }) => [...region.root]))) ?? made;
      groups.push(made);
    }
    const crossings = new Set(groups.flatMap((group) => [...group.crossings]));
    return groups.map(
      (group) =>
        (
          withSeeds(
            group,
            [...crossings].filter((offset) => group.region.root.has(offset)),
            grow,
          ) ?? group
        ).region,
    );
  }

  /** A block in a region that is none of its entries counts again. */
  #passOver(code: PageCode, seed: number): void {
    code.passed.add(seed);
    const record = this.#options.blocks.recordAt(code.page, seed, code.modeIndex);
    if (record !== undefined && this.#view.getUint32(record + R.handler, true) === HANDLER.profile) this.#count(record, this.#options.blocks.threshold);
  }

  /** The records of its entries lead to a region, unless they lead to another one. */
  #claim(one: Installed, { entries }: CompiledRegion): void {
    entries.forEach(({ record, delta }, i) => {
      if (this.#view.getUint32(record + R.handler, true) !== HANDLER.profile) return;
      this.#view.setUint32(record + R.handler, one.slot, true);
      this.#view.setUint16(record + PROFILE.entry, i, true);
      this.#view.setInt32(record + PROFILE.delta, delta, true);
      one.entries.push(record);
    });
    const note = (map: Map<number, Set<Installed>>, key: number): void => {
      const list = map.get(key);
      if (list === undefined) map.set(key, new Set([one]));
      else list.add(one);
    };
    for (const page of one.region.pages.values()) note(this.#byPage, page);
    this.#bytes += one.bytes;
  }

  #isMapped(hot: PageCode): boolean {
    return this.#translate(hot, 0) === hot.page * 4096;
  }

  #translate({ low, high, tlb }: Pick<PageCode, 'low' | 'high' | 'tlb'>, delta: number): number {
    const sum = (low >>> 0) + delta;
    const carry = Math.floor(sum / 2 ** 32);
    return this.#options.translate(sum | 0, (high + carry) | 0, tlb === USER_TLB);
  }

  #sourceOf(hot: PageCode): CodeSource {
    const { modeIndex } = hot;
    const here = this.#isMapped(hot);
    const { blocks } = this.#options;
    const isWarm = (record: number): boolean => this.#isWarm(record);
    return {
      pageAt: (delta) => {
        const physical = here ? this.#translate(hot, delta) : -1;
        return physical < 0 ? -1 : physical / 4096;
      },
      block: (page, offset) => this.#blockAt(page, offset, modeIndex),
      isEntry: (page, offset) => {
        const record = blocks.recordAt(page, offset, modeIndex);
        return record !== undefined && this.isCompiled(record);
      },
      *offsets(page) {
        for (const [offset, record] of blocks.blocksOf(page, modeIndex)) if (isWarm(record)) yield offset;
      },
    };
  }

  /** Whether a block was executed often enough to be worth a place in a region that meets it. */
  #isWarm(record: number): boolean {
    const { threshold } = this.#options.blocks;
    const handler = this.#view.getUint32(record + R.handler, true);
    if (handler !== HANDLER.profile) return handler >= this.#firstSlot;
    return threshold - this.#view.getInt32(record + PROFILE.left, true) >= Math.max(1, threshold >> WARM_SHIFT);
  }

  #blockAt(page: number, offset: number, modeIndex: number): RegionBlock | undefined {
    const key = page * 64 + modeIndex;
    let known = this.#analysed.get(key);
    // What was worth it once stays so: blocks of compiled code are not counted.
    let block = known?.get(offset);
    if (block !== undefined) return block;
    const record = this.#options.blocks.recordAt(page, offset, modeIndex);
    if (record === undefined || !this.#isWarm(record)) return undefined;
    if (known === undefined) {
      known = new Map();
      this.#analysed.set(key, known);
    }
    const layout = this.#options.blocks.layout(page, offset, codeMode(modeIndex), modeIndex);
    if (layout === undefined) return undefined;
    block = this.#analyser.analyse(layout);
    known.set(offset, block);
    return block;
  }

  /** Called by compiled code whose pages may be mapped elsewhere now. @returns whether they are where they were */
  readonly #verify = (number: number, base: bigint): number => {
    const one = this.#installed[number];
    if (one === undefined) return 0;
    const [low, high] = [Number(BigInt.asIntN(32, base)), Number(BigInt.asIntN(32, base >> 32n))];
    const here = { tlb: one.code.tlb, low, high };
    for (const [delta, page] of one.region.pages) if (this.#translate(here, delta) !== page * 4096) return 0;
    const guard = ENGINE.guards + number * 16;
    this.#view.setBigInt64(guard + 8, base, true);
    this.#view.setInt32(guard, this.#view.getInt32(S.codeEpoch + (one.code.tlb === USER_TLB ? 4 : 0), true), true);
    return 1;
  };
}

/** Imports are the first functions of a module, in the order of IMPORTS. */
function importIndices(): RegionExits {
  const indices = Object.fromEntries(Object.keys(IMPORTS).map((name, i) => [name, i])) as Record<keyof typeof IMPORTS, number>;
  const own = Object.keys(IMPORTS).length;
  return { ...indices, storeFlags: own, findLoad: own + 1, findStore: own + 2, helperIds: new Map(HELPER_NAMES.map((name, i) => [name, i])) };
}
