import type { DatagramSocket, SocketAddress, TsiBackend } from './backend.ts';
import { EACCES, EAFNOSUPPORT } from './errno.ts';
import { encodeResult, TSI_CONNECT } from './tsi-protocol.ts';
import type { TsiLink } from './tsi-link.ts';

/** A datagram socket of the guest. It costs the host nothing until the guest sends or connects. */
export class DatagramProxy {
  readonly svmPort: number;
  readonly #family: 'ipv4' | 'ipv6';
  readonly #backend: TsiBackend;
  readonly #link: TsiLink;
  #socket: DatagramSocket | undefined;
  #destination: SocketAddress | undefined;
  #peer: SocketAddress | undefined;
  #connectReply: number | undefined;

  constructor(svmPort: number, family: 'ipv4' | 'ipv6', backend: TsiBackend, link: TsiLink) {
    this.svmPort = svmPort;
    this.#family = family;
    this.#backend = backend;
    this.#link = link;
  }

  get remote(): SocketAddress | undefined {
    return this.#peer;
  }

  connect(address: SocketAddress | 'unspecified', replyPort: number): void {
    const answer = (errno: number): void => this.#link.reply(TSI_CONNECT, replyPort, encodeResult(errno));
    this.close(); // a connected socket hears its peer only, and may change it
    if (address === 'unspecified') return answer(0);
    if (address.family !== this.#family) return answer(EAFNOSUPPORT);
    const socket = this.#open();
    if (typeof socket === 'number') return answer(socket);
    this.#peer = address;
    this.#connectReply = replyPort;
    socket.connect(address);
  }

  /** Where the next datagrams go; an address that makes no sense loses them. */
  setDestination(address: SocketAddress | 'unspecified' | undefined): void {
    const usable = address !== 'unspecified' && address?.family === this.#family;
    this.#destination = usable ? address : undefined;
  }

  /** A datagram to the destination that was set. */
  sendTo(bytes: Uint8Array): void {
    if (this.#destination !== undefined) this.#send(bytes, this.#destination);
  }

  /** A datagram on the socket itself: to the connected peer. */
  send(bytes: Uint8Array): void {
    if (this.#peer !== undefined) this.#send(bytes, undefined);
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#peer = undefined;
    this.#connectReply = undefined;
  }

  #send(bytes: Uint8Array, address: SocketAddress | undefined): void {
    const socket = this.#open();
    if (typeof socket !== 'number') socket.send(bytes, address);
  }

  #open(): DatagramSocket | number {
    if (this.#socket !== undefined) return this.#socket;
    const socket = this.#backend.datagrams.open(this.#family, {
      onMessage: (bytes) => this.#link.datagram(0, this.svmPort, bytes),
      onConnected: (errno) => this.#connected(errno),
    });
    if (typeof socket !== 'number') this.#socket = socket;
    return socket;
  }

  #connected(errno: number): void {
    const replyPort = this.#connectReply;
    this.#connectReply = undefined;
    if (errno !== 0) this.#peer = undefined;
    if (replyPort !== undefined) this.#link.reply(TSI_CONNECT, replyPort, encodeResult(errno || 0));
    if (errno === EACCES) this.close();
  }
}
