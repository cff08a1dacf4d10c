import { badKernel } from './limits.ts';
import { Output } from './output.ts';

const BLOCK_MAGIC = 0x3141_5926_5359;
const END_MAGIC = 0x1772_4538_5090;
const GROUP_SYMBOLS = 50;
const CODE_BITS_MAX = 20;
const SELECTORS_MAX = 18_002;
const RUN_A = 0;
const RUN_B = 1;

/**
 * Decodes one bzip2 stream; what is behind it is not looked at. Checksums of blocks are compared.
 *
 * @spec BZIP2   @throws {BootError} ERR_KERNEL_IMAGE
 */
export function bunzip2(data: Uint8Array): Uint8Array {
  const bits = new Bits(data);
  if (bits.read(24) !== 0x42_5a68) throw damaged('no stream'); // "BZh"
  const level = bits.read(8) - 0x30;
  if (level < 1 || level > 9) throw damaged('its block size is unknown');
  const words = new Uint32Array(level * 100_000);
  const output = new Output();
  for (;;) {
    const magic = bits.read(24) * 2 ** 24 + bits.read(24);
    const crc = bits.read(16) * 2 ** 16 + bits.read(16);
    if (magic === END_MAGIC) return output.taken();
    if (magic !== BLOCK_MAGIC) throw damaged('no block where one should begin');
    if (writeBlock(readBlock(bits, words), output) !== crc) throw damaged('the checksum of a block differs');
  }
}

interface Block {
  /** Low byte: the byte at this place of the last column; above it, the place of the following one. */
  readonly words: Uint32Array;
  readonly length: number;
  readonly origin: number;
}

/** A block up to and including the inverse of the move-to-front and Huffman stages. */
function readBlock(bits: Bits, words: Uint32Array): Block {
  if (bits.read(1) !== 0) throw damaged('a randomized block');
  const origin = bits.read(24);
  const front = usedBytes(bits);
  const endOfBlock = front.length + 1;
  const tables = bits.read(3);
  const selectors = readSelectors(bits, tables);
  const codes = Array.from({ length: tables }, () => new Code(readLengths(bits, endOfBlock + 1)));
  const counts = new Uint32Array(256);
  let length = 0;
  let run = 0;
  let weight = 1;
  let group = 0;
  let left = 0;
  let code: Code | undefined;
  const repeat = (): void => {
    const byte = front[0] ?? 0;
    if (run > words.length - length) throw damaged('a block runs over');
    words.fill(byte, length, length + run);
    counts[byte]! += run;
    length += run;
    run = 0;
    weight = 1;
  };
  for (;;) {
    if (left-- === 0) {
      code = codes[selectors[group++] ?? -1];
      left = GROUP_SYMBOLS - 1;
    }
    if (code === undefined) throw damaged('a block has too few groups');
    const symbol = code.read(bits);
    if (symbol === RUN_A || symbol === RUN_B) {
      run += weight << symbol;
      weight *= 2;
      if (weight > words.length * 2) throw damaged('a run is too long');
      continue;
    }
    if (run > 0) repeat();
    if (symbol === endOfBlock) break;
    const index = symbol - 1;
    const byte = front[index]!;
    front.copyWithin(1, 0, index);
    front[0] = byte;
    if (length === words.length) throw damaged('a block runs over');
    words[length++] = byte;
    counts[byte]!++;
  }
  if (origin >= length) throw damaged('a block begins outside itself');
  link(words, length, counts);
  return { words, length, origin };
}

/** The inverse of the Burrows-Wheeler transform: each place learns where its successor is. */
function link(words: Uint32Array, length: number, counts: Uint32Array): void {
  let sum = 0;
  for (let byte = 0; byte < 256; byte++) {
    const count = counts[byte]!;
    counts[byte] = sum;
    sum += count;
  }
  for (let i = 0; i < length; i++) words[counts[words[i]! & 0xff]!++]! |= i << 8;
}

/** The last stage: after four equal bytes comes how often the byte follows. @returns the checksum */
function writeBlock({ words, length, origin }: Block, output: Output): number {
  let crc = -1;
  let at = words[origin]! >>> 8;
  let previous = -1;
  let same = 0;
  for (let i = 0; i < length; i++) {
    const word = words[at]!;
    const byte = word & 0xff;
    at = word >>> 8;
    const isCount = same === 4;
    const times = isCount ? byte : 1;
    const value = isCount ? previous : byte;
    output.reserve(times);
    for (let n = 0; n < times; n++) {
      output.bytes[output.length++] = value;
      crc = (crc << 8) ^ CRC_TABLE[(crc >>> 24) ^ value]!;
    }
    same = isCount ? 0 : byte === previous ? same + 1 : 1;
    previous = isCount ? -1 : byte;
  }
  return ~crc >>> 0;
}

/** Which bytes occur, in their order: the initial list of the move-to-front stage. */
function usedBytes(bits: Bits): Uint8Array {
  const rows = bits.read(16);
  const used: number[] = [];
  for (let row = 0; row < 16; row++) {
    if ((rows & (0x8000 >> row)) === 0) continue;
    const columns = bits.read(16);
    for (let column = 0; column < 16; column++) if ((columns & (0x8000 >> column)) !== 0) used.push(row * 16 + column);
  }
  if (used.length === 0) throw damaged('a block without bytes');
  return Uint8Array.from(used);
}

/** Which table each group of symbols uses, sent as places in a list that is kept moved to front. */
function readSelectors(bits: Bits, tables: number): Uint8Array {
  if (tables < 2 || tables > 6) throw damaged(`a block with ${tables} tables`);
  const count = bits.read(15);
  if (count === 0) throw damaged('a block without groups');
  const order = Uint8Array.from({ length: tables }, (_, index) => index);
  const selectors = new Uint8Array(Math.min(count, SELECTORS_MAX));
  for (let i = 0; i < count; i++) {
    let place = 0;
    while (bits.read(1) === 1) if (++place >= tables) throw damaged('a group without a table');
    const table = order[place]!;
    order.copyWithin(1, 0, place);
    order[0] = table;
    if (i < selectors.length) selectors[i] = table;
  }
  return selectors;
}

function readLengths(bits: Bits, symbols: number): Uint8Array {
  const lengths = new Uint8Array(symbols);
  let length = bits.read(5);
  for (let symbol = 0; symbol < symbols; symbol++) {
    while (bits.read(1) === 1) length += bits.read(1) === 0 ? 1 : -1;
    if (length < 1 || length > CODE_BITS_MAX) throw damaged(`a code of ${length} bits`);
    lengths[symbol] = length;
  }
  return lengths;
}

/** A canonical prefix code: symbols in order of length, then of number. */
class Code {
  /** For each length, the first code that is longer, aligned to 20 bits. */
  readonly #limits = new Uint32Array(CODE_BITS_MAX + 1);
  /** For each length, what to take off a code to get its place in `#symbols`. */
  readonly #offsets = new Int32Array(CODE_BITS_MAX + 1);
  readonly #symbols: number[] = [];

  constructor(lengths: Uint8Array) {
    let code = 0;
    for (let length = 1; length <= CODE_BITS_MAX; length++) {
      this.#offsets[length] = code - this.#symbols.length;
      lengths.forEach((own, symbol) => {
        if (own === length) this.#symbols.push(symbol);
      });
      code += this.#symbols.length + this.#offsets[length]! - code;
      this.#limits[length] = code * 2 ** (CODE_BITS_MAX - length);
      code *= 2;
    }
  }

  read(bits: Bits): number {
    const ahead = bits.peek20();
    for (let length = 1; length <= CODE_BITS_MAX; length++) {
      if (ahead >= this.#limits[length]!) continue;
      bits.skip(length);
      return this.#symbols[(ahead >>> (CODE_BITS_MAX - length)) - this.#offsets[length]!] ?? unknownCode();
    }
    return unknownCode();
  }
}

/** Bits of a byte array, the highest of each byte first. */
class Bits {
  readonly #data: Uint8Array;
  #at = 0;
  #held = 0;
  #count = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  /** Up to 24. */
  read(count: number): number {
    while (this.#count < count) this.#fill();
    this.#count -= count;
    return (this.#held >>> this.#count) & ((1 << count) - 1);
  }

  /** The next 20; zeros behind the end, where only `skip` finds out that nothing is left. */
  peek20(): number {
    while (this.#count < CODE_BITS_MAX && this.#at < this.#data.length) this.#fill();
    if (this.#count >= CODE_BITS_MAX) return (this.#held >>> (this.#count - CODE_BITS_MAX)) & 0xf_ffff;
    return (this.#held << (CODE_BITS_MAX - this.#count)) & 0xf_ffff;
  }

  skip(count: number): void {
    if (count > this.#count) throw damaged('it is cut short');
    this.#count -= count;
  }

  /** The word holds 31 bits at most: 23 wait when this is called. */
  #fill(): void {
    if (this.#at >= this.#data.length) throw damaged('it is cut short');
    this.#held = ((this.#held << 8) | this.#data[this.#at++]!) >>> 0;
    this.#count += 8;
  }
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc < 0 ? (crc << 1) ^ 0x04c1_1db7 : crc << 1;
  return crc;
});

function unknownCode(): never {
  throw damaged('an unknown code');
}

function damaged(state: string) {
  return badKernel(`its bzip2 data is damaged: ${state}`);
}
