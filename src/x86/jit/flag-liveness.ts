import type { Effects } from './effects.ts';
import { FLAGS } from './flag-state.ts';
import type { RegionBlock } from './region-block.ts';

/** Flags that somebody may still see. */
export interface Live {
  /** Needed in the canonical form: an instruction reads them. */
  readonly read: number;
  /** Needed only if control leaves the region: whatever they can be computed from will do. */
  readonly seen: number;
}

export interface FlagLiveness {
  readonly atStart: readonly Live[];
  /** After each instruction of each block: whether anybody sees flags at all. */
  readonly after: readonly (readonly boolean[])[];
}

/**
 * Flags are seen by instructions that read them, by whoever runs after the region, and by the handler of a fault: every
 * instruction that may leave for the interpreter sees all of them.
 *
 * @param successors inside the region
 * @param leaves blocks from which control may leave the region at their end
 * @param stops blocks at whose end the budget is checked
 */
export function flagLiveness(
  blocks: readonly RegionBlock[],
  successors: readonly (readonly number[])[],
  leaves: readonly boolean[],
  stops: readonly boolean[],
): FlagLiveness {
  const atStart: Live[] = blocks.map(() => ({ read: 0, seen: 0 }));
  const after = blocks.map((block) => block.effects.map(() => false));
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = blocks.length - 1; i >= 0; i--) {
      // Returns and calls are frequent: there the canonical form is stored. Other ways out are mostly ends of loops.
      const often = blocks[i]!.end.kind === 'indirect' || blocks[i]!.end.kind === 'leave';
      let read: number = leaves[i]! && often ? FLAGS.all : 0;
      let seen: number = leaves[i]! || stops[i]! ? FLAGS.all : 0;
      for (const next of successors[i]!) {
        read |= atStart[next]!.read;
        seen |= atStart[next]!.seen;
      }
      const { effects } = blocks[i]!;
      for (let k = effects.length - 1; k >= 0; k--) {
        after[i]![k] = (read | seen) !== 0 || effects[k]!.repeats;
        ({ read, seen } = before(effects[k]!, read, seen));
      }
      const old = atStart[i]!;
      if (read === old.read && seen === old.seen) continue;
      atStart[i] = { read, seen };
      changed = true;
    }
  }
  return { atStart, after };
}

function before(one: Effects, read: number, seen: number): Live {
  let reads = (read & ~one.flagsWritten) | one.flagsRead;
  // Who sets only some of the flags has to put them beside the others.
  if (one.flagsMaybe) reads |= one.repeats ? FLAGS.all : read | seen;
  else if (one.flagsWritten !== 0 && one.flagsWritten !== FLAGS.all) reads |= seen & ~one.flagsWritten;
  return { read: reads, seen: (seen & ~one.flagsWritten) | (one.bails ? FLAGS.all : 0) };
}
