import { KrunError } from './errors.ts';

/** Bytes that may wait in the VM's thread before `write` makes its caller wait. */
const WINDOW = 64 * 1024;

/** How an input stream reaches the VM's thread. */
export interface InputSink {
  send(chunk: Uint8Array): void;
  end(): void;
}

/** The guest's standard input. `write` resolves when there is room for more, so awaiting it is all the back-pressure one needs. */
export class InputStream {
  readonly #sink: InputSink;
  #waiting = 0;
  #closed = false;
  #room: (() => void)[] = [];

  constructor(sink: InputSink) {
    this.#sink = sink;
  }

  /** @throws {KrunError} ERR_STDIN_CLOSED after `end`, or when the guest is gone */
  async write(data: Uint8Array | string): Promise<void> {
    if (this.#closed) {
      throw new KrunError('ERR_STDIN_CLOSED', 'Cannot write to standard input: it is closed', { stage: 'run' });
    }
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    for (let at = 0; at < bytes.length && !this.#closed; at += WINDOW) {
      // A copy, because the caller may reuse the buffer while the message is under way.
      const piece = bytes.slice(at, at + WINDOW);
      this.#waiting += piece.length;
      this.#sink.send(piece);
      while (this.#waiting >= WINDOW && !this.#closed) await new Promise<void>((resolve) => this.#room.push(resolve));
    }
  }

  /** The guest reads end of file after what was written. */
  end(): void {
    if (this.#closed) return;
    this.close();
    this.#sink.end();
  }

  /** The same as a Web stream. */
  get writable(): WritableStream<Uint8Array> {
    return new WritableStream<Uint8Array>({
      write: (chunk) => this.write(chunk),
      close: () => this.end(),
      abort: () => this.end(),
    });
  }

  /** For the owner of the stream: the guest took this many bytes. */
  taken(bytes: number): void {
    this.#waiting -= bytes;
    if (this.#waiting < WINDOW) this.#release();
  }

  /** For the owner of the stream: nobody reads any more. */
  close(): void {
    this.#closed = true;
    this.#release();
  }

  #release(): void {
    for (const resolve of this.#room.splice(0)) resolve();
  }
}
