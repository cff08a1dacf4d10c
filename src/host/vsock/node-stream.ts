import type { Socket } from 'node:net';
import type { HostStream, SocketAddress, StreamEvents } from '../../devices/virtio-vsock/backend.ts';
import { LINUX_ERRNO, linuxErrno } from './linux-errno.ts';

/** How long a peer that does not read may hold up what the guest wrote before it closed. */
const LINGER_MS = 60_000;
/** Streams that may do so at once; the one that lingers longest gives way, so that a guest cannot pile up bytes. */
const LINGERING_MAX = 64;

/** In the order in which they were released; one VM has one thread, and so a set of its own. */
const lingering = new Set<Socket>();

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
    if (socket.writableFinished) {
      socket.destroy();
      return;
    }
    socket.end(() => socket.destroy());
    if (socket.writableLength > 0) linger(socket);
  }

  destroy(): void {
    this.#events = undefined;
    const isTcp = this.#socket.remoteFamily !== undefined;
    if (isTcp && !this.#socket.connecting) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }
}

/** Gives a socket that is ending some time, and some room among others. */
function linger(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  timer.unref();
  lingering.add(socket);
  socket.once('close', () => {
    clearTimeout(timer);
    lingering.delete(socket);
  });
  const [oldest] = lingering;
  if (lingering.size > LINGERING_MAX) oldest?.destroy();
}
