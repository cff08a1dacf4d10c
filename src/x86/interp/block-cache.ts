import type { Decoder } from '../decode/decode.ts';
import { INVALID } from '../decode/decode.ts';
import type { CodeMode, Instruction } from '../decode/instruction.ts';
import type { Definition } from '../isa/definition.ts';
import type { CodePages } from '../mmu/code-pages.ts';
import { ENGINE, ENGINE_BYTES } from '../state/layout.ts';
import { GuestException, VECTOR } from '../system/exception.ts';
import type { BlockInstruction, BlockLayout } from './block-layout.ts';
import { HANDLER } from './generate.ts';
import { BLOCK_MAX, LINK_NONE, PROFILE, R, RECORD_BYTES } from './record.ts';
import { ENDED } from './template-layout.ts';
import type { Templates } from './templates.ts';
import { needsPreparation, type Translator } from './translate.ts';

/** Bytes of the longest instruction. */
const INSTRUCTION_MAX = 15;
/** Room that a block may need: two records per instruction, the count of entries and the jump at its end. */
const BLOCK_BYTES = (BLOCK_MAX * 2 + 2) * RECORD_BYTES;
/** Pages that blocks are kept of, device memory included, and instructions that TypeScript executes: both cost host memory. */
const PAGES_MAX = 1 << 17;
const INSTRUCTIONS_MAX = 1 << 18;

/** Where code lies: physical addresses of the page of its first byte and, when an instruction may cross, of the next page. */
export interface CodePlace {
  readonly physical: number;
  /** Physical address of the next linear page; only asked for when needed. @throws {GuestException} */
  nextPage(): number;
}

interface PageBlocks {
  /** page offset * 64 + mode -> record. */
  readonly entries: Map<number, number>;
  /** Pairs of start and end addresses of the records made from this page. */
  readonly ranges: number[];
}

/** A block that was found or made. */
export interface Block {
  record: number;
  /** Branches may be linked to it: it lies in one page. */
  linkable: boolean;
}

/**
 * Records by the physical place of their code. Blocks of a page that is written are marked stale, in place: whoever reaches
 * one of their records, through a link or in the middle of a block, comes back for a new translation.
 */
export class BlockCache {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #decoder: Decoder;
  readonly #translator: Translator;
  readonly #templates: Templates;
  readonly #codePages: CodePages;
  readonly #ramBytes: number;
  readonly #pages = new Map<number, PageBlocks>();
  #next: number = ENGINE.records;
  readonly #crossing = new Uint8Array(INSTRUCTION_MAX);
  /** All records are gone: links and jump caches must go as well. */
  onReset: () => void = () => {};
  /** The blocks of a physical page are stale. */
  onDrop: (page: number) => void = () => {};
  /** Records became stale: a jump cache that still names them would link branches to them for good. */
  onStale: () => void = () => {};
  #threshold = 0;
  readonly #found: Block = { record: 0, linkable: true };

  constructor(parts: { buffer: ArrayBufferLike; decoder: Decoder; translator: Translator; templates: Templates; codePages: CodePages; ramBytes: number }) {
    this.#view = new DataView(parts.buffer as ArrayBuffer);
    this.#bytes = new Uint8Array(parts.buffer as ArrayBuffer);
    this.#decoder = parts.decoder;
    this.#translator = parts.translator;
    this.#templates = parts.templates;
    this.#codePages = parts.codePages;
    this.#ramBytes = parts.ramBytes;
    this.#codePages.onInvalidate = (page) => this.#invalidate(page);
  }

  /** The block at a physical address; made if there is none. The answer is valid until the next call. */
  find(place: CodePlace, mode: CodeMode, modeIndex: number): Block {
    const page = Math.floor(place.physical / 4096);
    const key = (place.physical % 4096) * 64 + modeIndex;
    const found = this.#pages.get(page)?.entries.get(key);
    if (found !== undefined) {
      this.#found.record = found;
      this.#found.linkable = true;
      return this.#found;
    }
    return this.#make(place, page, mode, key);
  }

  /** A block of one instruction that no cache knows: for single steps. */
  single(place: CodePlace, mode: CodeMode): Block {
    this.#makeRoom();
    return this.#make(place, Math.floor(place.physical / 4096), mode, -1);
  }

  /** Blocks of 64-bit code report when they were entered this often; 0: never. */
  get threshold(): number {
    return this.#threshold;
  }

  /** Applies to the blocks that there are as well. */
  set threshold(entries: number) {
    const less = this.#threshold - entries;
    this.#threshold = entries;
    if (less === 0) return;
    for (const [key, record] of this.#counting()) {
      const left = this.#view.getInt32(record + PROFILE.left, true);
      if (key % 4 === 2 && left > 0) this.#view.setInt32(record + PROFILE.left, Math.max(1, left - less), true);
    }
  }

  /** First record of a block that `find` has made. */
  recordAt(page: number, offset: number, modeIndex: number): number | undefined {
    return this.#pages.get(page)?.entries.get(offset * 64 + modeIndex);
  }

  /** Offsets and first records of the blocks of a page. */
  *blocksOf(page: number, modeIndex: number): Generator<readonly [offset: number, record: number]> {
    for (const [key, record] of this.#pages.get(page)?.entries ?? []) if (key % 64 === modeIndex) yield [(key - modeIndex) / 64, record];
  }

  *#counting(): Generator<readonly [key: number, record: number]> {
    for (const { entries } of this.#pages.values()) yield* entries;
  }

  /** A block that `find` has made: its instructions and their records. Only of blocks that count their entries. */
  layout(page: number, offset: number, mode: CodeMode, modeIndex: number): BlockLayout | undefined {
    const record = this.#pages.get(page)?.entries.get(offset * 64 + modeIndex);
    if (record === undefined) return undefined;
    const instructions: BlockInstruction[] = [];
    let next = record + RECORD_BYTES;
    let end = offset;
    let open = true;
    while (open && instructions.length < BLOCK_MAX && end < 4096) {
      const decoded = this.#decodeInPage(page, end, mode);
      if (decoded === undefined) break;
      const insn = allowed(decoded);
      instructions.push({ insn, record: next, offset: end });
      next += insn.def.semantics !== undefined && needsPreparation(insn, end) ? 2 * RECORD_BYTES : RECORD_BYTES;
      end += insn.length;
      open = insn.def.ends !== true;
    }
    return { record, offset, instructions, end, endRecord: open ? next : next - RECORD_BYTES, open };
  }

  /** Decodes without translating: to know more about an instruction that faulted. */
  decodeAt(place: CodePlace, mode: CodeMode): Instruction | undefined {
    return this.#decodeInPage(Math.floor(place.physical / 4096), place.physical % 4096, mode);
  }

  #makeRoom(): void {
    const crowded = this.#pages.size >= PAGES_MAX || this.#translator.instructions.size >= INSTRUCTIONS_MAX;
    if (crowded || this.#next + BLOCK_BYTES > ENGINE.recordsEnd) this.forget();
  }

  /** Drops all records, because there is no more room or because memory is not what it was. */
  forget(): void {
    this.#pages.clear();
    this.#translator.instructions.clear();
    this.#next = ENGINE.records;
    this.onReset();
  }

  #make(place: CodePlace, page: number, mode: CodeMode, key: number): Block {
    this.#makeRoom();
    const start = this.#next;
    const from = place.physical % 4096;
    let offset = from;
    let at = start;
    let count = 0;
    let open = true;
    const limit = key < 0 ? 1 : BLOCK_MAX;
    if (key >= 0 && this.#threshold > 0 && mode.bits === 64)
      at = this.#translator.writeProfile(at, { pageOffset: offset, page, modeIndex: key % 64, count: this.#threshold });
    const known = key >= 0 && mode.bits === 64 && page * 4096 + 4096 <= this.#ramBytes;
    while (open && count < limit && offset < 4096) {
      const quick = known && offset <= 4096 - INSTRUCTION_MAX;
      if (quick) {
        const place = this.#templates.write(at, ENGINE_BYTES + page * 4096 + offset, mode.fpu, offset | ((count + 1) << 24));
        const done = (place >>> 24) - 1 - count;
        at += done * RECORD_BYTES;
        count += done;
        offset = place & 0xffff;
        open = (place & ENDED) === 0;
        if (!open || count === limit || offset > 4096 - INSTRUCTION_MAX) continue;
      }
      const insn = this.#decodeInPage(page, offset, mode);
      if (insn === undefined) break; // reaches into the next page
      const next = this.#translator.write(at, allowed(insn), offset, ++count);
      if (quick && next === at + RECORD_BYTES) this.#templates.learn(this.#view.getUint32(at + R.handler, true), allowed(insn));
      at = next;
      offset += insn.length;
      open = insn.def.ends !== true;
    }
    if (count === 0) return this.#makeCrossing(place, page, mode);
    if (open) at = this.#translator.writeJump(at, offset, count, offset, offset < 4096 ? LINK_NONE : 1);
    this.#next = at;
    this.#remember(page, start, at, page * 4096 + from, offset - from);
    if (key >= 0) this.#pages.get(page)!.entries.set(key, start);
    this.#found.record = start;
    this.#found.linkable = true;
    return this.#found;
  }

  /** Undefined when the instruction reaches into the next page. */
  #decodeInPage(page: number, offset: number, mode: CodeMode): Instruction | undefined {
    if (page * 4096 + 4096 > this.#ramBytes) return this.#decoder.decode(INVALID_BYTES, mode);
    const host = ENGINE_BYTES + page * 4096 + offset;
    const length = Math.min(INSTRUCTION_MAX, 4096 - offset);
    const insn = this.#decoder.decode(this.#bytes.subarray(host, host + length), mode);
    return insn === undefined && length === INSTRUCTION_MAX ? this.#tooLong(mode) : insn;
  }

  /** More than 15 bytes are a fault, whatever they say. @spec SDM-2A §2.3.11 */
  #tooLong(mode: CodeMode): Instruction {
    return { ...this.#decoder.decode(INVALID_BYTES, mode)!, def: TOO_LONG };
  }

  /** One instruction whose bytes lie in two pages: valid only as long as both are mapped where they are now. */
  #makeCrossing(place: CodePlace, page: number, mode: CodeMode): Block {
    const offset = place.physical % 4096;
    const second = place.nextPage();
    const inFirst = 4096 - offset;
    const first = ENGINE_BYTES + place.physical;
    this.#crossing.set(this.#bytes.subarray(first, first + inFirst));
    const next = ENGINE_BYTES + second;
    if (second + 4096 <= this.#ramBytes) this.#crossing.set(this.#bytes.subarray(next, next + INSTRUCTION_MAX - inFirst), inFirst);
    else this.#crossing.fill(0xff, inFirst);
    const insn = this.#decoder.decode(this.#crossing, mode) ?? this.#tooLong(mode);
    const start = this.#next;
    let at = this.#translator.write(start, allowed(insn), offset, 1);
    const end = offset + insn.length;
    if (insn.def.ends !== true) at = this.#translator.writeJump(at, end, 1, end, 1);
    this.#next = at;
    this.#remember(page, start, at, place.physical, inFirst);
    this.#remember(second / 4096, start, at, second, Math.max(end - 4096, 1));
    this.#found.record = start;
    this.#found.linkable = false;
    return this.#found;
  }

  #remember(page: number, start: number, end: number, physical: number, length: number): void {
    let blocks = this.#pages.get(page);
    if (blocks === undefined) {
      blocks = { entries: new Map(), ranges: [] };
      this.#pages.set(page, blocks);
    }
    blocks.ranges.push(start, end);
    this.#codePages.mark(physical, length);
  }

  #invalidate(physical: number): void {
    const page = Math.floor(physical / 4096);
    const blocks = this.#pages.get(page);
    if (blocks === undefined) return;
    this.#pages.delete(page);
    for (let i = 0; i < blocks.ranges.length; i += 2) {
      for (let at = blocks.ranges[i]!; at < blocks.ranges[i + 1]!; at += RECORD_BYTES) this.#view.setUint32(at + R.handler, HANDLER.stale, true);
    }
    this.onStale();
    this.onDrop(page);
  }
}

/** 0F FF: no instruction. */
const INVALID_BYTES = new Uint8Array([0x0f, 0xff, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90]);

/** The instruction itself, or one that raises #NM or #UD in its place when its unit is off. @spec SDM-2A §2.4 */
function allowed(insn: Instruction): Instruction {
  const { unit } = insn.def;
  const { fpu } = insn.mode;
  if (unit === undefined || fpu === 0) return insn;
  const undefinedOpcode = unit === 'sse' ? fpu & 4 : unit === 'mmx' ? fpu & 8 : 0;
  if (undefinedOpcode !== 0) return { ...insn, def: INVALID };
  const unavailable = unit === 'sse' ? fpu & 2 : fpu & 1;
  return unavailable !== 0 ? { ...insn, def: UNAVAILABLE } : insn;
}

const TOO_LONG: Definition = {
  name: '(too long)',
  opcode: '0F FF',
  ends: true,
  system: () => {
    throw new GuestException(VECTOR.GP, 0);
  },
};

const UNAVAILABLE: Definition = {
  name: '(unavailable)',
  opcode: '0F FF',
  ends: true,
  system: () => {
    throw new GuestException(VECTOR.NM);
  },
};
