import { S, TLB_EMPTY, TLB_ENTRIES, TLB_ENTRY, TLB_TABLE, TLB_VIEW, TLB_VIEWS } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';

const WORDS = TLB_ENTRY >> 2;
const TABLE_WORDS = TLB_TABLE >> 2;
const TABLES = TLB_VIEWS * 2;
const EMPTY_LOW = Number(TLB_EMPTY);
/** Entry flag: goes away with a CR3 write. */
const NON_GLOBAL = 1;
/** Non-global entries remembered one by one; beyond that a flush scans the tables. */
const TRACKED = 4096;
const LARGE_FILTER = 1024;
/** With more 1 GiB pages than this in use, each invlpg drops everything. */
const HUGE_TRACKED = 16;

/**
 * The TLB tables that generated code looks into (layout.ts). Pages of any size enter as pieces of 4 KiB.
 * Nothing is allocated after construction.
 */
export class Tlb {
  readonly #state: CpuState;
  readonly #words: Int32Array;
  readonly #quads: BigUint64Array;
  readonly #nonGlobal = new Int32Array(TRACKED);
  #nonGlobalCount = 0;
  /** Which 2/4 MiB pages may have pieces in the tables, hashed: invlpg must drop all of them. */
  readonly #large = new Uint8Array(LARGE_FILTER);
  /** 1 GiB pages that may have pieces, by address / 1 GiB: a kernel's direct map has few, and nobody invalidates in it. */
  readonly #huge = new Int32Array(HUGE_TRACKED);
  #hugeCount = 0;

  /** @param at offset of the tables in the buffer */
  constructor(buffer: ArrayBufferLike, at: number, state: CpuState) {
    this.#state = state;
    this.#words = new Int32Array(buffer as ArrayBuffer, at, TABLES * TABLE_WORDS);
    this.#quads = new BigUint64Array(buffer as ArrayBuffer, at, (TABLES * TABLE_WORDS) >> 1);
    const strict = at + TLB_VIEW.strict * 2 * TLB_TABLE;
    new BigUint64Array(buffer as ArrayBuffer, strict, TLB_TABLE >> 2).fill(TLB_EMPTY);
    this.flushAll();
  }

  /** Host offset of a byte, or -1. */
  lookup(view: number, write: 0 | 1, low: number, high: number): number {
    if (view === TLB_VIEW.strict) return -1;
    const at = entryAt(view, write, low);
    if (this.#words[at] !== (low & -4096) || this.#words[at + 1] !== high) return -1;
    return (this.#words[at + 2]! + low) >>> 0;
  }

  /**
   * @param hostPage host offset of the page's first byte
   * @returns the place of the entry, for `maps` and `dropAt`, or -1
   */
  fill(view: number, write: 0 | 1, low: number, high: number, hostPage: number, global: boolean): number {
    if (view === TLB_VIEW.strict) return -1;
    const at = entryAt(view, write, low);
    const page = low & -4096;
    this.#words[at] = page;
    this.#words[at + 1] = high;
    this.#words[at + 2] = (hostPage - page) | 0;
    this.#words[at + 3] = global ? 0 : NON_GLOBAL;
    if (global) return at;
    if (this.#nonGlobalCount < TRACKED) this.#nonGlobal[this.#nonGlobalCount] = at;
    this.#nonGlobalCount++;
    return at;
  }

  /** Whether the entry at a place leads to a physical page. */
  maps(at: number, hostPage: number): boolean {
    const page = this.#words[at]!;
    return page !== EMPTY_LOW && ((this.#words[at + 2]! + page) | 0) === (hostPage | 0);
  }

  dropAt(at: number): void {
    this.#drop(at);
  }

  /** Remembers that a piece of a large page was filled. @param size as PageWalker.leafSize */
  noteLarge(size: number, low: number, high: number): void {
    if (size === 1) this.#large[(low >>> 21) & (LARGE_FILTER - 1)] = 1;
    else if (!this.#isHuge(low, high)) this.#huge[this.#hugeCount++] = hugeNumber(low, high);
  }

  flushAll(): void {
    this.#state.set32(S.walked, 0);
    this.#quads.fill(TLB_EMPTY);
    this.#large.fill(0);
    this.#hugeCount = 0;
    this.#nonGlobalCount = 0;
  }

  flushNonGlobal(): void {
    this.#dropWalked();
    if (this.#nonGlobalCount > TRACKED) this.#scanNonGlobal();
    else for (let i = 0; i < this.#nonGlobalCount; i++) this.#dropNonGlobal(this.#nonGlobal[i]!);
    this.#nonGlobalCount = 0;
  }

  /** Drops one linear page, and all of the large page it may be a piece of. */
  flushPage(low: number, high: number): void {
    // Pieces of large pages are among what generated code fills, unrecorded.
    if (high >= 0 && high < 0x8000) this.#dropWalked();
    if (this.#isHuge(low, high)) {
      this.flushAll();
      return;
    }
    this.#dropSlot(low);
    // A 4 MiB page is two neighbours of 2 MiB.
    if (this.#isLarge(low)) this.#dropRange(low & ~0x1f_ffff);
    if (this.#isLarge(low ^ 0x20_0000)) this.#dropRange((low ^ 0x20_0000) & ~0x1f_ffff);
  }

  /** Empties the table that generated code fills (interp/walk-user.ts). */
  #dropWalked(): void {
    if (this.#state.get32(S.walked) === 0) return;
    this.#state.set32(S.walked, 0);
    const from = (TLB_VIEW.user * 2 * TABLE_WORDS) >> 1;
    this.#quads.fill(TLB_EMPTY, from, from + (TABLE_WORDS >> 1));
  }

  /** Makes every store to a physical page miss. @param hostPage host offset of its first byte */
  dropWrites(hostPage: number): void {
    for (let table = 1; table < TABLES; table += 2) {
      const end = (table + 1) * TABLE_WORDS;
      for (let at = table * TABLE_WORDS; at < end; at += WORDS) {
        if (this.maps(at, hostPage)) this.#drop(at);
      }
    }
  }

  /** Also true when there are too many to tell. */
  #isHuge(low: number, high: number): boolean {
    if (this.#hugeCount >= HUGE_TRACKED) return true;
    const number = hugeNumber(low, high);
    for (let i = 0; i < this.#hugeCount; i++) if (this.#huge[i] === number) return true;
    return false;
  }

  #isLarge(low: number): boolean {
    return this.#large[(low >>> 21) & (LARGE_FILTER - 1)] !== 0;
  }

  #dropRange(from: number): void {
    for (let offset = 0; offset < 0x20_0000; offset += 4096) this.#dropSlot(from + offset);
  }

  #dropSlot(low: number): void {
    const slot = entryAt(0, 0, low);
    for (let table = 0; table < TABLES; table++) this.#drop(slot + table * TABLE_WORDS);
  }

  #scanNonGlobal(): void {
    for (let at = 0; at < this.#words.length; at += WORDS) this.#dropNonGlobal(at);
  }

  #dropNonGlobal(at: number): void {
    if ((this.#words[at + 3]! & NON_GLOBAL) !== 0) this.#drop(at);
  }

  #drop(at: number): void {
    this.#words[at] = EMPTY_LOW;
    this.#words[at + 1] = 0;
    this.#words[at + 3] = 0;
  }
}

function hugeNumber(low: number, high: number): number {
  return (high << 2) | (low >>> 30);
}

function entryAt(view: number, write: 0 | 1, low: number): number {
  return (view * 2 + write) * TABLE_WORDS + ((low >>> 12) & (TLB_ENTRIES - 1)) * WORDS;
}
