import { assert } from '../../base/assert.ts';
import { KiB, MiB } from '../../base/units.ts';
import type { Virtqueue } from '../../virtio/virtqueue.ts';
import type { ConsolePort } from './backend.ts';

/** Bytes offered to an output in one call. */
const OUTPUT_CHUNK_MAX = 64 * KiB;
/** Bytes taken from one chain; Linux sends at most 32 KiB, a hostile chain may claim gigabytes. */
const OUTPUT_CHAIN_MAX = 1 * MiB;

/** A port as plain data. */
export interface PortState {
  readonly guestOpen: boolean;
  readonly ready: boolean;
  readonly ended: boolean;
  /** Bytes of the first chain in the transmitq that the output has taken already. */
  readonly consumed: number;
}

export interface PortOptions {
  readonly port: ConsolePort;
  readonly receiveq: Virtqueue;
  readonly transmitq: Virtqueue;
  /** The input ended: called once. */
  readonly onEnd: () => void;
}

/** One port in operation: moves bytes between its two queues and the host, and never waits. */
export class RunningPort {
  readonly #port: ConsolePort;
  readonly #receiveq: Virtqueue;
  readonly #transmitq: Virtqueue;
  readonly #onEnd: () => void;
  /** The driver took the port over (PORT_READY). */
  ready = false;
  /** Somebody in the guest has the port open; Linux drops input for a closed port. */
  guestOpen = false;
  #ended = false;
  #receiving = false;
  #transmitting = false;

  constructor(options: PortOptions) {
    this.#port = options.port;
    this.#receiveq = options.receiveq;
    this.#transmitq = options.transmitq;
    this.#onEnd = options.onEnd;
    this.#port.input?.onReadable(() => this.receive());
    this.#port.output?.onWritable(() => this.transmit());
  }

  /** Host to guest: fills buffers while the input has bytes. */
  receive(): void {
    const { input } = this.#port;
    if (input === undefined || !this.guestOpen || this.#ended || this.#receiving) return;
    this.#receiving = true;
    this.#receiveq.batch(() => {
      for (let done = 0; done < this.#receiveq.size; done++) if (!this.#receiveOnce(input)) return;
    });
    this.#receiving = false;
  }

  /** Guest to host: what the output does not take stays in the queue, and the guest waits, not the host. */
  transmit(): void {
    if (this.#transmitting) return;
    this.#transmitting = true;
    this.#transmitq.batch(() => {
      for (let done = 0; done < this.#transmitq.size; done++) if (!this.#transmitOnce()) return;
    });
    this.#transmitting = false;
  }

  close(): void {
    this.#port.input?.onReadable(undefined);
    this.#port.output?.onWritable(undefined);
    this.#port.terminal?.onResize(undefined);
  }

  save(): PortState {
    const readable = this.#transmitq.peek()?.readable;
    const consumed = readable === undefined ? 0 : readable.length - readable.remaining;
    return { guestOpen: this.guestOpen, ready: this.ready, ended: this.#ended, consumed };
  }

  restore(state: PortState): void {
    this.guestOpen = state.guestOpen;
    this.ready = state.ready;
    this.#ended = state.ended;
    this.#transmitq.peek()?.readable.skip(state.consumed);
  }

  #receiveOnce(input: NonNullable<ConsolePort['input']>): boolean {
    const chain = this.#receiveq.peek();
    if (chain === undefined) return false;
    const [room] = chain.writable.views(OUTPUT_CHUNK_MAX);
    const count = room === undefined ? 0 : input.read(room);
    if (count === undefined) {
      this.#ended = true;
      this.#onEnd();
      return false;
    }
    if (count === 0 && room !== undefined) return false;
    this.#receiveq.pop();
    chain.complete(chain.writable.wrote(count));
    return true;
  }

  #transmitOnce(): boolean {
    const chain = this.#transmitq.peek();
    if (chain === undefined) return false;
    const { readable } = chain;
    const { output } = this.#port;
    const end = Math.max(0, readable.length - OUTPUT_CHAIN_MAX);
    while (output !== undefined && readable.remaining > end) {
      const [view] = readable.views(Math.min(OUTPUT_CHUNK_MAX, readable.remaining - end));
      if (view === undefined) break;
      const taken = output.write(view);
      assert(taken <= view.length, 'an output takes no more than it is given');
      readable.skip(taken);
      if (taken < view.length) return false;
    }
    this.#transmitq.pop();
    chain.complete(0);
    return true;
  }
}
