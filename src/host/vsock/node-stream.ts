import type { Socket } from 'node:net';
import type { HostStream, SocketAddress, StreamEvents } from '../../devices/virtio-vsock/backend.ts';
import { LINUX_ERRNO, linuxErrno } from './linux-errno.ts';

/** How long a peer that does not read may hold up what the guest wrote before it closed. */
const LINGER_MS = 60_000;

/** A TCP connection or unix socket of Node as a host stream. */
export class NodeStream implements HostStream {
  readonly remote: SocketAddress | undefined;
  readonly #socket: Socket;
  #events: StreamEvents | undefined;
  #errno = 0;

  constructor(socket: Socket, remote: SocketAddress | undefined, events?: StreamEvents) {
    this.#socket = socket;
    this.remote = remote;
    this.#events = events;
    socket.pause(); // before the listener for data, which would start the flow
    socket.on('connect', () => this.#events?.onConnected());
    socket.on('data', (chunk: Buffer) => this.#events?.onData(chunk));
    socket.on('end', () => this.#events?.onEnd());
    socket.on('error', (error) => {
      this.#errno = linuxErrno(error);
    });
    socket.on('close', () => {
      this.#events?.onClosed(this.#errno);
      this.#events = undefined;
    });
  }

  attach(events: StreamEvents): void {
    this.#events = events;
    // It may have broken while nobody listened.
    if (this.#socket.destroyed) queueMicrotask(() => this.#events?.onClosed(this.#errno || LINUX_ERRNO.ECONNRESET));
  }

  write(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#socket.write(bytes, (error) => {
      if (!error) this.#events?.onWritten(length);
    });
  }

  end(): void {
    this.#socket.end();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  release(): void {
    this.#events = undefined;
    const socket = this.#socket;
    if (socket.destroyed) return;
    // Closing with unread input makes the host's kernel reset the peer, as it does for a process that closes.
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
    if (socket.writableFinished) socket.destroy();
    else socket.end(() => socket.destroy());
  }

  destroy(): void {
    this.#events = undefined;
    const isTcp = this.#socket.remoteFamily !== undefined;
    if (isTcp && !this.#socket.connecting) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }
}
