import type { BlockLayout } from '../interp/block-layout.ts';
import type { Effects } from './effects.ts';

/** How control leaves a block. */
export type BlockEnd =
  | { readonly kind: 'branch'; readonly taken: number; readonly notTaken: number }
  | { readonly kind: 'jump'; readonly target: number; readonly isCall: boolean }
  | {
      readonly kind: 'indirect';
      readonly how: 'jump' | 'call' | 'return';
      /** Nothing but RIP and RSP changes. */
      readonly isNear: boolean;
    }
  /** The instruction with this index is the interpreter's, which goes on to the next blocks. */
  | { readonly kind: 'leave'; readonly at: number; readonly next: readonly number[] };

/** A block with what its instructions do. Offsets count from the page of the block, or from the base page of a region. */
export interface RegionBlock {
  readonly layout: BlockLayout;
  /** Of each instruction that is compiled. */
  readonly effects: readonly Effects[];
  readonly end: BlockEnd;
}

/** The same block in a region whose base page lies `delta` bytes before the block's page. */
export function shiftBlock(block: RegionBlock, delta: number): RegionBlock {
  if (delta === 0) return block;
  const { layout, effects, end } = block;
  const instructions = layout.instructions.map((one) => ({ ...one, offset: one.offset + delta }));
  const shifted = { ...layout, instructions, offset: layout.offset + delta, end: layout.end + delta };
  if (end.kind === 'branch') return { layout: shifted, effects, end: { ...end, taken: end.taken + delta, notTaken: end.notTaken + delta } };
  if (end.kind === 'leave') return { layout: shifted, effects, end: { ...end, next: end.next.map((offset) => offset + delta) } };
  return { layout: shifted, effects, end: end.kind === 'jump' ? { ...end, target: end.target + delta } : end };
}

/** A block in a region; a function that is called from several places may be there several times. */
export interface RegionNode {
  readonly block: RegionBlock;
  /** Distance of its page from the base page. */
  readonly delta: number;
  /** Nodes to go on with, -1 outside of the region: of a branch or jump, or of the call that a jump is; */
  taken: number;
  notTaken: number;
  /** where a return goes, if the caller is in the region as well. */
  returns: readonly number[];
}

/** What is compiled to one function. */
export interface Region {
  readonly nodes: readonly RegionNode[];
  /** Nodes that can be entered from outside. */
  readonly entries: readonly number[];
  /** Nodes that computed jumps go to, all in one page; and the distance of that page. */
  readonly targets: readonly number[];
  readonly targetDelta: number;
  /** Distance from the base page -> physical page number. */
  readonly pages: ReadonlyMap<number, number>;
  /** Offsets of its blocks, without those of functions that are compiled into their callers. */
  readonly root: ReadonlySet<number>;
}
