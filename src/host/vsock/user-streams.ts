import type { HostStream, StreamEvents } from '../../devices/virtio-vsock/backend.ts';
import { LINUX_ERRNO } from './linux-errno.ts';
import type { ServicePorts } from './service-ports.ts';

const { ECONNRESET } = LINUX_ERRNO;

/** From the user's thread: streams by number, even ones made by the user and odd ones by the guest. */
export type ToStreams =
  | { readonly kind: 'connect'; readonly id: number; readonly port: number }
  | { readonly kind: 'listen'; readonly port: number }
  | { readonly kind: 'unlisten'; readonly port: number }
  | { readonly kind: 'data'; readonly id: number; readonly chunk: Uint8Array }
  | { readonly kind: 'end'; readonly id: number }
  | { readonly kind: 'reset'; readonly id: number }
  | { readonly kind: 'consumed'; readonly id: number; readonly bytes: number };

/** To the user's thread. */
export type FromStreams =
  | { readonly kind: 'opened'; readonly id: number }
  | { readonly kind: 'refused'; readonly id: number }
  | { readonly kind: 'port-taken'; readonly port: number }
  | { readonly kind: 'incoming'; readonly id: number; readonly port: number }
  | { readonly kind: 'data'; readonly id: number; readonly chunk: Uint8Array }
  | { readonly kind: 'taken'; readonly id: number; readonly bytes: number }
  | { readonly kind: 'end'; readonly id: number }
  | { readonly kind: 'closed'; readonly id: number; readonly reset: boolean };

type Post = (message: FromStreams, transfer?: ArrayBuffer[]) => void;

/** Streams between ports of the guest and the user's program, which is on another thread. */
export class UserStreams {
  readonly #ports: ServicePorts | undefined;
  readonly #post: Post;
  readonly #streams = new Map<number, UserStream>();
  #nextId = 1;

  /** @param ports undefined: the machine has no vsock device, and every port is refused */
  constructor(ports: ServicePorts | undefined, post: Post) {
    this.#ports = ports;
    this.#post = post;
  }

  receive(message: ToStreams): void {
    switch (message.kind) {
      case 'connect':
        return this.#connect(message.id, message.port);
      case 'listen':
        return this.#listen(message.port);
      case 'unlisten':
        return this.#ports?.unhandle(message.port);
      case 'data':
        return this.#streams.get(message.id)?.fromUser(message.chunk);
      case 'end':
        return this.#streams.get(message.id)?.userEnded();
      case 'reset':
        return this.#streams.get(message.id)?.userReset();
      case 'consumed':
        return this.#streams.get(message.id)?.userConsumed(message.bytes);
    }
  }

  #connect(id: number, port: number): void {
    if (this.#ports === undefined) return this.#post({ kind: 'refused', id });
    this.#ports.toGuest(port, this.#add(id, true));
  }

  #listen(port: number): void {
    const taken = this.#ports?.handle(port, (events) => this.#incoming(port, events)) !== true;
    if (taken) this.#post({ kind: 'port-taken', port });
  }

  #incoming(port: number, events: StreamEvents): HostStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = this.#add(id, false);
    stream.attach(events);
    this.#post({ kind: 'incoming', id, port });
    queueMicrotask(() => events.onConnected());
    return stream;
  }

  #add(id: number, isRequest: boolean): UserStream {
    const gone = (): void => {
      this.#streams.delete(id);
    };
    const stream = new UserStream(id, isRequest, this.#post, gone);
    this.#streams.set(id, stream);
    return stream;
  }
}

/** One stream whose other end is with the user. */
class UserStream implements HostStream {
  readonly remote = undefined;
  readonly #id: number;
  readonly #post: Post;
  readonly #gone: () => void;
  #events: StreamEvents | undefined;
  /** The user asked for it, and the guest has not accepted yet. */
  #asked: boolean;
  #paused = true;
  /** From the user, at most the window its side keeps to. */
  readonly #chunks: Uint8Array[] = [];
  #userEnded = false;
  #userGone = false;
  #guestEnded = false;

  constructor(id: number, asked: boolean, post: Post, gone: () => void) {
    this.#id = id;
    this.#asked = asked;
    this.#post = post;
    this.#gone = gone;
  }

  attach(events: StreamEvents): void {
    this.#events = events;
    if (this.#userGone) queueMicrotask(() => this.#events?.onClosed(ECONNRESET));
  }

  accepted(): void {
    this.#asked = false;
    this.#post({ kind: 'opened', id: this.#id });
  }

  write(bytes: Uint8Array): void {
    const whole = bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice(); // only whole buffers move
    this.#post({ kind: 'data', id: this.#id, chunk: whole }, [whole.buffer as ArrayBuffer]);
  }

  end(): void {
    this.#guestEnded = true;
    this.#post({ kind: 'end', id: this.#id });
    this.#closeIfBothEnded();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    // Not now: a stream says nothing before the call that resumes it has returned.
    queueMicrotask(() => this.#flow());
  }

  release(): void {
    this.#finish(false);
  }

  destroy(): void {
    this.#finish(true);
  }

  fromUser(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#flow();
  }

  userEnded(): void {
    this.#userEnded = true;
    this.#flow();
  }

  userConsumed(bytes: number): void {
    this.#events?.onWritten(bytes);
  }

  userReset(): void {
    const events = this.#events;
    this.#events = undefined;
    this.#userGone = true;
    this.#gone();
    events?.onClosed(ECONNRESET);
  }

  #flow(): void {
    while (!this.#paused && this.#events !== undefined) {
      const chunk = this.#chunks.shift();
      if (chunk === undefined) break;
      this.#post({ kind: 'taken', id: this.#id, bytes: chunk.length });
      this.#events.onData(chunk);
    }
    if (this.#paused || !this.#userEnded || this.#chunks.length > 0 || this.#events === undefined) return;
    this.#events.onEnd();
    this.#closeIfBothEnded();
  }

  #closeIfBothEnded(): void {
    if (this.#guestEnded && this.#userEnded && this.#chunks.length === 0) this.#gone();
  }

  #finish(reset: boolean): void {
    if (this.#events === undefined && this.#userGone) return;
    this.#events = undefined;
    this.#userGone = true;
    this.#gone();
    if (this.#asked) this.#post({ kind: 'refused', id: this.#id });
    else this.#post({ kind: 'closed', id: this.#id, reset });
  }
}
