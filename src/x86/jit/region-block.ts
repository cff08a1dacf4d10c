import type { BlockLayout } from '../interp/block-layout.ts';
import type { Effects } from './effects.ts';

/** How control leaves a block. */
export type BlockEnd =
  | { readonly kind: 'branch'; readonly taken: number; readonly notTaken: number }
  | { readonly kind: 'jump'; readonly target: number; readonly isCall: boolean }
  | {
      readonly kind: 'indirect';
      readonly isCall: boolean /** A plain jump, call or return: nothing but RIP changes. */;
      readonly isNear: boolean /** Neither call nor return: the targets are likely parts of the same function. */;
      readonly isJump: boolean;
    }
  /** The instruction with this index is the interpreter's. */
  | { readonly kind: 'leave'; readonly at: number };

/** A block with what its instructions do. */
export interface RegionBlock {
  readonly layout: BlockLayout;
  /** Of each instruction that is compiled. */
  readonly effects: readonly Effects[];
  readonly end: BlockEnd;
}
