import { checkInteger } from '../config/checks.ts';
import type { FromStreams, ToStreams } from '../host/vsock/user-streams.ts';
import { KrunError } from './errors.ts';
import { VsockStream } from './vsock-stream.ts';

/** VMADDR_PORT_ANY is no port. */
const PORT_MAX = 0xffff_fffe;

/** Connections of the guest to one port, as they come; iterate it, or take it as a Web stream. */
export class VsockListener implements AsyncIterable<VsockStream>, AsyncDisposable {
  readonly port: number;
  readonly #close: () => void;
  readonly #waiting: VsockStream[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #error: KrunError | undefined;

  /** @internal */
  constructor(port: number, close: () => void) {
    this.port = port;
    this.#close = close;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<VsockStream, void, undefined> {
    for (let next = await this.#next(); next !== undefined; next = await this.#next()) yield next;
  }

  /** The same as a Web stream; cancelling it stops listening. */
  get connections(): ReadableStream<VsockStream> {
    return new ReadableStream<VsockStream>(
      {
        pull: async (controller) => {
          const next = await this.#next();
          if (next === undefined) controller.close();
          else controller.enqueue(next);
        },
        cancel: () => this.close(),
      },
      { highWaterMark: 0 },
    );
  }

  /** The guest's further connections are refused; those that wait here are reset. */
  close(): void {
    if (this.#ended) return;
    this.#close();
    this.end();
    for (const stream of this.#waiting.splice(0)) void stream[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** For the owner: the guest connected. @internal */
  push(stream: VsockStream): void {
    this.#waiting.push(stream);
    this.#wake?.();
  }

  /** For the owner: nothing follows. @internal */
  end(error?: KrunError): void {
    this.#ended = true;
    this.#error ??= error;
    this.#wake?.();
  }

  async #next(): Promise<VsockStream | undefined> {
    while (this.#waiting.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const next = this.#waiting.shift();
    if (next === undefined && this.#error !== undefined) throw this.#error;
    return next;
  }
}

/** The user's side of all streams of a VM. */
export class VsockHandle {
  readonly #post: (message: ToStreams) => void;
  readonly #streams = new Map<number, VsockStream>();
  readonly #asked = new Map<number, { resolve: (stream: VsockStream) => void; reject: (error: KrunError) => void }>();
  readonly #listeners = new Map<number, VsockListener>();
  #nextId = 2;
  #ended = false;

  constructor(post: (message: ToStreams) => void) {
    this.#post = post;
  }

  async connect(port: number): Promise<VsockStream> {
    checkInteger('the vsock port', port, 0, PORT_MAX);
    if (this.#ended) throw refused(port, 'the VM is gone');
    const id = this.#nextId;
    this.#nextId += 2;
    this.#add(id, port);
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#post({ kind: 'connect', id, port });
    });
  }

  listen(port: number): VsockListener {
    checkInteger('the vsock port', port, 0, PORT_MAX);
    if (this.#listeners.has(port)) throw taken(port);
    const listener = new VsockListener(port, () => {
      this.#listeners.delete(port);
      this.#post({ kind: 'unlisten', port });
    });
    if (this.#ended) listener.end();
    else {
      this.#listeners.set(port, listener);
      this.#post({ kind: 'listen', port });
    }
    return listener;
  }

  receive(message: FromStreams): void {
    switch (message.kind) {
      case 'opened': {
        const stream = this.#streams.get(message.id);
        if (stream !== undefined) this.#take(message.id)?.resolve(stream);
        return;
      }
      case 'refused':
        return this.#refuse(message.id);
      case 'port-taken':
        this.#listeners.get(message.port)?.end(taken(message.port));
        this.#listeners.delete(message.port);
        return;
      case 'incoming': {
        const stream = this.#add(message.id, message.port);
        const listener = this.#listeners.get(message.port);
        if (listener === undefined) void stream[Symbol.asyncDispose]();
        else listener.push(stream);
        return;
      }
      case 'data':
        return this.#streams.get(message.id)?.push(message.chunk);
      case 'taken':
        return this.#streams.get(message.id)?.taken(message.bytes);
      case 'end':
        return this.#streams.get(message.id)?.end();
      case 'closed':
        return this.#streams.get(message.id)?.close(message.reset);
    }
  }

  /** The VM is over. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const [id] of this.#asked) this.#refuse(id);
    for (const stream of [...this.#streams.values()]) stream.close(true);
    for (const listener of this.#listeners.values()) listener.end();
    this.#listeners.clear();
  }

  #add(id: number, port: number): VsockStream {
    const stream = new VsockStream(id, port, this.#post, () => this.#streams.delete(id));
    this.#streams.set(id, stream);
    return stream;
  }

  #refuse(id: number): void {
    const asked = this.#take(id);
    const stream = this.#streams.get(id);
    this.#streams.delete(id);
    if (stream !== undefined) asked?.reject(refused(stream.port, 'nobody listens there'));
  }

  #take(id: number) {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return asked;
  }
}

function refused(port: number, why: string): KrunError {
  return new KrunError('ERR_VSOCK_REFUSED', `Cannot connect to vsock port ${port} of the guest: ${why}`, {
    stage: 'run',
  });
}

function taken(port: number): KrunError {
  return new KrunError('ERR_VSOCK_PORT_TAKEN', `Cannot listen at vsock port ${port}: it is taken`, { stage: 'run' });
}
