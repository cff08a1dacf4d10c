import type { NetEvents } from '../../devices/virtio-net/backend.ts';
import type { NetworkCalls } from '../../native/network.ts';
import { DescriptorWatch } from './descriptor-watch.ts';
import { FRAME_MAX, FRAME_MIN, Link, type LinkOptions, type OpenNet } from './link.ts';
import { EAGAIN, EINTR, ENOBUFS, errorName, F_GETFL, F_SETFL, NetError, O_NONBLOCK } from './linux.ts';

/** struct virtio_net_hdr with num_buffers. */
export const HEADER_BYTES = 12;

/** Datagrams that are no frames and are passed over in one go, so that they do not hold up everything else. */
const SKIPPED_MAX = 64;

/** Errors that concern one packet: the wrong size, a header the host does not like, a tap that is not up. */
const LOST_PACKET = ['EMSGSIZE', 'EINVAL', 'EIO', 'ENOMEM'];

export interface PacketLinkOptions extends LinkOptions {
  /** Frames carry a struct virtio_net_hdr. */
  readonly hasHeaders: boolean;
  /** Says which offloads the guest agreed to. */
  readonly onAttach?: (features: bigint) => void;
  /** The descriptor is closed. */
  readonly onClose?: () => void;
}

/**
 * Frames as packets of a descriptor: datagrams, or a tap's. The event loop says when there are some; from then on they
 * are read directly until there are none. At most two frames that were read and one that could not be sent are held.
 */
export class PacketLink extends Link implements OpenNet {
  readonly hasHeaders: boolean;
  readonly #calls: NetworkCalls;
  readonly #fd: number;
  readonly #watch: DescriptorWatch;
  readonly #options: PacketLinkOptions;
  /** One byte more than any frame needs, to tell one that is too long. */
  readonly #received = Buffer.allocUnsafeSlow(HEADER_BYTES + FRAME_MAX + 1);
  /** The same for what the event loop reads. */
  readonly #watched = Buffer.allocUnsafeSlow(HEADER_BYTES + FRAME_MAX + 1);
  readonly #out = Buffer.allocUnsafeSlow(HEADER_BYTES + FRAME_MAX);
  readonly #min: number;
  #frame: Uint8Array | undefined;
  /** Came from the event loop while `#frame` was waiting. */
  #next: Uint8Array | undefined;
  #room: Uint8Array = this.#out;
  #isSending = false;

  /** @param fd is closed with the link   @throws {NetError} when it cannot be watched; the descriptor stays open */
  constructor(calls: NetworkCalls, fd: number, options: PacketLinkOptions) {
    super(options);
    this.#calls = calls;
    this.#fd = fd;
    this.#options = options;
    this.hasHeaders = options.hasHeaders;
    this.#min = FRAME_MIN + (options.hasHeaders ? HEADER_BYTES : 0);
    const flags = calls.fcntl(fd, F_GETFL, 0);
    const result = flags < 0 ? flags : calls.fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (result < 0) throw new NetError(`use descriptor ${fd}`, result);
    this.#watch = new DescriptorWatch(calls, fd, this.#watched, {
      onPacket: (length) => this.#arrived(length),
      onWritten: () => this.#written(),
      onError: ({ message }) => this.lost(message),
    });
  }

  attach(events: NetEvents | undefined, features: bigint): void {
    this.events = events;
    if (events === undefined) return;
    this.#options.onAttach?.(features);
    this.#watch.resume();
  }

  peek(): Uint8Array | undefined {
    for (let skipped = 0; this.#frame === undefined && skipped < SKIPPED_MAX; skipped++) {
      const length = this.isUp ? this.#calls.read(this.#fd, this.#received) : -EAGAIN;
      if (length < 0 && length !== -EINTR) {
        if (length !== -EAGAIN) this.lost(errorName(length));
        break;
      }
      this.#frame = this.#asFrame(this.#received, length);
    }
    if (this.#frame === undefined && this.isUp && this.events !== undefined) this.#watch.resume();
    return this.#frame;
  }

  drop(): void {
    this.#frame = this.#next;
    this.#next = undefined;
  }

  reserve(length: number): Uint8Array | undefined {
    if (this.#isSending) return undefined;
    this.#room = this.#out.subarray(0, length);
    return this.#room;
  }

  commit(): void {
    const result = this.#calls.write(this.#fd, this.#room);
    if (result >= 0) return;
    if (result === -EAGAIN || result === -ENOBUFS) {
      this.#isSending = true;
      this.#watch.write(this.#room);
    } else if (!LOST_PACKET.includes(errorName(result))) this.lost(errorName(result));
  }

  flush(): void {}

  close(): void {
    if (this.isClosed) return;
    this.closing();
    this.#watch.close();
    this.#calls.close(this.#fd);
    this.#options.onClose?.();
  }

  /** The event loop read a packet; it reads the next one when this is taken. */
  #arrived(length: number): boolean {
    if (this.events === undefined) return true; // nobody listens: it is lost
    const frame = this.#asFrame(this.#watched, length);
    if (this.#frame === undefined) this.#frame = frame;
    else this.#next = frame;
    this.events.onReadable();
    return this.#frame === undefined && this.events !== undefined;
  }

  #asFrame(buffer: Uint8Array, length: number): Uint8Array | undefined {
    return length >= this.#min && length < buffer.length ? buffer.subarray(0, length) : undefined;
  }

  #written(): void {
    this.#isSending = false;
    this.events?.onWritable();
  }
}
