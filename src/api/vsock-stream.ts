import type { ToStreams } from '../host/vsock/user-streams.ts';
import { KrunError } from './errors.ts';

/** Bytes that may wait in the VM's thread before a write waits. */
const WINDOW = 256 * 1024;
const PIECE = 64 * 1024;

/** A connection between a port of the guest and this program. Both directions end on their own, as TCP's do. */
export class VsockStream implements AsyncDisposable {
  /** The port: the guest's where this program connected, ours where the guest did. */
  readonly port: number;
  /** What the guest sends. The guest is held back when nobody reads. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What the guest receives; closing it ends our direction only, aborting it resets the connection. */
  readonly writable: WritableStream<Uint8Array>;
  readonly #id: number;
  readonly #post: (message: ToStreams) => void;
  readonly #gone: () => void;
  #reader!: ReadableStreamDefaultController<Uint8Array>;
  #writer!: WritableStreamDefaultController;
  readonly #chunks: Uint8Array[] = [];
  #wantsData: (() => void) | undefined;
  #waiting = 0;
  #room: (() => void) | undefined;
  #readEnded = false;
  #writeEnded = false;
  #closed = false;

  /** @internal */
  constructor(id: number, port: number, post: (message: ToStreams) => void, gone: () => void) {
    this.#id = id;
    this.port = port;
    this.#post = post;
    this.#gone = gone;
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#reader = controller;
        },
        pull: () => this.#pull(),
        cancel: () => this.#cancel(),
      },
      { highWaterMark: 0 }, // what nobody reads stays on the other thread, and the guest waits
    );
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#writer = controller;
      },
      write: (chunk) => this.#write(chunk),
      close: () => this.#endWrite(),
      abort: () => this.#reset(),
    });
  }

  /** Resets the connection unless it is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed && !(this.#readEnded && this.#writeEnded)) this.#reset();
  }

  /** For the owner: bytes arrived. @internal */
  push(chunk: Uint8Array): void {
    if (this.#closed || this.#readEnded) return this.#post({ kind: 'consumed', id: this.#id, bytes: chunk.length });
    this.#chunks.push(chunk);
    this.#wantsData?.();
  }

  /** For the owner: the other thread took bytes. @internal */
  taken(bytes: number): void {
    this.#waiting -= bytes;
    if (this.#waiting < WINDOW) this.#room?.();
  }

  /** For the owner: the guest sends no more. @internal */
  end(): void {
    this.#readEnded = true;
    this.#wantsData?.();
    this.#forgetIfOver();
  }

  /** For the owner: the connection is over. @internal */
  close(reset: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#gone();
    if (!this.#writeEnded) this.#writer.error(resetError(this.port));
    this.#room?.();
    if (reset && !this.#readEnded) {
      this.#chunks.length = 0;
      this.#reader.error(resetError(this.port));
    }
    this.#readEnded = true;
    this.#wantsData?.();
  }

  async #pull(): Promise<void> {
    while (this.#chunks.length === 0 && !this.#readEnded) {
      await new Promise<void>((resolve) => {
        this.#wantsData = resolve;
      });
    }
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#reader.enqueue(chunk);
      this.#post({ kind: 'consumed', id: this.#id, bytes: chunk.length });
    } else closeQuietly(this.#reader);
  }

  /** Nobody reads any more; what follows is thrown away. */
  #cancel(): void {
    this.#readEnded = true;
    for (const { length } of this.#chunks.splice(0)) this.#post({ kind: 'consumed', id: this.#id, bytes: length });
    if (this.#writeEnded) this.#reset();
  }

  async #write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length && !this.#closed; at += PIECE) {
      const chunk = data.slice(at, at + PIECE); // the caller may use its buffer again
      this.#waiting += chunk.length;
      this.#post({ kind: 'data', id: this.#id, chunk });
      while (this.#waiting >= WINDOW && !this.#closed) {
        await new Promise<void>((resolve) => {
          this.#room = resolve;
        });
      }
    }
    if (this.#closed) throw resetError(this.port);
  }

  #endWrite(): void {
    this.#writeEnded = true;
    this.#post({ kind: 'end', id: this.#id });
    this.#forgetIfOver();
  }

  #reset(): void {
    if (this.#closed) return;
    this.#post({ kind: 'reset', id: this.#id });
    this.#writeEnded = true;
    this.close(true);
  }

  #forgetIfOver(): void {
    if (this.#readEnded && this.#writeEnded && !this.#closed) {
      this.#closed = true;
      this.#gone();
    }
  }
}

function resetError(port: number): KrunError {
  return new KrunError('ERR_VSOCK_RESET', `Cannot go on with vsock port ${port}: the connection was reset`, {
    stage: 'run',
  });
}

/** A stream that was cancelled or broke is closed already. */
function closeQuietly(controller: ReadableStreamDefaultController<Uint8Array>): void {
  try {
    controller.close();
  } catch {}
}
