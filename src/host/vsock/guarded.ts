import type {
  DatagramEvents,
  DatagramSocket,
  DatagramSockets,
  Errno,
  HostStream,
  InetAddress,
  SocketAddress,
  StreamConnector,
  StreamEvents,
} from '../../devices/virtio-vsock/backend.ts';
import { effectiveIp, formatIp, isLoopback, parseIp } from '../../base/ip-address.ts';
import { HostDatagramSocket } from './datagrams.ts';
import type { DnsService } from './dns-service.ts';
import type { EgressPolicy } from './egress-policy.ts';
import { LINUX_ERRNO, linuxErrno } from './linux-errno.ts';
import type { SocketBudget } from './socket-budget.ts';

const { EACCES, EMFILE } = LINUX_ERRNO;
const DNS_PORT = 53;
/** Addresses whose answers a socket takes, newest last. */
const PEERS_MAX = 64;

/** A connector that asks the policy first. Unix sockets are no matter of the network's policy. */
export class GuardedConnector implements StreamConnector {
  readonly #policy: EgressPolicy;
  readonly #connector: StreamConnector;

  constructor(policy: EgressPolicy, connector: StreamConnector) {
    this.#policy = policy;
    this.#connector = connector;
  }

  connect(address: SocketAddress, events: StreamEvents): HostStream | Errno {
    const refused = address.family !== 'unix' && !this.#policy.allows(address.address, address.port);
    return refused ? EACCES : this.#connector.connect(address, events);
  }
}

/** Datagram sockets that ask the policy about every datagram, and hand DNS to our own resolver where that is due. */
export class GuardedDatagrams implements DatagramSockets {
  readonly #policy: EgressPolicy;
  readonly #dns: DnsService;
  readonly #budget: SocketBudget;

  constructor(policy: EgressPolicy, dns: DnsService, budget: SocketBudget) {
    this.#policy = policy;
    this.#dns = dns;
    this.#budget = budget;
  }

  open(family: 'ipv4' | 'ipv6', events: DatagramEvents): DatagramSocket | Errno {
    return new GuardedSocket(family, events, this.#policy, this.#dns, this.#budget);
  }
}

class GuardedSocket implements DatagramSocket {
  readonly #family: 'ipv4' | 'ipv6';
  readonly #policy: EgressPolicy;
  readonly #dns: DnsService;
  readonly #budget: SocketBudget;
  #events: DatagramEvents | undefined;
  #socket: HostDatagramSocket | undefined;
  #peer: InetAddress | undefined;
  /** Whom the guest sent to: others have nothing to say to it, unless everything is allowed. */
  readonly #peers = new Set<string>();

  constructor(
    family: 'ipv4' | 'ipv6',
    events: DatagramEvents,
    policy: EgressPolicy,
    dns: DnsService,
    budget: SocketBudget,
  ) {
    this.#family = family;
    this.#events = events;
    this.#policy = policy;
    this.#dns = dns;
    this.#budget = budget;
  }

  connect(address: SocketAddress): void {
    if (address.family === 'unix') return;
    const isDns = this.#isForResolver(address);
    if (!isDns && this.#policy.allows(address.address, address.port)) {
      this.#know(address);
      this.#open()?.connect(address);
      return;
    }
    this.#peer = isDns ? address : undefined;
    queueMicrotask(() => this.#events?.onConnected(isDns ? 0 : EACCES));
  }

  send(bytes: Uint8Array, address?: SocketAddress): void {
    const target = address ?? this.#peer;
    if (target === undefined) this.#socket?.send(bytes);
    else if (target.family === 'unix') return;
    else if (this.#isForResolver(target)) this.#resolve(bytes, target);
    else if (this.#policy.allows(target.address, target.port)) {
      this.#know(target);
      this.#open()?.send(bytes, target);
    }
  }

  close(): void {
    this.#events = undefined;
    this.#socket?.close();
  }

  /** With rules about names, all of DNS; else only what a guest asks of its own host, where most hosts have no server. */
  #isForResolver({ address, port }: InetAddress): boolean {
    if (port !== DNS_PORT) return false;
    if (this.#policy.hasNames) return true;
    const ip = parseIp(address);
    return ip !== undefined && isLoopback(effectiveIp(ip)) && this.#policy.allows(address, port);
  }

  #resolve(bytes: Uint8Array, asked: InetAddress): void {
    const first = this.#policy.hasNames ? undefined : asked;
    this.#dns.query(bytes, (answer) => this.#events?.onMessage(answer), first);
  }

  #open(): HostDatagramSocket | undefined {
    if (this.#socket !== undefined || this.#events === undefined) return this.#socket;
    if (this.#budget.isSpent) return this.#fail(EMFILE);
    try {
      this.#socket = new HostDatagramSocket(this.#family, this.#events, (from) => this.#knows(from), this.#budget);
    } catch (error) {
      return this.#fail(linuxErrno(error));
    }
    return this.#socket;
  }

  /** Tells a `connect` that waits; datagrams are lost. */
  #fail(errno: number): undefined {
    queueMicrotask(() => this.#events?.onConnected(errno));
    return undefined;
  }

  #know({ address }: InetAddress): void {
    if (this.#policy.isOpen) return;
    const key = peerKey(address);
    if (key === undefined) return;
    this.#peers.delete(key);
    this.#peers.add(key);
    const [oldest] = this.#peers;
    if (this.#peers.size > PEERS_MAX && oldest !== undefined) this.#peers.delete(oldest);
  }

  #knows(address: string): boolean {
    const key = peerKey(address);
    return this.#policy.isOpen || (key !== undefined && this.#peers.has(key));
  }
}

function peerKey(address: string): string | undefined {
  const ip = parseIp(address.replace(/%.*$/, ''));
  return ip === undefined ? undefined : formatIp(effectiveIp(ip));
}
