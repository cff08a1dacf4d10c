import { ENGINE, JUMP_EMPTY, JUMP_ENTRIES, JUMP_ENTRY, JUMP_HASH, JUMP_SHIFT, JUMP_TABLE, S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import type { Block } from './block-cache.ts';
import { HANDLER } from './generate.ts';
import { R } from './record.ts';

/** Entries that are remembered one by one; with more, clearing fills the whole table. */
const LIST_MAX = 4096;
const EMPTY_HIGH = Number(JUMP_EMPTY >> 32n);

/** What was put into the table of one privilege since it was last empty. */
interface Filled {
  readonly base: number;
  /** State offset of the count of changes. */
  readonly epoch: number;
  readonly entries: Int32Array;
  count: number;
  /** Linear pages, as page numbers of 36 bits. */
  readonly pages: Set<number>;
}

/** The tables from linear RIP to record that generated code reads: one for supervisor code, one for user code. */
export class JumpCache {
  readonly #state: CpuState;
  readonly #words: BigUint64Array;
  readonly #i32: Int32Array;
  readonly #supervisor: Filled;
  readonly #user: Filled;

  constructor(buffer: ArrayBufferLike, state: CpuState) {
    this.#state = state;
    this.#words = new BigUint64Array(buffer as ArrayBuffer);
    this.#i32 = new Int32Array(buffer as ArrayBuffer);
    this.#supervisor = { base: ENGINE.jumpCache, epoch: S.codeEpoch, entries: new Int32Array(LIST_MAX), count: LIST_MAX, pages: new Set() };
    this.#user = { base: ENGINE.jumpCache + JUMP_TABLE, epoch: S.codeEpoch + 4, entries: new Int32Array(LIST_MAX), count: LIST_MAX, pages: new Set() };
    this.clear(true);
  }

  /** RIP, in halves, runs this block at the privilege of the moment. */
  insert(low: number, high: number, block: Block): void {
    const filled = this.#filled();
    const entry = filled.base + ((Math.imul(low, JUMP_HASH) >>> JUMP_SHIFT) << 4);
    this.#i32[entry >> 2] = low;
    this.#i32[(entry >> 2) + 1] = high;
    this.#i32[(entry >> 2) + 2] = block.record;
    this.#i32[(entry >> 2) + 3] = block.linkable ? 1 : 0;
    if (filled.count < LIST_MAX) filled.entries[filled.count++] = entry;
    filled.pages.add(pageNumber(low, high));
  }

  /** Code of a page runs that was not looked up here. */
  fetched(low: number, high: number): void {
    this.#filled().pages.add(pageNumber(low, high));
  }

  /** The table of the privilege of the moment. */
  #filled(): Filled {
    return this.#state.get32(S.jumpCache) === this.#user.base ? this.#user : this.#supervisor;
  }

  /** Forgets user code, or all code. */
  clear(supervisor: boolean): void {
    this.#empty(this.#user);
    if (supervisor) this.#empty(this.#supervisor);
    this.#state.set32(S.link, 0);
  }

  /** Forgets entries whose records are no longer valid: a branch would be linked to them for good. */
  dropStale(): void {
    for (const filled of [this.#user, this.#supervisor]) {
      const listed = filled.count < LIST_MAX;
      const count = listed ? filled.count : JUMP_ENTRIES;
      for (let i = 0; i < count; i++) {
        const entry = listed ? filled.entries[i]! : filled.base + i * JUMP_ENTRY;
        const word = entry >> 2;
        if (this.#i32[word + 1] === EMPTY_HIGH) continue;
        if (this.#i32[(this.#i32[word + 2]! + R.handler) >> 2] === HANDLER.stale) this.#words[entry >> 3] = JUMP_EMPTY;
      }
    }
    this.#state.set32(S.link, 0);
  }

  /** INVLPG: only pages that were fetched from matter; an instruction may reach in from the page before. */
  flushPage(low: number, high: number): void {
    const page = pageNumber(low, high);
    for (const filled of [this.#user, this.#supervisor]) {
      if (!filled.pages.has(page) && !filled.pages.has(page - 1)) continue;
      this.#empty(filled);
      this.#state.set32(S.link, 0);
    }
  }

  #empty(filled: Filled): void {
    this.#state.set32(filled.epoch, this.#state.get32(filled.epoch) + 1);
    if (filled.count < LIST_MAX) {
      for (let i = 0; i < filled.count; i++) this.#words[filled.entries[i]! >> 3] = JUMP_EMPTY;
    } else {
      this.#words.fill(JUMP_EMPTY, filled.base >> 3, (filled.base + JUMP_TABLE) >> 3);
    }
    filled.count = 0;
    filled.pages.clear();
  }
}

function pageNumber(low: number, high: number): number {
  return (high & 0xffff) * 0x10_0000 + (low >>> 12);
}
