import type { RegionBlock } from './region-block.ts';

/** Most guest instructions of one region: V8's optimising compiler takes tens of microseconds for each. */
const REGION_MAX = 500;

/** Blocks that are compiled together, and which of them can be entered from outside. */
export interface RegionGroup {
  readonly blocks: RegionBlock[];
  readonly entries: number[];
}

/**
 * Grows regions from hot blocks along branches and calls, as far as blocks have been executed.
 *
 * @param seeds offsets of hot blocks in their page
 * @param find the block at an offset, if it was ever executed
 */
export function groupBlocks(seeds: readonly number[], find: (offset: number) => RegionBlock | undefined): RegionGroup[] {
  const groups = new Set<GrowingGroup>();
  /** Block offset -> group. */
  const placed = new Map<number, GrowingGroup>();
  for (const seed of seeds) {
    if (placed.has(seed)) continue;
    const group: GrowingGroup = { blocks: [], entries: [], size: 0 };
    groups.add(group);
    for (const met of grow(group, seed, find, placed)) if (met !== group) merge(group, met, groups, placed);
  }
  // What a computed jump goes to is not known, but it lies nearby.
  for (const group of [...groups].filter((one) => one.blocks.some(hasComputedJump))) {
    if (groups.has(group)) for (const other of [...groups]) if (other !== group) merge(group, other, groups, placed);
  }
  for (const group of groups) group.entries.push(...entriesOf(group, seeds, groups));
  return [...groups].filter((group) => group.entries.length > 0);
}

interface GrowingGroup extends RegionGroup {
  size: number;
}

function hasComputedJump({ end }: RegionBlock): boolean {
  return end.kind === 'indirect' && end.isJump;
}

/** Adds what can be reached from a block. @returns other groups that were met */
function grow(group: GrowingGroup, seed: number, find: (offset: number) => RegionBlock | undefined, placed: Map<number, GrowingGroup>): Set<GrowingGroup> {
  const met = new Set<GrowingGroup>();
  const queue = [seed];
  for (let offset = queue.shift(); offset !== undefined; offset = queue.shift()) {
    const other = placed.get(offset);
    if (other !== undefined) met.add(other);
    if (other !== undefined || offset < 0 || offset >= 4096 || group.size >= REGION_MAX) continue;
    const block = find(offset);
    if (block === undefined || block.effects.length === 0) continue; // the interpreter's
    placed.set(offset, group);
    group.blocks.push(block);
    group.size += block.effects.length;
    queue.push(...targetsOf(block), ...returnSites(block));
  }
  return met;
}

/** Puts another group into this one, if both together are not too large. */
function merge(group: GrowingGroup, other: GrowingGroup, groups: Set<GrowingGroup>, placed: Map<number, GrowingGroup>): void {
  if (group.size + other.size > REGION_MAX) return;
  for (const block of other.blocks) placed.set(block.layout.offset, group);
  group.blocks.push(...other.blocks);
  group.size += other.size;
  groups.delete(other);
}

/** Where a block goes on directly. */
export function targetsOf({ end }: RegionBlock): number[] {
  if (end.kind === 'branch') return [end.taken, end.notTaken];
  return end.kind === 'jump' ? [end.target] : [];
}

/** Where a call comes back to. */
function returnSites({ end, layout }: RegionBlock): number[] {
  return (end.kind === 'jump' || end.kind === 'indirect') && end.isCall ? [layout.end] : [];
}

/** Seeds, return sites, and what other groups branch to. */
function entriesOf(group: RegionGroup, seeds: readonly number[], groups: Iterable<RegionGroup>): number[] {
  const wanted = new Set(seeds);
  for (const other of groups) {
    for (const block of other.blocks) {
      for (const site of returnSites(block)) wanted.add(site);
      if (other !== group) for (const target of targetsOf(block)) wanted.add(target);
    }
  }
  return group.blocks.map((block, i) => (wanted.has(block.layout.offset) ? i : -1)).filter((i) => i >= 0);
}
