/** The end of what the console printed, bounded. */
export class ConsoleTail {
  readonly #bytes: Uint8Array;
  #written = 0;

  constructor(sizeMax = 64 * 1024) {
    this.#bytes = new Uint8Array(sizeMax);
  }

  push(chunk: Uint8Array): void {
    const size = this.#bytes.length;
    const kept = chunk.subarray(Math.max(0, chunk.length - size));
    this.#written += chunk.length - kept.length;
    const at = this.#written % size;
    const first = kept.subarray(0, size - at);
    this.#bytes.set(first, at);
    this.#bytes.set(kept.subarray(first.length), 0);
    this.#written += kept.length;
  }

  /** Decoded as UTF-8; a cut first line is left out. */
  toString(): string {
    const size = this.#bytes.length;
    if (this.#written <= size) return new TextDecoder().decode(this.#bytes.subarray(0, this.#written));
    const at = this.#written % size;
    const ordered = new Uint8Array(size);
    ordered.set(this.#bytes.subarray(at), 0);
    ordered.set(this.#bytes.subarray(0, at), size - at);
    const newline = ordered.indexOf(10);
    return new TextDecoder().decode(ordered.subarray(newline + 1));
  }
}
