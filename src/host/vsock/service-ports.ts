import { createServer, type Server } from 'node:net';
import { KrunError } from '../../base/krun-error.ts';
import type { UnixPortSpec } from '../../config/spec.ts';
import type { GuestPorts, HostStream, PortServices, StreamEvents } from '../../devices/virtio-vsock/backend.ts';
import { HostConnector } from './connector.ts';
import { NodeStream } from './node-stream.ts';
import type { SocketBudget } from './socket-budget.ts';

/** Connections that wait for the guest's driver; more are turned away. */
const WAITING_MAX = 64;

/** Answers the guest's connections to one port. */
export type PortHandler = (events: StreamEvents) => HostStream | undefined;

/** Vsock ports joined to unix sockets, and those that the user's program takes while the machine runs. */
export class ServicePorts implements PortServices {
  readonly #paths = new Map<number, string>();
  readonly #handlers = new Map<number, PortHandler>();
  readonly #servers: Server[] = [];
  readonly #connector: HostConnector;
  #guest: GuestPorts | undefined;
  #waiting: { readonly port: number; readonly stream: HostStream }[] = [];

  private constructor(budget: SocketBudget) {
    this.#connector = new HostConnector(budget);
  }

  /**
   * Joins ports to paths; listens at once where the host is the one that connects.
   *
   * @throws {KrunError} ERR_VSOCK_LISTEN
   */
  static async open(unixPorts: readonly UnixPortSpec[], budget: SocketBudget): Promise<ServicePorts> {
    const ports = new ServicePorts(budget);
    try {
      for (const { port, path, listen } of unixPorts) {
        if (listen) await ports.#listenAt(port, path);
        else ports.#paths.set(port, path);
      }
    } catch (error) {
      ports.close();
      throw error;
    }
    return ports;
  }

  connect(port: number, events: StreamEvents): HostStream | undefined {
    const handler = this.#handlers.get(port);
    if (handler !== undefined) return handler(events);
    const path = this.#paths.get(port);
    const stream = path === undefined ? undefined : this.#connector.connect({ family: 'unix', path }, events);
    return typeof stream === 'number' ? undefined : stream;
  }

  attach(guest: GuestPorts | undefined): void {
    this.#guest = guest;
    if (guest === undefined) return;
    for (const { port, stream } of this.#waiting.splice(0)) guest.open(port, stream);
  }

  /** Takes a port; false when it is taken. */
  handle(port: number, handler: PortHandler): boolean {
    if (this.#handlers.has(port) || this.#paths.has(port)) return false;
    this.#handlers.set(port, handler);
    return true;
  }

  unhandle(port: number): void {
    this.#handlers.delete(port);
  }

  /** Connects a stream to a port of the guest, now or when its driver is there. */
  toGuest(port: number, stream: HostStream): void {
    if (this.#guest !== undefined) this.#guest.open(port, stream);
    else if (this.#waiting.length < WAITING_MAX) this.#waiting.push({ port, stream });
    else stream.destroy();
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const { stream } of this.#waiting.splice(0)) stream.destroy();
    this.#handlers.clear();
  }

  async #listenAt(port: number, path: string): Promise<void> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
      this.toGuest(port, new NodeStream(socket, undefined)),
    );
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        const message = `Cannot listen at ${path} for vsock port ${port}: ${cause.message}`;
        reject(new KrunError('ERR_VSOCK_LISTEN', message, { stage: 'resources', cause }));
      });
      server.listen({ path }, resolve);
    });
    server.on('error', () => {}); // a connection that could not be taken; the socket listens on
  }
}
