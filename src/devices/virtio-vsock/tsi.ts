import type { HostStream, SocketAddress, TsiBackend } from './backend.ts';
import { EAFNOSUPPORT, ECONNREFUSED, EINVAL, EOPNOTSUPP, EPERM } from './errno.ts';
import { LOCAL_PORT_FIRST, LOCAL_PORT_LAST, type VsockHeader } from './protocol.ts';
import { DatagramProxy } from './tsi-datagram.ts';
import type { TsiLink } from './tsi-link.ts';
import {
  encodeName,
  encodeResult,
  familyOf,
  MessageReader,
  O_NONBLOCK,
  SOCK_DGRAM,
  SOCK_STREAM,
  TSI_ACCEPT,
  TSI_CONNECT,
  TSI_GETNAME,
  TSI_LISTEN,
  TSI_PROXY_CREATE,
  TSI_PROXY_RELEASE,
  TSI_SENDTO_ADDR,
  TSI_SENDTO_DATA,
} from './tsi-protocol.ts';
import { StreamProxy } from './tsi-stream.ts';

/** Sockets of the guest that are known at once; a Linux guest has one per open Internet socket. */
const PROXIES_MAX = 16_384;

/**
 * Transparent socket impersonation: the guest's kernel tells us what its sockets do, and we do it with the host's.
 * Messages that make no sense are answered with an error where an answer is waited for, and ignored elsewhere.
 *
 * @spec LIBKRUN-TSI
 */
export class Tsi {
  readonly #backend: TsiBackend;
  readonly #link: TsiLink;
  readonly #proxies = new Map<number, StreamProxy | DatagramProxy>();

  constructor(backend: TsiBackend, link: TsiLink) {
    this.#backend = backend;
    this.#link = link;
  }

  get size(): number {
    return this.#proxies.size;
  }

  /** A datagram of the guest: a control message, or what a connected datagram socket sends. */
  receive({ src_port, dst_port }: VsockHeader, bytes: Uint8Array): void {
    const message = new MessageReader(bytes);
    switch (dst_port) {
      case TSI_PROXY_CREATE:
        return this.#create(message);
      case TSI_CONNECT:
        return this.#connect(message, src_port);
      case TSI_GETNAME:
        return this.#getName(message, src_port);
      case TSI_SENDTO_ADDR:
        return this.#datagramProxy(message.u32(0))?.setDestination(message.address(4));
      case TSI_SENDTO_DATA:
        return this.#datagramProxy(src_port)?.sendTo(bytes);
      case TSI_LISTEN:
        return this.#listen(message, src_port);
      case TSI_ACCEPT:
        return this.#accept(message, src_port);
      case TSI_PROXY_RELEASE:
        return this.#release(message.u32(0), message.u32(4));
      default:
        return this.#datagramProxy(src_port)?.send(bytes);
    }
  }

  /** The connected stream of a socket whose data half the guest opens now. */
  takeStream(svmPort: number): HostStream | undefined {
    return this.#streamProxy(svmPort)?.takeStream();
  }

  close(): void {
    for (const proxy of this.#proxies.values()) proxy.close();
    this.#proxies.clear();
  }

  #create(message: MessageReader): void {
    const svmPort = message.u32(0);
    const family = familyOf(message.u16(4));
    const type = message.u16(6);
    if (family === undefined || !(family === 'unix' ? this.#backend.unix : this.#backend.inet)) return;
    this.#proxies.get(svmPort)?.close();
    this.#proxies.delete(svmPort);
    if (this.#proxies.size >= PROXIES_MAX) return; // what the guest does with the socket is refused then
    if (type === SOCK_STREAM) this.#proxies.set(svmPort, new StreamProxy(svmPort, this.#backend, this.#link));
    if (type === SOCK_DGRAM && family !== 'unix') {
      this.#proxies.set(svmPort, new DatagramProxy(svmPort, family, this.#backend, this.#link));
    }
  }

  #connect(message: MessageReader, replyPort: number): void {
    const proxy = this.#proxies.get(message.u32(0));
    const address = message.address(4);
    const answer = (errno: number): void => this.#link.reply(TSI_CONNECT, replyPort, encodeResult(errno));
    if (proxy === undefined) return answer(ECONNREFUSED);
    if (address === undefined) return answer(EINVAL);
    if (proxy instanceof DatagramProxy) return proxy.connect(address, replyPort);
    if (address === 'unspecified' || !this.#allows(address)) return answer(EAFNOSUPPORT);
    proxy.connect(address, replyPort);
  }

  #listen(message: MessageReader, replyPort: number): void {
    const proxy = this.#proxies.get(message.u32(0));
    const address = message.address(12);
    const answer = (errno: number): void => this.#link.reply(TSI_LISTEN, replyPort, encodeResult(errno));
    if (proxy === undefined) return answer(EPERM);
    if (proxy instanceof DatagramProxy) return answer(EOPNOTSUPP);
    if (address === undefined || address === 'unspecified' || !this.#allows(address)) return answer(EPERM);
    proxy.listen(address, message.u32(4), message.u32(8), replyPort);
  }

  #accept(message: MessageReader, replyPort: number): void {
    const proxy = this.#streamProxy(message.u32(0));
    const nonBlocking = (message.u32(4) & O_NONBLOCK) !== 0;
    if (proxy !== undefined) proxy.accept({ nonBlocking }, replyPort);
    else this.#link.reply(TSI_ACCEPT, replyPort, encodeResult(EINVAL));
  }

  /** Names of accepted connections go by both ports, those of others by the socket's. */
  #getName(message: MessageReader, replyPort: number): void {
    const svmPort = message.u32(0);
    const known = this.#link.find(svmPort, message.u32(4)) ?? this.#proxies.get(svmPort);
    const errno = known === undefined ? EINVAL : 0;
    this.#link.reply(TSI_GETNAME, replyPort, encodeName(errno, known?.remote));
  }

  /** Accepted connections share the port of their listening socket, and are told by the other port. */
  #release(svmPort: number, svmPeerPort: number): void {
    if (svmPort === 0 || this.#isAccepted(svmPort, svmPeerPort)) return;
    this.#proxies.get(svmPort)?.close();
    this.#proxies.delete(svmPort);
  }

  #isAccepted(svmPort: number, svmPeerPort: number): boolean {
    return svmPeerPort >= LOCAL_PORT_FIRST && svmPeerPort <= LOCAL_PORT_LAST && svmPort !== svmPeerPort;
  }

  /** Whether the family was switched on: a socket of one family may be asked to connect to an address of another. */
  #allows(address: SocketAddress): boolean {
    return address.family === 'unix' ? this.#backend.unix : this.#backend.inet;
  }

  #streamProxy(svmPort: number): StreamProxy | undefined {
    const proxy = this.#proxies.get(svmPort);
    return proxy instanceof StreamProxy ? proxy : undefined;
  }

  #datagramProxy(svmPort: number): DatagramProxy | undefined {
    const proxy = this.#proxies.get(svmPort);
    return proxy instanceof DatagramProxy ? proxy : undefined;
  }
}
