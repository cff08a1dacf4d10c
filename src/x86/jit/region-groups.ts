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
  const groups: RegionGroup[] = [];
  /** Block offset -> group. */
  const placed = new Map<number, RegionGroup>();
  for (const seed of seeds) {
    if (placed.has(seed)) continue;
    let group = groups[groups.length - 1];
    if (group === undefined || sizeOf(group) >= REGION_MAX) {
      group = { blocks: [], entries: [] };
      groups.push(group);
    }
    grow(group, seed, find, placed);
  }
  for (const group of groups) group.entries.push(...entriesOf(group, seeds, groups));
  return groups.filter((group) => group.entries.length > 0);
}

function sizeOf(group: RegionGroup): number {
  return group.blocks.reduce((sum, block) => sum + block.effects.length, 0);
}

function grow(group: RegionGroup, seed: number, find: (offset: number) => RegionBlock | undefined, placed: Map<number, RegionGroup>): void {
  const queue = [seed];
  let size = sizeOf(group);
  for (let offset = queue.shift(); offset !== undefined; offset = queue.shift()) {
    if (placed.has(offset) || offset < 0 || offset >= 4096 || size >= REGION_MAX) continue;
    const block = find(offset);
    if (block === undefined || block.effects.length === 0) continue; // the interpreter's
    placed.set(offset, group);
    group.blocks.push(block);
    size += block.effects.length;
    queue.push(...targetsOf(block), ...returnSites(block));
  }
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
function entriesOf(group: RegionGroup, seeds: readonly number[], groups: readonly RegionGroup[]): number[] {
  const wanted = new Set(seeds);
  for (const other of groups) {
    for (const block of other.blocks) {
      for (const site of returnSites(block)) wanted.add(site);
      if (other !== group) for (const target of targetsOf(block)) wanted.add(target);
    }
  }
  return group.blocks.map((block, i) => (wanted.has(block.layout.offset) ? i : -1)).filter((i) => i >= 0);
}
