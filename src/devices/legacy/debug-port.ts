import type { AccessSize, BusDevice } from '../../bus/bus.ts';

/** The port that firmware made for virtual machines prints to. */
export const DEBUG_PORT = 0x402;

/** What it reads when somebody listens. */
const PRESENT = 0xe9;
const LINE_MAX = 400;
/** A guest that prints for ever is not heard for ever. */
const BYTES_MAX = 65536;

/** Collects lines that firmware prints, one byte per write. */
export class DebugPort implements BusDevice {
  readonly #onLine: (line: string) => void;
  #line = '';
  #left = BYTES_MAX;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  read(_offset: number, _size: AccessSize): number {
    return PRESENT;
  }

  write(_offset: number, _size: AccessSize, value: number): void {
    if (this.#left === 0) return;
    this.#left--;
    const byte = value & 0xff;
    if (byte >= 0x20 && byte < 0x7f) this.#line += String.fromCharCode(byte);
    const isFull = this.#line.length === LINE_MAX || this.#left === 0;
    if (byte !== 0x0a && !isFull) return;
    const line = this.#line;
    this.#line = '';
    if (line !== '') this.#onLine(line);
  }
}
