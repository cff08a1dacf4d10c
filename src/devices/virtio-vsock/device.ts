import { KiB, MiB } from '../../base/units.ts';
import type { Activation, RunningDevice } from '../../virtio/device.ts';
import type { Chain } from '../../virtio/chain.ts';
import type { Virtqueue } from '../../virtio/virtqueue.ts';
import type { HostStream, VsockBackend } from './backend.ts';
import { Connection, type ConnectionLink } from './connection.ts';
import { ConnectionTable } from './connection-table.ts';
import {
  decodeHeader,
  EVENTQ,
  emptyHeader,
  HDR_SIZE,
  LOCAL_PORT_FIRST,
  LOCAL_PORT_LAST,
  PAYLOAD_MAX,
  RECEIVEQ,
  VIRTIO_VSOCK_EVENT_TRANSPORT_RESET,
  VIRTIO_VSOCK_OP_REQUEST,
  VIRTIO_VSOCK_OP_RST,
  VIRTIO_VSOCK_OP_RW,
  VIRTIO_VSOCK_TYPE_DGRAM,
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_HOST,
} from './protocol.ts';
import { Sender } from './sender.ts';
import { Tsi } from './tsi.ts';
import type { TsiLink } from './tsi-link.ts';
import { TSI_DEFAULT_PORT } from './tsi-protocol.ts';

/** More connections than this are refused. */
export const CONNECTIONS_MAX = 4096;
/** Bytes of the guest that may wait for host sockets, together and per connection. */
const BUFFER_TOTAL = 64 * MiB;
const BUFFER_MAX = 1 * MiB;
const BUFFER_MIN = 16 * KiB;

/** The running half of virtio-vsock: packets to connections and back. @spec VIRTIO-1.2 §5.10.6 */
export class VsockDevice implements RunningDevice, ConnectionLink, TsiLink {
  readonly #transmitq: Virtqueue;
  readonly #eventq: Virtqueue;
  readonly #backend: VsockBackend;
  readonly #sender: Sender;
  readonly #tsi: Tsi | undefined;
  readonly #table = new ConnectionTable();
  readonly #header = emptyHeader();
  readonly #headerBytes = new Uint8Array(HDR_SIZE);
  readonly #headerView = new DataView(this.#headerBytes.buffer);
  #nextLocalPort = LOCAL_PORT_FIRST;
  #resetDue: boolean;
  #receiving = false;
  #closed = false;

  constructor({ queues, saved }: Activation<readonly [Virtqueue, Virtqueue, Virtqueue]>, backend: VsockBackend) {
    this.#transmitq = queues[1];
    this.#eventq = queues[EVENTQ];
    this.#backend = backend;
    this.#sender = new Sender(queues[RECEIVEQ], backend.guestCid);
    this.#tsi = backend.tsi === undefined ? undefined : new Tsi(backend.tsi, this);
    this.#resetDue = saved !== undefined; // connections do not survive a save: sockets of the host cannot
    this.#sendEvent();
    backend.ports.attach({ open: (port, stream) => this.#openFromHost(port, stream) });
  }

  onNotify(queueIndex: number): void {
    if (queueIndex === EVENTQ) return this.#sendEvent();
    this.#turn();
  }

  close(): void {
    this.#closed = true;
    this.#backend.ports.attach(undefined);
    for (const connection of this.#table.all()) connection.drop();
    this.#tsi?.close();
  }

  save(): unknown {
    return { version: 1 };
  }

  ready(connection: Connection): void {
    this.#sender.ready(connection);
    this.flush();
  }

  gone(connection: Connection, reset: boolean): void {
    this.#sender.forget(connection);
    this.#table.remove(connection);
    if (reset) this.#reset(VIRTIO_VSOCK_TYPE_STREAM, connection.guestPort, connection.localPort);
    this.flush();
  }

  flush(): void {
    if (this.#closed || this.#receiving) return; // a turn sends at its end
    this.#turn();
  }

  reply(fromPort: number, toPort: number, payload: Uint8Array): void {
    const op = VIRTIO_VSOCK_OP_RW;
    this.#sender.answer({ type: VIRTIO_VSOCK_TYPE_DGRAM, op, srcPort: fromPort, dstPort: toPort, payload });
    this.flush();
  }

  datagram(fromPort: number, toPort: number, payload: Uint8Array): void {
    const op = VIRTIO_VSOCK_OP_RW;
    this.#sender.datagram({ type: VIRTIO_VSOCK_TYPE_DGRAM, op, srcPort: fromPort, dstPort: toPort, payload });
    this.flush();
  }

  find(guestPort: number, localPort: number): Connection | undefined {
    return this.#table.get(guestPort, localPort);
  }

  /** Connects a host stream to a port where the guest listens; false when there are too many connections. */
  openToGuest(
    guestPort: number,
    stream: HostStream,
    hooks: { readonly onOpen?: () => void; readonly onGone?: () => void } = {},
  ): boolean {
    const localPort = this.#freeLocalPort();
    if (this.#closed || localPort === undefined) {
      stream.destroy();
      return false;
    }
    const connection = this.#add(guestPort, localPort, 'requesting', hooks);
    stream.attach(connection);
    connection.begin(stream);
    return true;
  }

  /** For tests: what is open and what waits. */
  get usage(): { connections: number; proxies: number; answers: number; datagramBytes: number } {
    const { answers, datagramBytes } = this.#sender.waiting;
    return { connections: this.#table.size, proxies: this.#tsi?.size ?? 0, answers, datagramBytes };
  }

  /** Takes what the guest sent, then sends what that caused; the guest waits while it does not take its answers. */
  #turn(): void {
    if (this.#receiving) return;
    this.#receiving = true;
    try {
      for (let again = true, rounds = 0; again && rounds < 4; rounds++) {
        again = this.#receive();
        this.#sender.pump();
      }
    } finally {
      this.#receiving = false;
    }
  }

  /** True when packets had to stay because of answers that wait. */
  #receive(): boolean {
    let stalled = false;
    this.#transmitq.batch(() => {
      for (let done = 0; done < this.#transmitq.size; done++) {
        stalled = this.#sender.congested;
        if (stalled) return;
        const chain = this.#transmitq.pop();
        if (chain === undefined) return;
        this.#packet(chain);
        chain.complete(0);
      }
    });
    return stalled;
  }

  #packet({ readable }: Chain): void {
    if (readable.read(this.#headerBytes) < HDR_SIZE) return;
    const header = this.#header;
    decodeHeader(this.#headerView, header);
    if (header.dst_cid !== VMADDR_CID_HOST || header.src_cid !== this.#backend.guestCid) return;
    if (header.len > PAYLOAD_MAX || header.len > readable.remaining) return this.#refuse();
    if (header.type === VIRTIO_VSOCK_TYPE_DGRAM) {
      if (header.op === VIRTIO_VSOCK_OP_RW) this.#tsi?.receive(header, readable.bytes(header.len));
      return;
    }
    if (header.type !== VIRTIO_VSOCK_TYPE_STREAM) return this.#refuse();
    const connection = this.#table.get(header.src_port, header.dst_port);
    if (connection !== undefined) connection.receive(header, (length) => readable.bytes(length));
    else if (header.op === VIRTIO_VSOCK_OP_REQUEST) this.#request();
    else this.#refuse();
  }

  /** The guest opens a stream: to a service, or the data half of a transparent socket. */
  #request(): void {
    const { src_port, dst_port } = this.#header;
    if (this.#table.size >= CONNECTIONS_MAX) return this.#refuse();
    if (this.#tsi !== undefined && dst_port === TSI_DEFAULT_PORT) {
      const stream = this.#tsi.takeStream(src_port);
      if (stream === undefined) return this.#refuse();
      const connection = this.#add(src_port, dst_port, 'accepted');
      stream.attach(connection);
      return connection.begin(stream, this.#header);
    }
    const connection = this.#add(src_port, dst_port, 'connecting');
    const stream = this.#backend.ports.connect(dst_port, connection);
    if (stream === undefined) connection.onClosed(1);
    else connection.begin(stream, this.#header);
  }

  #openFromHost(port: number, stream: HostStream): void {
    this.openToGuest(port, stream);
  }

  #add(
    guestPort: number,
    localPort: number,
    start: 'connecting' | 'accepted' | 'requesting',
    hooks: { readonly onOpen?: () => void; readonly onGone?: () => void } = {},
  ): Connection {
    const share = Math.floor(BUFFER_TOTAL / (this.#table.size + 1));
    const bufAlloc = Math.min(BUFFER_MAX, Math.max(BUFFER_MIN, share));
    const connection = new Connection({ guestPort, localPort, bufAlloc, start, link: this, ...hooks });
    this.#table.add(connection);
    return connection;
  }

  #freeLocalPort(): number | undefined {
    if (this.#table.size >= CONNECTIONS_MAX) return undefined;
    do {
      this.#nextLocalPort = this.#nextLocalPort >= LOCAL_PORT_LAST ? LOCAL_PORT_FIRST : this.#nextLocalPort + 1;
    } while (this.#table.usesLocal(this.#nextLocalPort)); // ends: there are more ports than connections
    return this.#nextLocalPort;
  }

  /** Answers the packet at hand with a reset, unless it is one. */
  #refuse(): void {
    const { type, op, src_port, dst_port } = this.#header;
    if (op !== VIRTIO_VSOCK_OP_RST) this.#reset(type, src_port, dst_port);
  }

  #reset(type: number, guestPort: number, localPort: number): void {
    this.#sender.answer({ type, op: VIRTIO_VSOCK_OP_RST, srcPort: localPort, dstPort: guestPort });
  }

  /** @spec VIRTIO-1.2 §5.10.6.7 */
  #sendEvent(): void {
    if (!this.#resetDue) return;
    const chain = this.#eventq.pop();
    if (chain === undefined) return;
    this.#resetDue = false;
    const event = new Uint8Array(4);
    new DataView(event.buffer).setUint32(0, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET, true);
    chain.complete(chain.writable.write(event));
  }
}
