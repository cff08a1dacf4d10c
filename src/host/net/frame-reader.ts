/** Bytes of the number in front of each frame. */
export const PREFIX = 4;

/**
 * Cuts a byte stream into frames, each behind its length as a big-endian 32-bit number. Most frames are views into the
 * chunk they came in; one that is spread over several is put together in a buffer of the reader's own.
 */
export class FrameReader {
  readonly #min: number;
  readonly #max: number;
  readonly #pieces: Uint8Array;
  readonly #prefix: DataView;
  #chunk: Uint8Array = NOTHING;
  #at = 0;
  /** Bytes in `#pieces`. */
  #gathered = 0;
  #frame: Uint8Array | undefined;
  #isBroken = false;

  /** Shorter frames are skipped; a longer one breaks the stream, since what follows would be guesswork. */
  constructor({ min, max }: { readonly min: number; readonly max: number }) {
    this.#min = min;
    this.#max = max;
    this.#pieces = new Uint8Array(PREFIX + max);
    this.#prefix = new DataView(this.#pieces.buffer);
  }

  /** A frame that is too long was announced. Nothing comes any more. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Takes the next bytes of the stream; only when `peek` has nothing. They are not copied. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** The frame that is first, without its length; undefined when there is none that is complete. */
  peek(): Uint8Array | undefined {
    while (this.#frame === undefined && !this.#isBroken) {
      const frame = this.#gathered > 0 ? this.#gather() : this.#inChunk();
      if (frame === undefined) return undefined;
      if (frame.length >= this.#min) this.#frame = frame;
    }
    return this.#frame;
  }

  drop(): void {
    this.#frame = undefined;
  }

  #inChunk(): Uint8Array | undefined {
    const chunk = this.#chunk;
    const at = this.#at;
    const left = chunk.length - at;
    if (left >= PREFIX) {
      const length = lengthAt(chunk, at);
      if (length > this.#max) return this.#break();
      if (left >= PREFIX + length) {
        this.#at = at + PREFIX + length;
        return chunk.subarray(at + PREFIX, this.#at);
      }
    }
    this.#take(left);
    return undefined;
  }

  #gather(): Uint8Array | undefined {
    if (this.#gathered < PREFIX && !this.#fill(PREFIX)) return undefined;
    const length = this.#prefix.getUint32(0);
    if (length > this.#max) return this.#break();
    if (!this.#fill(PREFIX + length)) return undefined;
    this.#gathered = 0;
    return this.#pieces.subarray(PREFIX, PREFIX + length);
  }

  /** Gathers until there are `total` bytes; false when the chunk does not have them. */
  #fill(total: number): boolean {
    this.#take(Math.min(total - this.#gathered, this.#chunk.length - this.#at));
    return this.#gathered === total;
  }

  #take(count: number): void {
    this.#pieces.set(this.#chunk.subarray(this.#at, this.#at + count), this.#gathered);
    this.#gathered += count;
    this.#at += count;
  }

  #break(): undefined {
    this.#isBroken = true;
    this.#chunk = NOTHING;
    this.#at = 0;
    return undefined;
  }
}

const NOTHING = new Uint8Array(0);

function lengthAt(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}
