import { Socket } from 'node:net';
import type { NetworkCalls } from '../../native/network.ts';
import { AF_UNIX, NetError, O_CLOEXEC, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from './linux.ts';

export interface WatchEvents {
  /** A packet is in the buffer. False: no more until `resume`. */
  onPacket(length: number): boolean;
  /** What `write` was given is gone. */
  onWritten(): void;
  onError(error: Error): void;
}

/**
 * Lets the event loop watch a descriptor that Node knows no stream for: a datagram socket or a tap.
 *
 * Node looks at what a descriptor is only when a stream is made of it. So it gets one end of a socket pair, and before
 * the event loop turns that number is made another name of the descriptor. From then on it is read and written with
 * plain `read` and `write`, which move one packet each. docs/decisions/0012 weighs the alternatives.
 */
export class DescriptorWatch {
  readonly #calls: NetworkCalls;
  readonly #fd: number;
  readonly #buffer: Uint8Array;
  readonly #events: WatchEvents;
  #socket: Socket;
  #unwritten: Uint8Array | undefined;
  #isReading = false;

  /**
   * @param fd     does not block; stays the caller's
   * @param buffer where packets go; longer ones are cut
   * @throws {NetError}
   */
  constructor(calls: NetworkCalls, fd: number, buffer: Uint8Array, events: WatchEvents) {
    this.#calls = calls;
    this.#fd = fd;
    this.#buffer = buffer;
    this.#events = events;
    this.#socket = this.#open();
  }

  /** Packets may come. */
  resume(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#socket.resume();
  }

  /** Sends one packet as soon as there is room; one at a time. The bytes are not copied. */
  write(packet: Uint8Array): void {
    this.#unwritten = packet;
    const socket = this.#socket;
    socket.write(packet, (error) => {
      if (error || socket !== this.#socket) return;
      this.#unwritten = undefined;
      this.#events.onWritten();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #open(): Socket {
    const pair = this.#calls.socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (typeof pair === 'number') throw new NetError('watch a descriptor', pair);
    const [ours, other] = pair;
    const onread = { buffer: this.#buffer, callback: (length: number) => this.#arrived(length) };
    // `onread` and `pauseOnCreate` belong to this constructor, too; the types know them elsewhere.
    const options = { fd: ours, allowHalfOpen: true, pauseOnCreate: true, onread };
    const socket = new Socket(options);
    const result = this.#calls.dup3(this.#fd, ours, O_CLOEXEC);
    this.#calls.close(other);
    if (result < 0) {
      socket.destroy();
      throw new NetError('watch a descriptor', result);
    }
    socket.on('error', (error) => this.#events.onError(error));
    socket.on('end', () => this.#again(socket));
    return socket;
  }

  #arrived(length: number): boolean {
    this.#isReading = this.#events.onPacket(length);
    return this.#isReading;
  }

  /** A packet of no bytes looks like the end of a stream; Node reads no further, so another stream takes over. */
  #again(socket: Socket): void {
    if (socket.destroyed || socket !== this.#socket) return;
    try {
      this.#socket = this.#open();
    } catch (error) {
      this.#events.onError(error as Error);
      return;
    }
    socket.destroy();
    if (this.#isReading) this.#socket.resume();
    if (this.#unwritten !== undefined) this.write(this.#unwritten);
  }
}
