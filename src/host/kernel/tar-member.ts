import { KernelError } from './kernel-error.ts';

const BLOCK = 512;

/**
 * Picks one regular file out of a tar stream, chunk by chunk. Long names (pax, GNU) are not followed: they belong to
 * members that nobody asks for here. @spec USTAR "ustar Interchange Format"
 */
export class TarMember {
  readonly #wanted: string;
  readonly #header = new Uint8Array(BLOCK);
  #headerBytes = 0;
  /** Content bytes of the current member that are still to come, and the padding behind them. */
  #content = 0;
  #padding = 0;
  #inside = false;
  #found = false;

  /** Set once the header of the wanted file was seen. */
  get found(): boolean {
    return this.#found;
  }

  constructor(wanted: string) {
    this.#wanted = wanted;
  }

  /** Yields the parts of `chunk` that belong to the wanted file; views, valid while the chunk is. */
  *push(chunk: Uint8Array): Generator<Uint8Array, void, void> {
    for (let at = 0; at < chunk.length; ) {
      if (this.#content > 0) {
        const part = chunk.subarray(at, at + this.#content);
        this.#content -= part.length;
        at += part.length;
        if (this.#inside) yield part;
      } else if (this.#padding > 0) {
        const skipped = Math.min(this.#padding, chunk.length - at);
        this.#padding -= skipped;
        at += skipped;
      } else {
        const part = chunk.subarray(at, at + BLOCK - this.#headerBytes);
        this.#header.set(part, this.#headerBytes);
        this.#headerBytes += part.length;
        at += part.length;
        if (this.#headerBytes === BLOCK) this.#readHeader();
      }
    }
  }

  #readHeader(): void {
    this.#headerBytes = 0;
    this.#inside = false;
    const header = this.#header;
    if (header.every((byte) => byte === 0)) return; // the two blocks at the end
    if (checksum(header) !== octal(header, 148, 8)) throw damaged('a header with a wrong checksum');
    const size = octal(header, 124, 12);
    const prefix = text(header, 345, 155);
    const name = text(header, 0, 100);
    const type = header[156];
    this.#inside =
      !this.#found && (type === 0 || type === 0x30) && (prefix === '' ? name : `${prefix}/${name}`) === this.#wanted;
    this.#found ||= this.#inside;
    this.#content = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
  }
}

function checksum(header: Uint8Array): number {
  return header.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 0x20 : byte), 0);
}

function text(header: Uint8Array, at: number, length: number): string {
  const field = header.subarray(at, at + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

function octal(header: Uint8Array, at: number, length: number): number {
  const digits = text(header, at, length).trim();
  if (!/^[0-7]+$/.test(digits)) throw damaged('a number that is not octal');
  return Number.parseInt(digits, 8);
}

function damaged(found: string): KernelError {
  return new KernelError('ERR_KERNEL_INTEGRITY', `Cannot unpack the kernel package: ${found}`);
}
