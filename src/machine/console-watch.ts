import { KiB } from '../base/units.ts';
import type { ConsoleBackend, ConsolePort, PortOutput } from '../devices/virtio-console/index.ts';

const TAIL_BYTES = 64 * KiB;
const PANIC = Array.from('Kernel panic - not syncing', (character) => character.charCodeAt(0));

/**
 * Looks at what consoles print on its way out: keeps the end of it, and notices a kernel panic.
 * Nothing is allocated per write.
 */
export class ConsoleWatch {
  readonly #tail = new Uint8Array(TAIL_BYTES);
  readonly #onOutput: () => void;
  #written = 0;
  #matched = 0;
  #panicked = false;

  /** @param onOutput called for each write on any port */
  constructor(onOutput: () => void) {
    this.#onOutput = onOutput;
  }

  /** Whether the text of a kernel panic came by on a console. A guest can print it too: a hint, not a proof. */
  get panicked(): boolean {
    return this.#panicked;
  }

  /** The same backend, watched. Only what consoles print is kept; further ports only count as output. */
  wrap(backend: ConsoleBackend): ConsoleBackend {
    return { ...backend, ports: backend.ports.map((port) => this.#wrapPort(port)) };
  }

  /** The last 64 KiB that consoles printed, a copy. */
  tail(): Uint8Array {
    if (this.#written <= TAIL_BYTES) return this.#tail.slice(0, this.#written);
    const at = this.#written % TAIL_BYTES;
    const ordered = new Uint8Array(TAIL_BYTES);
    ordered.set(this.#tail.subarray(at), 0);
    ordered.set(this.#tail.subarray(0, at), TAIL_BYTES - at);
    return ordered;
  }

  #wrapPort(port: ConsolePort): ConsolePort {
    const { output } = port;
    if (output === undefined) return port;
    const watched: PortOutput = {
      write: (bytes) => {
        this.#onOutput();
        const taken = output.write(bytes);
        if (port.console) this.#see(bytes, taken);
        return taken;
      },
      onWritable: (callback) => output.onWritable(callback),
    };
    return { ...port, output: watched };
  }

  #see(bytes: Uint8Array, length: number): void {
    for (let i = 0; i < length; i++) {
      const byte = bytes[i]!;
      this.#tail[this.#written % TAIL_BYTES] = byte;
      this.#written++;
      this.#match(byte);
    }
  }

  /** The text's first letter occurs nowhere else in it, so a mismatch never has to look back. */
  #match(byte: number): void {
    if (byte === PANIC[this.#matched]) this.#matched++;
    else this.#matched = byte === PANIC[0] ? 1 : 0;
    if (this.#matched < PANIC.length) return;
    this.#panicked = true;
    this.#matched = 0;
  }
}
