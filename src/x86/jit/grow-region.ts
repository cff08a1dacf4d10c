import { type Region, type RegionBlock, type RegionNode, shiftBlock } from './region-block.ts';

/** Most guest instructions of one region: V8's optimising compiler takes tens of microseconds for each. */
const REGION_MAX = 500;
/** No more calls are followed from here on, so that functions that were begun can be completed. */
const REGION_FULL = 400;
/** Most instructions of a function that is compiled into its caller. */
const INLINE_MAX = 40;
const DEPTH_MAX = 3;
/** Pages beside the base page. */
const PAGES_MAX = 24;
/** Compilers begin functions at multiples of it. */
const FUNCTION_ALIGNMENT = 16;
/** Callers in the region that a return is compared with. */
const RETURNS_MAX = 4;

/** Code as it is mapped where the region is made. */
export interface CodeSource {
  /** Physical number of the page at a distance from the base page, or -1. */
  pageAt(delta: number): number;
  /** The block at a place, if it was executed often enough to be worth anything. */
  block(page: number, offset: number): RegionBlock | undefined;
  /** Whether compiled code is entered there already. */
  isEntry(page: number, offset: number): boolean;
  /** Offsets of such blocks of a page. */
  offsets(page: number): Iterable<number>;
}

/** A function on its way from one call, or what the region began with. */
interface Context {
  readonly entry: number;
  readonly parent: Context | undefined;
  readonly depth: number;
  /** Offset -> node. */
  readonly placed: Map<number, number>;
  readonly returnSites: number[];
}

/**
 * Grows a region from hot blocks along branches, and into the functions that they call: each call gets a copy of the function,
 * whose return comes back to that call. What a copy assumes of its caller is compared when it returns.
 */
export class RegionGrower {
  readonly #source: CodeSource;
  readonly #nodes: RegionNode[] = [];
  readonly #contexts: Context[] = [];
  readonly #pages = new Map<number, number>();
  readonly #entries = new Set<number>();
  readonly #targets = new Set<number>();
  readonly #elsewhere: ReadonlySet<number>;
  readonly #crossings = new Set<number>();
  #targetDelta = Number.NaN;
  /** Where the computed jump is in its page. */
  #targetFrom = 0;
  #isCut = false;
  readonly #queues: number[][] = [];
  #size = 0;

  /**
   * @param page physical number of the base page
   * @param elsewhere offsets that belong to other regions
   */
  constructor(source: CodeSource, page: number, elsewhere: ReadonlySet<number> = new Set()) {
    this.#source = source;
    this.#elsewhere = elsewhere;
    this.#pages.set(0, page);
  }

  /** Whether code was left out because there was too much of it. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Offsets in other regions that this one branches to. */
  get crossings(): ReadonlySet<number> {
    return this.#crossings;
  }

  /** @param seeds offsets of hot blocks in the base page. @returns undefined when there is nothing to compile */
  grow(seeds: readonly number[]): Region | undefined {
    const root: Context = { entry: seeds[0]!, parent: undefined, depth: 0, placed: new Map(), returnSites: [] };
    for (const seed of seeds) {
      const node = this.#place(root, seed, true);
      if (node >= 0) this.#entries.add(node);
    }
    if (this.#nodes.length === 0) return undefined;
    this.#expandAll();
    this.#placeTargets(root);
    for (const [i, node] of this.#nodes.entries()) {
      const { end } = node.block;
      if (end.kind === 'indirect' && end.how === 'return' && end.isNear) node.returns = this.#contexts[i]!.returnSites;
    }
    return {
      nodes: this.#nodes,
      entries: [...this.#entries],
      targets: [...this.#targets],
      targetDelta: Number.isNaN(this.#targetDelta) ? 0 : this.#targetDelta,
      pages: this.#pages,
      root: new Set(root.placed.keys()),
    };
  }

  /** Callers first: a function that is cut off is worth less than one that is left out. */
  #expandAll(): void {
    for (;;) {
      const queue = this.#queues.find((one) => one !== undefined && one.length > 0);
      if (queue === undefined) return;
      this.#expand(queue.shift()!);
    }
  }

  /** The node at an offset in a context; added if there is room. -1: not part of the region. */
  #place(context: Context, offset: number, isSeed = false): number {
    const known = context.placed.get(offset);
    if (known !== undefined) return known;
    const delta = offset & -4096;
    const page = this.#pageAt(delta);
    if (page < 0) return -1;
    // What is compiled already is gone to, unless it is a function on the way.
    if (context.depth === 0 && !isSeed && this.#source.isEntry(page, offset - delta)) return -1;
    if (context.depth === 0 && !isSeed && this.#elsewhere.has(offset)) {
      this.#crossings.add(offset);
      return -1;
    }
    if (this.#size >= REGION_MAX) this.#isCut = true;
    const block = this.#size < REGION_MAX ? this.#source.block(page, offset - delta) : undefined;
    if (block === undefined || block.effects.length === 0) return -1;
    const node = this.#nodes.length;
    this.#nodes.push({ block: shiftBlock(block, delta), delta, taken: -1, notTaken: -1, returns: [] });
    this.#contexts.push(context);
    this.#size += block.effects.length;
    context.placed.set(offset, node);
    let queue = this.#queues[context.depth];
    if (queue === undefined) {
      queue = [];
      for (let depth = this.#queues.length; depth < context.depth; depth++) this.#queues.push([]);
      this.#queues[context.depth] = queue;
    }
    queue.push(node);
    return node;
  }

  #pageAt(delta: number): number {
    const known = this.#pages.get(delta);
    if (known !== undefined) return known;
    if (this.#pages.size > PAGES_MAX) return -1;
    const page = this.#source.pageAt(delta);
    if (page >= 0) this.#pages.set(delta, page);
    return page;
  }

  #expand(index: number): void {
    const node = this.#nodes[index]!;
    const context = this.#contexts[index]!;
    const { end, layout } = node.block;
    if (end.kind === 'branch') {
      node.taken = this.#place(context, end.taken);
      node.notTaken = this.#place(context, end.notTaken);
    } else if (end.kind === 'jump') {
      if (end.isCall) this.#call(node, context, end.target, layout.end);
      else node.taken = this.#place(context, end.target);
    } else if (end.kind === 'leave') for (const next of end.next) this.#comeBack(context, next);
    else if (end.kind === 'indirect' && end.how === 'call') this.#comeBack(context, layout.end);
    else if (end.kind === 'indirect' && end.how === 'jump' && end.isNear && context.depth === 0 && Number.isNaN(this.#targetDelta)) {
      this.#targetDelta = node.delta;
      this.#targetFrom = layout.offset - node.delta;
    }
  }

  #call(node: RegionNode, context: Context, target: number, site: number): void {
    for (let caller: Context | undefined = context; caller !== undefined; caller = caller.parent) {
      if (caller.entry !== target && !(caller.depth === 0 && caller.placed.has(target))) continue;
      // Recursion: no copy of its own, but its returns know this call as well.
      node.taken = caller.placed.get(target) ?? -1;
      if (node.taken >= 0) this.#returnTo(caller, context, site);
      return this.#comeBack(context, site);
    }
    if (context.depth < DEPTH_MAX && this.#size < REGION_FULL && this.#sizeOf(target) <= INLINE_MAX) {
      const callee: Context = { entry: target, parent: context, depth: context.depth + 1, placed: new Map(), returnSites: [] };
      node.taken = this.#place(callee, target);
      if (node.taken >= 0) {
        this.#returnTo(callee, context, site);
        return;
      }
    }
    this.#comeBack(context, site);
  }

  #returnTo(callee: Context, caller: Context, site: number): void {
    const node = this.#place(caller, site);
    if (node >= 0 && callee.returnSites.length < RETURNS_MAX) callee.returnSites.push(node);
  }

  /** A call leaves the region, and comes back from outside. */
  #comeBack(context: Context, site: number): void {
    const node = this.#place(context, site);
    if (node >= 0) this.#entries.add(node);
  }

  /** What computed jumps go to is not known, but it lies in the same function and nothing else leads there. */
  #placeTargets(root: Context): void {
    const delta = this.#targetDelta;
    if (Number.isNaN(delta)) return;
    const reached = new Set(this.#nodes.flatMap((node) => [node.taken, node.notTaken]));
    for (const offset of functionAround(this.#source, this.#pageAt(delta), this.#targetFrom)) {
      const node = this.#place(root, offset + delta);
      if (node >= 0 && !reached.has(node)) this.#targets.add(node);
    }
    this.#expandAll();
    for (const node of this.#targets) this.#entries.add(node);
  }

  /** Instructions of a function without what it calls, as far as that matters. */
  #sizeOf(target: number): number {
    const seen = new Set<number>();
    const queue = [target];
    let size = 0;
    for (let offset = queue.pop(); offset !== undefined && size <= INLINE_MAX; offset = queue.pop()) {
      if (seen.has(offset)) continue;
      seen.add(offset);
      const delta = offset & -4096;
      const page = this.#pageAt(delta);
      const block = page < 0 ? undefined : this.#source.block(page, offset - delta);
      if (block === undefined) continue;
      size += block.effects.length;
      const { end, layout } = block;
      if (end.kind === 'branch') queue.push(end.taken + delta, end.notTaken + delta);
      else if (end.kind === 'jump') queue.push((end.isCall ? layout.end : end.target) + delta);
      else if (end.kind === 'indirect' && end.how === 'call') queue.push(layout.end + delta);
    }
    return size;
  }
}

/**
 * Offsets of the blocks of a page that seem to lie in one function with the block at an offset: a function begins behind a
 * return, at an aligned address that nothing branches to.
 */
function functionAround(source: CodeSource, page: number, from: number): number[] {
  const blocks = [...source.offsets(page)]
    .sort((a, b) => a - b)
    .map((offset) => source.block(page, offset))
    .filter((block) => block !== undefined);
  const reached = new Set(
    blocks.flatMap(({ end }) => (end.kind === 'branch' ? [end.taken, end.notTaken] : end.kind === 'jump' && !end.isCall ? [end.target] : [])),
  );
  let found: number[] = [];
  let previous: RegionBlock | undefined;
  for (const block of blocks) {
    const { offset } = block.layout;
    const isAfterReturn = previous?.end.kind === 'indirect' && previous.end.how === 'return';
    if (isAfterReturn && offset % FUNCTION_ALIGNMENT === 0 && !reached.has(offset)) {
      if (offset > from) break;
      found = [];
    }
    found.push(offset);
    previous = block;
  }
  return found;
}
