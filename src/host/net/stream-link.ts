import type { Socket } from 'node:net';
import type { NetEvents } from '../../devices/virtio-net/backend.ts';
import { FrameReader, PREFIX } from './frame-reader.ts';
import { FRAME_MAX, FRAME_MIN, Link, type LinkOptions, type OpenNet } from './link.ts';

/** Frames that are written together. */
const STAGE = 256 * 1024;
/** Bytes that may wait for a guest without buffers before the peer has to: some peers drop what they cannot send. */
const BACKLOG = 2 * 1024 * 1024;

/**
 * Frames over a stream socket, each behind its length: what passt, QEMU's `-netdev stream` and socket_vmnet speak.
 * A bounded backlog of what was read, and one stage that could not be written, are held.
 */
export class StreamLink extends Link implements OpenNet {
  readonly hasHeaders = false;
  readonly #socket: Socket;
  readonly #reader = new FrameReader({ min: FRAME_MIN, max: FRAME_MAX });
  /** Behind what the reader has. */
  readonly #backlog: Uint8Array[] = [];
  #backlogBytes = 0;
  #stage = Buffer.allocUnsafeSlow(STAGE);
  #staged = 0;
  #reserved = 0;
  #isFull = false;
  #isPaused = true;

  /** @param socket connected; it is closed with the link */
  constructor(socket: Socket, options: LinkOptions) {
    super(options);
    this.#socket = socket;
    socket.pause(); // before the listener for data, which would start the flow
    socket.on('data', (chunk: Uint8Array) => this.#arrived(chunk));
    socket.on('drain', () => this.#drained());
    socket.on('end', () => this.#gone('its peer ended the connection'));
    socket.on('error', ({ message }) => this.#gone(message));
    socket.on('close', () => this.lost('the connection is closed'));
  }

  attach(events: NetEvents | undefined): void {
    this.events = events;
    if (events === undefined) this.#pause();
    else if (this.peek() !== undefined) queueMicrotask(() => this.events?.onReadable()); // left from before a reset
  }

  peek(): Uint8Array | undefined {
    let frame = this.#reader.peek();
    for (let chunk: Uint8Array | undefined; frame === undefined; frame = this.#reader.peek()) {
      chunk = this.#backlog.shift();
      if (chunk === undefined) break;
      this.#backlogBytes -= chunk.length;
      this.#reader.push(chunk);
    }
    if (frame === undefined && this.#isPaused && this.events !== undefined) this.#resume();
    return frame;
  }

  drop(): void {
    this.#reader.drop();
  }

  reserve(length: number): Uint8Array | undefined {
    if (this.#staged + PREFIX + length > STAGE) this.flush();
    this.#isFull = this.#socket.writableNeedDrain;
    if (this.#isFull) return undefined;
    this.#stage.writeUInt32BE(length, this.#staged);
    this.#reserved = PREFIX + length;
    return this.#stage.subarray(this.#staged + PREFIX, this.#staged + this.#reserved);
  }

  commit(): void {
    this.#staged += this.#reserved;
  }

  flush(): void {
    if (this.#staged === 0 || !this.isUp) return;
    this.#socket.write(this.#stage.subarray(0, this.#staged));
    // What the host's kernel did not take at once is still read from the stage later.
    if (this.#socket.writableLength > 0) this.#stage = Buffer.allocUnsafeSlow(STAGE);
    this.#staged = 0;
  }

  close(): void {
    this.closing();
    this.#socket.destroy();
  }

  #arrived(chunk: Uint8Array): void {
    this.#backlog.push(chunk);
    this.#backlogBytes += chunk.length;
    if (this.peek() !== undefined) this.events?.onReadable();
    if (this.#backlogBytes > BACKLOG) this.#pause();
    if (this.#reader.isBroken) this.#gone(`its peer announced a frame longer than ${FRAME_MAX} bytes`);
  }

  #drained(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.events?.onWritable();
  }

  #gone(reason: string): void {
    this.#socket.destroy();
    this.lost(reason);
  }

  #pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  #resume(): void {
    this.#isPaused = false;
    this.#socket.resume();
  }
}
