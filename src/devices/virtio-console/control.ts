import type { Virtqueue } from '../../virtio/virtqueue.ts';
import { type ControlMessage, encodeControl, VIRTIO_CONSOLE_RESIZE } from './protocol.ts';

/** Messages on their way to the driver: kept in order until it offers buffers for them. */
export class ControlSender {
  readonly #queue: Virtqueue;
  readonly #limit: number;
  #pending: ControlMessage[];

  /** @param limit when this many messages wait, the driver's own messages have to wait too */
  constructor(queue: Virtqueue, limit: number, pending: readonly ControlMessage[]) {
    this.#queue = queue;
    this.#limit = limit;
    this.#pending = [...pending];
  }

  get congested(): boolean {
    return this.#pending.length >= this.#limit;
  }

  get pending(): readonly ControlMessage[] {
    return this.#pending;
  }

  /** Only the newest size of a port is worth sending, so resizing never piles up. */
  send(message: ControlMessage): void {
    if (message.event === VIRTIO_CONSOLE_RESIZE) {
      this.#pending = this.#pending.filter((other) => other.event !== message.event || other.id !== message.id);
    }
    this.#pending.push(message);
    this.flush();
  }

  /** A message that does not fit its buffer is cut, as there is no second part. */
  flush(): void {
    this.#queue.batch(() => {
      while (this.#pending.length > 0) {
        const chain = this.#queue.pop();
        const message = chain === undefined ? undefined : this.#pending.shift();
        if (chain === undefined || message === undefined) return;
        chain.complete(chain.writable.write(encodeControl(message)));
      }
    });
  }
}
