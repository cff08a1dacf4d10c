import type { HostStream, Listener, SocketAddress, TsiBackend } from './backend.ts';
import { EACCES, EAGAIN, EALREADY, ECONNREFUSED, EINVAL, EISCONN, EPERM } from './errno.ts';
import { encodeResult, TSI_ACCEPT, TSI_CONNECT, TSI_LISTEN } from './tsi-protocol.ts';
import type { TsiLink } from './tsi-link.ts';

/** Connections a listening socket holds back while the guest's own queue is full. */
const WAITING_MAX = 256;
/** Blocked accept() calls that are remembered per socket. */
const ACCEPTS_MAX = 256;
const BACKLOG_MAX = 128;

/** A stream socket of the guest, on its way to a connection or a listening socket of the host. */
export class StreamProxy {
  readonly svmPort: number;
  readonly #backend: TsiBackend;
  readonly #link: TsiLink;
  #stream: HostStream | undefined;
  #phase: 'idle' | 'connecting' | 'connected' | 'taken' | 'listening' = 'idle';
  #accepting: AcceptQueue | undefined;
  /** The name of the host's peer, kept after the stream went to its connection. */
  #remote: SocketAddress | undefined;

  constructor(svmPort: number, backend: TsiBackend, link: TsiLink) {
    this.svmPort = svmPort;
    this.#backend = backend;
    this.#link = link;
  }

  get remote(): SocketAddress | undefined {
    return this.#stream?.remote ?? this.#remote;
  }

  /** Answers when the host's connection stands, or cannot. */
  connect(address: SocketAddress, replyPort: number): void {
    const answer = (errno: number): void => this.#link.reply(TSI_CONNECT, replyPort, encodeResult(errno));
    if (this.#phase === 'connecting') return answer(EALREADY);
    if (this.#phase !== 'idle') return answer(EISCONN);
    this.#phase = 'connecting';
    const stream = this.#backend.streams.connect(address, {
      onConnected: () => {
        this.#phase = 'connected';
        this.#remote = address;
        answer(0);
      },
      onClosed: (errno) => {
        const asked = this.#phase === 'connecting';
        this.#phase = 'idle'; // the guest may try again
        this.#stream = undefined;
        if (asked) answer(errno === 0 ? ECONNREFUSED : errno);
      },
      onData: () => {},
      onEnd: () => {},
      onWritten: () => {},
    });
    if (typeof stream !== 'number') {
      this.#stream = stream;
      return;
    }
    this.#phase = 'idle';
    answer(stream);
  }

  /** The guest opens its data half: the stream, once it is connected. */
  takeStream(): HostStream | undefined {
    if (this.#phase !== 'connected') return undefined;
    const stream = this.#stream;
    this.#stream = undefined;
    this.#phase = 'taken';
    return stream;
  }

  listen(address: SocketAddress, vmPort: number, backlog: number, replyPort: number): void {
    const answer = (errno: number): void => this.#link.reply(TSI_LISTEN, replyPort, encodeResult(guestErrno(errno)));
    if (this.#phase === 'listening') return answer(0); // a second listen() changes the backlog at most
    if (this.#phase !== 'idle') return answer(EINVAL);
    const limit = Math.min(BACKLOG_MAX, Math.max(1, backlog | 0));
    const queue = new AcceptQueue(this.#link, vmPort, limit);
    const listener = this.#backend.listeners.listen(address, limit, {
      onListening: (errno) => {
        if (errno !== 0) this.#stopListening();
        answer(errno);
      },
      onStream: (stream) => queue.arrived(stream),
    });
    if (typeof listener === 'number') return answer(listener);
    queue.listener = listener;
    this.#accepting = queue;
    this.#phase = 'listening';
  }

  accept(flags: { nonBlocking: boolean }, replyPort: number): void {
    if (this.#accepting !== undefined) this.#accepting.accept(flags.nonBlocking, replyPort);
    else this.#link.reply(TSI_ACCEPT, replyPort, encodeResult(EINVAL));
  }

  /** The guest let go of the socket. A connection that took the stream lives on until the guest shuts it down. */
  close(): void {
    this.#stream?.destroy();
    this.#stream = undefined;
    this.#stopListening();
    this.#phase = 'idle';
  }

  #stopListening(): void {
    this.#accepting?.close();
    this.#accepting = undefined;
    this.#phase = 'idle';
  }
}

/** Connections between the host's listening socket and the guest's accept(). */
class AcceptQueue {
  listener: Listener | undefined;
  readonly #link: TsiLink;
  readonly #vmPort: number;
  readonly #backlog: number;
  /** Not offered to the guest yet. */
  readonly #waiting: HostStream[] = [];
  /** Offered, and not accepted yet: the guest's own queue holds no more than its backlog. */
  #offered = 0;
  /** Taken by the guest's kernel, and no accept() was told. */
  #acceptable = 0;
  /** Blocked accept() calls, by the port that waits for the answer. */
  readonly #accepts: number[] = [];
  #closed = false;

  constructor(link: TsiLink, vmPort: number, backlog: number) {
    this.#link = link;
    this.#vmPort = vmPort;
    this.#backlog = backlog;
  }

  arrived(stream: HostStream): void {
    if (this.#closed || this.#waiting.length >= WAITING_MAX) return stream.destroy();
    this.#waiting.push(stream);
    this.#offer();
  }

  accept(nonBlocking: boolean, replyPort: number): void {
    if (this.#acceptable > 0) {
      this.#acceptable -= 1;
      this.#answer(replyPort, 0);
      this.#accepted();
    } else if (nonBlocking || this.#accepts.length >= ACCEPTS_MAX) this.#answer(replyPort, EAGAIN);
    else this.#accepts.push(replyPort);
  }

  close(): void {
    this.#closed = true;
    this.listener?.close();
    for (const stream of this.#waiting.splice(0)) stream.destroy();
  }

  #offer(): void {
    while (!this.#closed && this.#offered < this.#backlog) {
      const stream = this.#waiting.shift();
      if (stream === undefined) return;
      this.#offered += 1;
      let isOpen = false;
      const onOpen = (): void => {
        isOpen = true;
        this.#opened();
      };
      const onGone = (): void => {
        if (!isOpen) this.#accepted();
      };
      if (!this.#link.openToGuest(this.#vmPort, stream, { onOpen, onGone })) this.#offered -= 1;
    }
  }

  #opened(): void {
    const replyPort = this.#accepts.shift();
    if (replyPort === undefined) {
      this.#acceptable += 1;
      return;
    }
    this.#answer(replyPort, 0);
    this.#accepted();
  }

  #accepted(): void {
    this.#offered -= 1;
    this.#offer();
  }

  #answer(replyPort: number, errno: number): void {
    this.#link.reply(TSI_ACCEPT, replyPort, encodeResult(errno));
  }
}

/** Of all errors of listen, the guest takes this one as "then only inside the guest". */
function guestErrno(errno: number): number {
  return errno === EACCES ? EPERM : errno;
}
