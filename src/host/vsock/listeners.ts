import { lstatSync, unlinkSync } from 'node:fs';
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import type {
  Errno,
  InetAddress,
  Listener,
  ListenerEvents,
  Listeners,
  SocketAddress,
} from '../../devices/virtio-vsock/backend.ts';
import type { PublishedPortSpec } from '../../config/spec.ts';
import { effectiveIp, formatIp, isLoopback, parseIp } from '../../base/ip-address.ts';
import { LINUX_ERRNO, linuxErrno } from './linux-errno.ts';
import { NodeStream } from './node-stream.ts';
import type { SocketBudget } from './socket-budget.ts';

const { EPERM, EINVAL, EMFILE } = LINUX_ERRNO;

/** The guest's listening sockets on the host: those that `ports` allows, and nothing else is ever bound. */
export class HostListeners implements Listeners {
  readonly #ports: 'all' | readonly PublishedPortSpec[];
  readonly #budget: SocketBudget;

  /** @param ports `all`: every one, at the guest's own address; a list: only those, where it says */
  constructor(ports: 'all' | readonly PublishedPortSpec[], budget: SocketBudget) {
    this.#ports = ports;
    this.#budget = budget;
  }

  listen(address: SocketAddress, backlog: number, events: ListenerEvents): Listener | Errno {
    if (this.#budget.isSpent) return EMFILE;
    if (address.family === 'unix') return listenUnix(address.path, backlog, events, this.#budget);
    const place = this.#placeOf(address);
    return place === undefined ? EPERM : listenInet(place, address.family, backlog, events, this.#budget);
  }

  #placeOf(asked: InetAddress): InetAddress | undefined {
    if (this.#ports === 'all') return asked;
    const published = this.#ports.find(({ guestPort }) => guestPort === asked.port);
    if (published === undefined) return undefined;
    const { hostPort: port, address } = published;
    if (address === undefined) return { ...asked, port };
    // A program that listens on its loopback only is not shown to more than ours.
    const wanted = isOnLoopback(asked) && !isOnLoopback(asInet(address, port)) ? loopbackOf(address) : address;
    return asInet(wanted, port);
  }
}

function listenInet(
  place: InetAddress,
  guestFamily: InetAddress['family'],
  backlog: number,
  events: ListenerEvents,
  budget: SocketBudget,
): Listener | Errno {
  const nameOf = (socket: Socket): SocketAddress | undefined => remoteFor(guestFamily, socket);
  const options = { host: place.address, port: place.port, backlog };
  const server = new HostListener(nameOf, events, budget);
  // Both families at one port, as the guest's own sockets; the one that is free, when a socket of the other is there.
  const retry = place.family === 'ipv6' ? { ...options, ipv6Only: true } : undefined;
  return server.listen(options, retry);
}

/** A socket file that is there already was made by the guest itself, in a share, when it bound its socket. */
function listenUnix(path: string, backlog: number, events: ListenerEvents, budget: SocketBudget): Listener | Errno {
  try {
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) unlinkSync(path);
  } catch (error) {
    return linuxErrno(error);
  }
  return new HostListener(() => undefined, events, budget).listen({ path, backlog });
}

/** One server of Node; answers once whether it listens. */
class HostListener implements Listener {
  readonly #server: Server;
  #events: ListenerEvents | undefined;
  #answered = false;

  constructor(nameOf: (socket: Socket) => SocketAddress | undefined, events: ListenerEvents, budget: SocketBudget) {
    this.#events = events;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      if (this.#events === undefined) socket.destroy();
      else this.#events.onStream(new NodeStream(socket, nameOf(socket)));
    });
    this.#server.on('listening', () => {
      budget.hold(this.#server);
      this.#answer(0);
    });
  }

  /** @param retry what to try when the first place is taken */
  listen(options: ListenOptions, retry?: ListenOptions): Listener | Errno {
    let next = retry;
    this.#server.on('error', (error) => {
      const again = linuxErrno(error) === LINUX_ERRNO.EADDRINUSE ? next : undefined;
      next = undefined;
      if (again === undefined) this.#answer(linuxErrno(error));
      else this.#server.listen(again);
    });
    try {
      this.#server.listen(options);
      return this;
    } catch {
      return EINVAL;
    }
  }

  close(): void {
    this.#events = undefined;
    this.#server.close();
  }

  /** Errors that come later are those of connections that could not be taken; the socket listens on. */
  #answer(errno: number): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#events?.onListening(errno);
  }
}

/** The peer's name in the family of the guest's socket. */
function remoteFor(family: InetAddress['family'], socket: Socket): SocketAddress | undefined {
  const ip = parseIp((socket.remoteAddress ?? '').replace(/%.*$/, ''));
  if (ip === undefined) return undefined;
  const port = socket.remotePort ?? 0;
  if (family === 'ipv6') return { family, address: ip.length === 16 ? formatIp(ip) : `::ffff:${formatIp(ip)}`, port };
  const effective = effectiveIp(ip);
  return { family, address: effective.length === 4 ? formatIp(effective) : '0.0.0.0', port };
}

function asInet(address: string, port: number): InetAddress {
  return { family: address.includes(':') ? 'ipv6' : 'ipv4', address, port };
}

/** Whether this listens for this host only; the unspecified address listens for everybody. */
function isOnLoopback({ address }: InetAddress): boolean {
  const ip = parseIp(address);
  if (ip === undefined || ip.every((byte) => byte === 0)) return false;
  return isLoopback(effectiveIp(ip));
}

function loopbackOf(address: string): string {
  return address.includes(':') ? '::1' : '127.0.0.1';
}
