/** A growing byte buffer with the encodings of the WebAssembly binary format. @spec WASM-2 §5.2 */
export class ByteWriter {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
  }

  u8(value: number): this {
    if (this.length === this.bytes.length) this.#grow(1);
    this.bytes[this.length++] = value;
    return this;
  }

  raw(data: ArrayLike<number>): this {
    if (this.length + data.length > this.bytes.length) this.#grow(data.length);
    this.bytes.set(data, this.length);
    this.length += data.length;
    return this;
  }

  /** Unsigned LEB128 of an integer in 0..2**32-1. */
  u32(value: number): this {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    return this.u8(rest);
  }

  /** Signed LEB128 of a 32-bit integer. */
  s32(value: number): this {
    let rest = value | 0;
    for (;;) {
      const byte = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)) return this.u8(byte);
      this.u8(byte | 0x80);
    }
  }

  /** Signed LEB128 of a 64-bit integer; bits above 64 are dropped. */
  s64(value: bigint): this {
    let rest = BigInt.asIntN(64, value);
    if (rest >= -0x8000_0000n && rest <= 0x7fff_ffffn) return this.s32(Number(rest));
    for (;;) {
      const byte = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (byte & 0x40) === 0) || (rest === -1n && (byte & 0x40) !== 0)) return this.u8(byte);
      this.u8(byte | 0x80);
    }
  }

  name(text: string): this {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.u8(text.charCodeAt(i));
    return this;
  }

  /** The bytes written so far; a view, valid until the next write. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  #grow(extra: number): void {
    const bigger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + extra));
    bigger.set(this.view());
    this.bytes = bigger;
  }
}
