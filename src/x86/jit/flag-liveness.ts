import { FLAGS } from './flag-state.ts';
import type { RegionBlock } from './region-block.ts';

/** Which flags somebody may still see: at the start of each block, and after each of its instructions. */
export interface FlagLiveness {
  readonly atStart: readonly number[];
  readonly after: readonly (readonly number[])[];
}

/**
 * Flags are seen by instructions that read them, by whoever runs after the region, and by the handler of a fault: every
 * instruction that may leave for the interpreter sees all of them.
 *
 * @param successors inside the region
 * @param leaves blocks from which control may leave the region at their end
 */
export function flagLiveness(blocks: readonly RegionBlock[], successors: readonly (readonly number[])[], leaves: readonly boolean[]): FlagLiveness {
  const atStart = blocks.map(() => 0);
  const after = blocks.map((block) => block.effects.map(() => 0));
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = blocks.length - 1; i >= 0; i--) {
      let live: number = leaves[i]! ? FLAGS.all : 0;
      for (const next of successors[i]!) live |= atStart[next]!;
      const { effects } = blocks[i]!;
      for (let k = effects.length - 1; k >= 0; k--) {
        after[i]![k] = live;
        const one = effects[k]!;
        live = (live & ~one.flagsWritten) | one.flagsRead | (one.bails ? FLAGS.all : 0);
      }
      if (live === atStart[i]) continue;
      atStart[i] = live;
      changed = true;
    }
  }
  return { atStart, after };
}
