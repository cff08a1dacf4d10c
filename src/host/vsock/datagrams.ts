import { createSocket, type Socket } from 'node:dgram';
import type { DatagramEvents, DatagramSocket, SocketAddress } from '../../devices/virtio-vsock/backend.ts';
import { MiB } from '../../base/units.ts';
import { linuxErrno } from './linux-errno.ts';
import type { SocketBudget } from './socket-budget.ts';

/** Bytes that may wait in one socket for the host's kernel; more are lost. */
const PENDING_MAX = 1 * MiB;

/** Decides whether a datagram from this sender is for the guest. */
export type Accepts = (address: string, port: number) => boolean;

/** A UDP socket of the host; bound when something is sent first. */
export class HostDatagramSocket implements DatagramSocket {
  readonly #socket: Socket;
  #events: DatagramEvents | undefined;
  #pending = 0;
  #connecting = false;

  constructor(family: 'ipv4' | 'ipv6', events: DatagramEvents, accepts: Accepts, budget: SocketBudget) {
    this.#events = events;
    this.#socket = createSocket(family === 'ipv4' ? 'udp4' : 'udp6');
    budget.hold(this.#socket);
    this.#socket.on('message', (bytes, { address, port }) => {
      if (accepts(address, port)) this.#events?.onMessage(bytes);
    });
    this.#socket.on('error', (error) => {
      // Later errors are those of datagrams that were refused; datagrams get lost.
      if (this.#connecting) this.#connected(linuxErrno(error));
    });
  }

  connect(address: SocketAddress): void {
    if (address.family === 'unix') return;
    this.#connecting = true;
    try {
      this.#socket.connect(address.port, address.address, (error?: Error) =>
        this.#connected(error ? linuxErrno(error) : 0),
      );
    } catch (error) {
      queueMicrotask(() => this.#connected(linuxErrno(error)));
    }
  }

  send(bytes: Uint8Array, address?: SocketAddress): void {
    if (this.#events === undefined || this.#pending + bytes.length > PENDING_MAX || address?.family === 'unix') return;
    this.#pending += bytes.length;
    const done = (): void => {
      this.#pending -= bytes.length;
    };
    try {
      if (address === undefined) this.#socket.send(bytes, done);
      else this.#socket.send(bytes, address.port, address.address, done);
    } catch {
      done(); // port 0, a socket that is connected already: lost
    }
  }

  close(): void {
    if (this.#events === undefined) return;
    this.#events = undefined;
    this.#socket.close();
  }

  #connected(errno: number): void {
    if (!this.#connecting) return;
    this.#connecting = false;
    this.#events?.onConnected(errno);
  }
}
