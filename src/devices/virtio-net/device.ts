import type { Chain } from '../../virtio/chain.ts';
import type { Activation, RunningDevice } from '../../virtio/device.ts';
import type { Virtqueue } from '../../virtio/virtqueue.ts';
import type { NetBackend, NetEvents } from './backend.ts';
import {
  FRAME_MAX,
  FRAME_MIN,
  HEADER,
  RECEIVEQ,
  TRANSMITQ,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_HDR_F_DATA_VALID,
} from './protocol.ts';

/**
 * The running interface. It holds no frame: one that the guest has no buffer for stays in the backend, and one that
 * the backend has no room for stays in the transmitq.
 */
export class NetDevice implements RunningDevice, NetEvents {
  readonly #receiveq: Virtqueue;
  readonly #transmitq: Virtqueue;
  readonly #backend: NetBackend;
  readonly #configChanged: () => void;
  /** In front of frames that come without one. */
  readonly #header = new Uint8Array(HEADER.size);
  #sending = false;
  #closed = false;

  constructor(
    { queues, features, saved, configChanged }: Activation<readonly [Virtqueue, Virtqueue]>,
    backend: NetBackend,
  ) {
    this.#receiveq = queues[RECEIVEQ];
    this.#transmitq = queues[TRANSMITQ];
    this.#backend = backend;
    this.#configChanged = configChanged;
    this.#header[HEADER.num_buffers] = 1;
    if (backend.isTrusted && (features & VIRTIO_NET_F_GUEST_CSUM) !== 0n)
      this.#header[HEADER.flags] = VIRTIO_NET_HDR_F_DATA_VALID;
    backend.attach(this, features);
    if (saved !== undefined) Promise.resolve().then(() => this.#closed || this.#continue(saved));
  }

  onNotify(queueIndex: number): void {
    if (queueIndex === TRANSMITQ) this.#transmit();
    else this.#receive();
  }

  onReadable(): void {
    this.#receive();
  }

  onWritable(): void {
    this.#transmit();
  }

  onLinkChange(): void {
    this.#configChanged();
    this.#transmit(); // what waited for room vanishes now
  }

  close(): void {
    this.#closed = true;
    this.#backend.attach(undefined, 0n);
  }

  /** Frames on their way are lost, as frames may be. */
  save(): unknown {
    return { isUp: this.#backend.isUp };
  }

  /** The driver may have notified before the machine was saved, and its link may be another now. */
  #continue(saved: unknown): void {
    if ((saved as { isUp?: unknown }).isUp !== this.#backend.isUp) this.#configChanged();
    this.#transmit();
    this.#receive();
  }

  #transmit(): void {
    if (this.#sending) return; // the backend calls back from inside `flush`
    this.#sending = true;
    this.#transmitq.drainWhile((chain) => this.#send(chain));
    this.#backend.flush();
    this.#sending = false;
  }

  /** 0, or undefined when there is no room. What is no frame, and what nobody receives, counts as sent. */
  #send({ readable }: Chain): number | undefined {
    const backend = this.#backend;
    const length = readable.length - HEADER.size;
    if (length < FRAME_MIN || length > FRAME_MAX || !backend.isUp) return 0;
    const room = backend.reserve(backend.hasHeaders ? readable.length : length);
    if (room === undefined) return undefined;
    if (!backend.hasHeaders) readable.skip(HEADER.size);
    readable.read(room);
    backend.commit();
    return 0;
  }

  #receive(): void {
    if (this.#closed || this.#backend.peek() === undefined) return;
    this.#receiveq.drainWhile((chain) => this.#deliver(chain));
  }

  /** Bytes written, or undefined when no frame is left. A frame that does not fit is lost, and the next one tried. */
  #deliver({ writable }: Chain): number | undefined {
    const backend = this.#backend;
    const more = backend.hasHeaders ? 0 : HEADER.size;
    for (let frame = backend.peek(); frame !== undefined; frame = backend.peek()) {
      if (frame.length + more > writable.length) {
        backend.drop();
        continue;
      }
      if (backend.hasHeaders) frame[HEADER.num_buffers] = 1;
      else writable.write(this.#header);
      writable.write(frame);
      const written = frame.length + more;
      backend.drop();
      return written;
    }
    return undefined;
  }
}
