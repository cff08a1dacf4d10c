/** A request that was begun, in order of the stamps. */
export interface JournalEntry {
  readonly kind: 'write' | 'zero' | 'discard';
  readonly stamp: number;
  readonly first: number;
  readonly count: number;
}

/** What a writer said it did before it was killed. */
export interface Journal {
  readonly entries: readonly JournalEntry[];
  /** Requests with lower stamps are durable. */
  readonly flushed: number;
}

/** Sectors full of a number that no other request writes. */
export function stamped(stamp: number, sectors: number): Uint8Array {
  const words = new Uint32Array(sectors * 128).fill(stamp);
  return new Uint8Array(words.buffer);
}

/** Reads what `crash-writer` printed; a last line that is cut off says nothing. */
export function parseJournal(text: string): Journal {
  const entries: JournalEntry[] = [];
  let flushed = 0;
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    const [kind, stamp, first, count] = line.split(' ');
    if (kind === 'flushed') flushed = Number(stamp);
    else if (kind === 'write' || kind === 'zero' || kind === 'discard') {
      entries.push({ kind, stamp: Number(stamp), first: Number(first), count: Number(count) });
    }
  }
  return { entries, flushed };
}

/**
 * What is wrong with a disk's contents after a crash, or undefined: every sector holds what the last flushed request
 * left there, or what a later one may have put there. One sector is never a mixture.
 */
export function findLoss({ entries, flushed }: Journal, contents: Uint8Array): string | undefined {
  const words = new Uint32Array(contents.slice().buffer);
  const allowed: Set<number>[] = Array.from({ length: contents.length / 512 }, () => new Set([0]));
  for (const { kind, stamp, first, count } of entries) {
    const value = kind === 'write' ? stamp : 0;
    for (let sector = first; sector < first + count; sector++) {
      if (stamp < flushed && kind !== 'discard') allowed[sector] = new Set([value]);
      else allowed[sector]?.add(value);
    }
  }
  for (let sector = 0; sector < allowed.length; sector++) {
    const value = words[sector * 128] ?? 0;
    const mixed = words.subarray(sector * 128, sector * 128 + 128).some((word) => word !== value);
    if (mixed) return `sector ${sector} is a mixture`;
    if (!allowed[sector]?.has(value)) return `sector ${sector} holds ${value}, not ${[...(allowed[sector] ?? [])]}`;
  }
  return undefined;
}
