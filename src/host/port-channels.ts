import { closeSync, openSync, writeSync } from 'node:fs';
import type { PortInput, PortOutput, Terminal, TerminalSize } from '../devices/virtio-console/backend.ts';

/** The interrupt character of a terminal. */
const CTRL_C = 3;

/** A hostile guest ends with a queue that claims gigabytes. */
const DRAIN_MAX = 16 * 1024 * 1024;

/** Output of a port that goes to another thread, which says how much of it was taken: the guest waits for the rest. */
export class OutputChannel implements PortOutput {
  readonly #send: (chunk: Uint8Array) => void;
  #room: number;
  #onWritable: (() => void) | undefined;

  /** @param window bytes that may be under way and untaken */
  constructor(window: number, send: (chunk: Uint8Array) => void) {
    this.#room = window;
    this.#send = send;
  }

  write(bytes: Uint8Array): number {
    const length = Math.min(bytes.length, this.#room);
    if (length === 0) return 0;
    this.#room -= length;
    this.#send(bytes.slice(0, length));
    return length;
  }

  onWritable(callback: (() => void) | undefined): void {
    this.#onWritable = callback;
  }

  /** The other side took this many bytes. */
  consumed(bytes: number): void {
    this.#room += bytes;
    this.#onWritable?.();
  }

  /** The machine is over: what the guest left in its queue is sent without waiting, unless it is more than anybody writes. */
  drain(): void {
    this.#room += DRAIN_MAX;
    this.#onWritable?.();
  }
}

/** Input of a port that comes from another thread, which is told how much of it the guest took. */
export class InputChannel implements PortInput {
  readonly #taken: (bytes: number) => void;
  readonly #chunks: Uint8Array[] = [];
  #ended = false;
  #onReadable: (() => void) | undefined;

  constructor(taken: (bytes: number) => void) {
    this.#taken = taken;
  }

  read(into: Uint8Array): number | undefined {
    const [first] = this.#chunks;
    if (first === undefined) return this.#ended ? undefined : 0;
    const length = Math.min(first.length, into.length);
    into.set(first.subarray(0, length));
    if (length === first.length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(length);
    this.#taken(length);
    return length;
  }

  onReadable(callback: (() => void) | undefined): void {
    this.#onReadable = callback;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length > 0) this.#chunks.push(chunk);
    this.#onReadable?.();
  }

  end(): void {
    this.#ended = true;
    this.#onReadable?.();
  }

  /** Types Ctrl-C, before anything that waits. */
  interrupt(): void {
    this.#chunks.unshift(Uint8Array.of(CTRL_C));
    this.#onReadable?.();
  }
}

/** A terminal whose size another thread knows. */
export class RemoteTerminal implements Terminal {
  #size: TerminalSize;
  #onResize: (() => void) | undefined;

  constructor(size: TerminalSize) {
    this.#size = size;
  }

  size(): TerminalSize {
    return this.#size;
  }

  onResize(callback: (() => void) | undefined): void {
    this.#onResize = callback;
  }

  resize(size: TerminalSize): void {
    this.#size = size;
    this.#onResize?.();
  }
}

/** Copies what an output takes into a file, too. A full disk ends the copy, not the guest. */
export class LogFile {
  readonly #fd: number;
  #broken = false;

  /** Creates or truncates the file. */
  constructor(path: string) {
    this.#fd = openSync(path, 'w', 0o644);
  }

  /** The same output, with every byte it takes in the file. */
  tee(output: PortOutput): PortOutput {
    return {
      write: (bytes) => {
        const taken = output.write(bytes);
        this.#append(bytes.subarray(0, taken));
        return taken;
      },
      onWritable: (callback) => output.onWritable(callback),
    };
  }

  close(): void {
    closeSync(this.#fd);
  }

  #append(bytes: Uint8Array): void {
    try {
      for (let at = 0; at < bytes.length && !this.#broken; ) at += writeSync(this.#fd, bytes, at);
    } catch {
      this.#broken = true;
    }
  }
}
