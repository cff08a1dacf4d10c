import { KiB } from '../../base/units.ts';
import type { HostStream, StreamEvents } from './backend.ts';
import {
  VIRTIO_VSOCK_OP_CREDIT_REQUEST,
  VIRTIO_VSOCK_OP_CREDIT_UPDATE,
  VIRTIO_VSOCK_OP_REQUEST,
  VIRTIO_VSOCK_OP_RESPONSE,
  VIRTIO_VSOCK_OP_RST,
  VIRTIO_VSOCK_OP_RW,
  VIRTIO_VSOCK_OP_SHUTDOWN,
  VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE,
  VIRTIO_VSOCK_SHUTDOWN_F_SEND,
  PAYLOAD_MAX,
  type VsockHeader,
} from './protocol.ts';

/** Bytes from the host that wait for the guest before the host's socket is paused. */
const BACKLOG_HIGH = 64 * KiB;

/** What a connection asks of the device. */
export interface ConnectionLink {
  /** There is something to send, or there may be. */
  ready(connection: Connection): void;
  /** The connection is over; `reset`: the guest has to be told. */
  gone(connection: Connection, reset: boolean): void;
}

/** One packet towards the guest, filled in by `Connection.next`; reused for all. */
export interface Outgoing {
  op: number;
  flags: number;
  payload: Uint8Array | undefined;
}

export interface ConnectionOptions {
  readonly guestPort: number;
  readonly localPort: number;
  /** Bytes of the guest that may wait for the host's socket: our credit. */
  readonly bufAlloc: number;
  /**
   * `connecting`: the guest asked, the host's socket is not connected yet; `accepted`: it is, and the guest is told;
   * `requesting`: the host asks the guest.
   */
  readonly start: 'connecting' | 'accepted' | 'requesting';
  readonly link: ConnectionLink;
  /** The guest accepted what the host requested. */
  readonly onOpen?: () => void;
  /** Called once, when the connection is over. */
  readonly onGone?: () => void;
}

/**
 * One stream between a port of the guest and a stream of the host: credit in both directions, half-close, resets.
 * Never waits and never throws for what the guest does; a guest that breaks the rules is reset.
 *
 * @spec VIRTIO-1.2 §5.10.6
 */
export class Connection implements StreamEvents {
  readonly guestPort: number;
  readonly localPort: number;
  readonly bufAlloc: number;
  readonly #link: ConnectionLink;
  readonly #options: ConnectionOptions;
  #stream: HostStream | undefined;
  #phase: 'connecting' | 'requesting' | 'open' | 'closed';
  // Towards the guest. Counters are 32 bits wide and wrap, as on the wire.
  #peerBufAlloc = 0;
  #peerFwdCnt = 0;
  #txCnt = 0;
  readonly #chunks: Uint8Array[] = [];
  #offset = 0;
  #queued = 0;
  #paused = false;
  // From the guest.
  #rxCnt = 0;
  #fwdCnt = 0;
  #fwdSent = 0;
  #guestShutdown = 0;
  // What is still to be said.
  #handshakeDue: boolean;
  #creditDue = false;
  #creditAsked = false;
  #hostEnded = false;
  #shutdownSent = false;
  #hostGone = false;

  constructor(options: ConnectionOptions) {
    this.guestPort = options.guestPort;
    this.localPort = options.localPort;
    this.bufAlloc = options.bufAlloc;
    this.#link = options.link;
    this.#options = options;
    this.#phase = options.start === 'accepted' ? 'open' : options.start;
    this.#handshakeDue = options.start !== 'connecting';
  }

  /** Bytes that left for the host: goes into every header. */
  get fwdCnt(): number {
    return this.#fwdCnt;
  }

  /** The other side's name on the host. */
  get remote(): HostStream['remote'] {
    return this.#stream?.remote;
  }

  get closed(): boolean {
    return this.#phase === 'closed';
  }

  /** Gives the connection its stream; `request` is the guest's packet when that began it. */
  begin(stream: HostStream, request?: VsockHeader): void {
    this.#stream = stream;
    if (request !== undefined) this.#takeCredit(request);
    if (this.#handshakeDue) this.#link.ready(this);
    if (this.#phase === 'open') stream.resume();
  }

  /** A packet of the guest. `payload` copies the packet's bytes when it is called. */
  receive(header: VsockHeader, payload: (length: number) => Uint8Array): void {
    if (this.#phase === 'closed') return;
    this.#takeCredit(header);
    switch (header.op) {
      case VIRTIO_VSOCK_OP_RESPONSE:
        this.#open();
        break;
      case VIRTIO_VSOCK_OP_RST:
        return this.#finish(false);
      case VIRTIO_VSOCK_OP_SHUTDOWN:
        this.#shutdown(header.flags);
        break;
      case VIRTIO_VSOCK_OP_RW:
        this.#forward(header.len, payload);
        break;
      case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        break;
      case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        this.#creditDue = true;
        break;
      default:
        return this.#finish(true);
    }
    if (this.hasWork) this.#link.ready(this);
  }

  /** Whether `next` has a packet. */
  get hasWork(): boolean {
    if (this.#phase === 'closed') return false;
    if (this.#handshakeDue) return true;
    if (this.#phase !== 'open') return false;
    if (this.#queued > 0) return this.#creditDue || this.#credit() > 0 || !this.#creditAsked;
    return this.#creditDue || (this.#hostEnded && !this.#shutdownSent);
  }

  /** Fills in the next packet, with at most `room` bytes of payload; false when there is none now. */
  next(into: Outgoing, room: number): boolean {
    if (!this.hasWork) return false;
    into.flags = 0;
    into.payload = undefined;
    if (this.#handshakeDue) {
      this.#handshakeDue = false;
      into.op = this.#phase === 'requesting' ? VIRTIO_VSOCK_OP_REQUEST : VIRTIO_VSOCK_OP_RESPONSE;
    } else if (this.#queued > 0 && this.#credit() > 0) {
      into.op = VIRTIO_VSOCK_OP_RW;
      into.payload = this.#take(Math.min(room, this.#credit(), PAYLOAD_MAX));
    } else if (this.#queued > 0 && !this.#creditAsked) {
      this.#creditAsked = true;
      into.op = VIRTIO_VSOCK_OP_CREDIT_REQUEST;
    } else if (this.#queued === 0 && this.#hostEnded && !this.#shutdownSent) {
      this.#shutdownSent = true;
      into.op = VIRTIO_VSOCK_OP_SHUTDOWN;
      into.flags = VIRTIO_VSOCK_SHUTDOWN_F_SEND;
    } else {
      into.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
    }
    // Every packet carries our credit.
    this.#creditDue = false;
    this.#fwdSent = this.#fwdCnt;
    return true;
  }

  /** For the device, after a packet left: what had to wait for it. */
  sent(): void {
    if (this.#phase === 'closed' || this.#queued > 0) return;
    if (this.#hostGone) this.#finish(true);
  }

  onConnected(): void {
    if (this.#phase !== 'connecting') return;
    this.#phase = 'open';
    this.#handshakeDue = true;
    this.#link.ready(this);
    this.#stream?.resume();
  }

  onData(chunk: Uint8Array): void {
    if (this.#phase === 'closed' || chunk.length === 0) return;
    if ((this.#guestShutdown & VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE) !== 0) return; // nobody reads it
    this.#chunks.push(chunk);
    this.#queued += chunk.length;
    this.#link.ready(this);
    if (this.#queued >= BACKLOG_HIGH && !this.#paused && !this.closed) {
      this.#paused = true;
      this.#stream?.pause();
    }
  }

  onEnd(): void {
    this.#hostEnded = true;
    if (this.hasWork) this.#link.ready(this);
  }

  onWritten(count: number): void {
    this.#fwdCnt = (this.#fwdCnt + count) >>> 0;
    // Half of the buffer: the guest never runs dry, and small packets do not cost one of ours each. A newer Linux sends
    // no more ahead than it would receive itself.
    if ((this.#fwdCnt - this.#fwdSent) >>> 0 < Math.min(this.bufAlloc, this.#peerBufAlloc) / 2) return;
    this.#creditDue = true;
    if (this.hasWork) this.#link.ready(this);
  }

  /** What the host sent before it broke is delivered first. */
  onClosed(errno: number): void {
    if (this.#phase === 'closed') return;
    if (errno === 0 && this.#phase === 'open') return this.onEnd();
    this.#hostGone = true;
    if (this.#queued === 0 || this.#phase !== 'open') this.#finish(true);
  }

  /** The device goes away, or the guest's driver does: nobody is told but the host. */
  drop(): void {
    this.#finish(false);
  }

  #open(): void {
    if (this.#phase !== 'requesting') return this.#finish(true);
    this.#phase = 'open';
    this.#stream?.accepted?.();
    this.#stream?.resume();
    this.#options.onOpen?.();
  }

  #forward(length: number, payload: (length: number) => Uint8Array): void {
    const ended = (this.#guestShutdown & VIRTIO_VSOCK_SHUTDOWN_F_SEND) !== 0;
    const waiting = (this.#rxCnt - this.#fwdCnt) >>> 0;
    if (this.#phase !== 'open' || ended || waiting + length > this.bufAlloc) return this.#finish(true);
    if (length === 0) return;
    this.#rxCnt = (this.#rxCnt + length) >>> 0;
    if (this.#hostGone) this.onWritten(length);
    else this.#stream?.write(payload(length));
  }

  #shutdown(flags: number): void {
    if (this.#phase !== 'open') return this.#finish(true);
    const fresh = flags & ~this.#guestShutdown;
    this.#guestShutdown |= flags & (VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE | VIRTIO_VSOCK_SHUTDOWN_F_SEND);
    if (this.#guestShutdown === (VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE | VIRTIO_VSOCK_SHUTDOWN_F_SEND)) {
      return this.#finish(true, 'deliver');
    }
    if ((fresh & VIRTIO_VSOCK_SHUTDOWN_F_SEND) !== 0) this.#stream?.end();
    if ((fresh & VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE) === 0) return;
    this.#forgetChunks();
    if (this.#hostGone) this.#finish(true);
  }

  /** Ends the connection. What the guest wrote is delivered only when it closed in good order. */
  #finish(reset: boolean, rest: 'drop' | 'deliver' = 'drop'): void {
    if (this.#phase === 'closed') return;
    const unheardOf = this.#phase === 'requesting' && this.#handshakeDue;
    this.#phase = 'closed';
    this.#chunks.length = 0;
    this.#queued = 0;
    if (rest === 'deliver') this.#stream?.release();
    else this.#stream?.destroy();
    this.#link.gone(this, reset && !unheardOf);
    this.#options.onGone?.();
  }

  #takeCredit({ buf_alloc, fwd_cnt }: VsockHeader): void {
    this.#peerBufAlloc = buf_alloc;
    this.#peerFwdCnt = fwd_cnt;
    if (this.#credit() > 0) this.#creditAsked = false;
  }

  /** Bytes the guest has room for. */
  #credit(): number {
    return Math.max(0, this.#peerBufAlloc - ((this.#txCnt - this.#peerFwdCnt) >>> 0));
  }

  #take(max: number): Uint8Array | undefined {
    const [first] = this.#chunks;
    if (first === undefined) return undefined;
    const piece = first.subarray(this.#offset, this.#offset + max);
    this.#offset += piece.length;
    if (this.#offset === first.length) {
      this.#chunks.shift();
      this.#offset = 0;
    }
    this.#queued -= piece.length;
    this.#txCnt = (this.#txCnt + piece.length) >>> 0;
    this.#resume();
    return piece;
  }

  #forgetChunks(): void {
    this.#chunks.length = 0;
    this.#offset = 0;
    this.#queued = 0;
    this.#resume();
  }

  #resume(): void {
    if (!this.#paused || this.#queued >= BACKLOG_HIGH / 2) return;
    this.#paused = false;
    this.#stream?.resume();
  }
}
