/**
 * Which physical bytes some translated code was made from: a set of 64-byte chunks per 4 KiB page, shared by all vCPUs of
 * a machine. Data beside code is common (jump tables, kernel patching), hence finer than a page.
 */
export class CodePages {
  /** Called with the physical address of a page whose code must be dropped. The page's set is already empty. */
  onInvalidate: (page: number) => void = () => {};
  /** Called with the physical address of a page that had no code and now has: stores to it must take the slow path. */
  onProtect: (page: number) => void = () => {};
  /** Two words per page: chunks 0-31 and 32-63. */
  readonly #chunks: Int32Array;

  constructor(ramBytes: number) {
    this.#chunks = new Int32Array(Math.ceil(ramBytes / 4096) * 2);
  }

  /** Code was made from these bytes. They may cross pages. */
  mark(physical: number, length: number): void {
    for (let at = physical; at < physical + length; at = pageOf(at) + 4096) {
      const end = Math.min(physical + length, pageOf(at) + 4096);
      const slot = slotOf(at);
      if (slot >= this.#chunks.length) return;
      const wasClean = this.#isClean(slot);
      this.#chunks[slot]! |= chunkMask(at, end, 0);
      this.#chunks[slot + 1]! |= chunkMask(at, end, 32);
      if (wasClean) this.onProtect(pageOf(at));
    }
  }

  /** Whether the page that holds this byte has code. */
  hasCode(physical: number): boolean {
    const slot = slotOf(physical);
    return slot < this.#chunks.length && !this.#isClean(slot);
  }

  /** Whether bytes inside one page touch code. */
  touches(physical: number, length: number): boolean {
    const slot = slotOf(physical);
    if (slot >= this.#chunks.length || this.#isClean(slot)) return false;
    const end = physical + length;
    return (this.#chunks[slot]! & chunkMask(physical, end, 0)) !== 0 || (this.#chunks[slot + 1]! & chunkMask(physical, end, 32)) !== 0;
  }

  /** Bytes were written, by a CPU or a device; drops the code of each page where they touch it. */
  wrote(physical: number, length: number): void {
    const stop = Math.min(physical + length, this.#chunks.length * 2048);
    for (let at = physical; at < stop; at = pageOf(at) + 4096) {
      const inPage = Math.min(stop, pageOf(at) + 4096) - at;
      if (this.touches(at, inPage)) this.invalidate(at);
    }
  }

  /** Drops the code of one page. */
  invalidate(physical: number): void {
    const slot = slotOf(physical);
    this.#chunks[slot] = 0;
    this.#chunks[slot + 1] = 0;
    this.onInvalidate(pageOf(physical));
  }

  #isClean(slot: number): boolean {
    return (this.#chunks[slot]! | this.#chunks[slot + 1]!) === 0;
  }
}

function pageOf(physical: number): number {
  return physical - (physical % 4096);
}

function slotOf(physical: number): number {
  return Math.floor(physical / 4096) * 2;
}

/** Bits of the chunks [first, first + 32) that [from, to), inside one page, touches. */
function chunkMask(from: number, to: number, first: number): number {
  const low = Math.max(((from % 4096) >> 6) - first, 0);
  const high = Math.min((((to - 1) % 4096) >> 6) - first, 31);
  if (low > high) return 0;
  return (-1 << low) & (-1 >>> (31 - high));
}
