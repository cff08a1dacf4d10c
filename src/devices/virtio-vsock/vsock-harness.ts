import { deviceHarness, type Harness } from '../../testing/device-harness.ts';
import { readable, writable } from '../../testing/fake-driver.ts';
import type {
  DatagramEvents,
  DatagramSocket,
  GuestPorts,
  HostStream,
  Listener,
  ListenerEvents,
  SocketAddress,
  StreamEvents,
  VsockBackend,
} from './backend.ts';
import { virtioVsock } from './index.ts';
import {
  decodeHeader,
  emptyHeader,
  encodeHeader,
  HDR_SIZE,
  RECEIVEQ,
  TRANSMITQ,
  VIRTIO_VSOCK_OP_RW,
  VIRTIO_VSOCK_TYPE_DGRAM,
  VIRTIO_VSOCK_TYPE_STREAM,
  type VsockHeader,
} from './protocol.ts';

export const GUEST_CID = 3;

/** A stream of the host that notes what is done to it. */
export class FakeStream implements HostStream {
  remote: SocketAddress | undefined = { family: 'ipv4', address: '192.0.2.9', port: 4000 };
  events: StreamEvents | undefined;
  readonly calls: string[] = [];
  readonly written: Uint8Array[] = [];
  flowing = false;
  over: 'released' | 'destroyed' | undefined;

  attach(events: StreamEvents): void {
    this.events = events;
  }
  accepted(): void {
    this.calls.push('accepted');
  }
  write(bytes: Uint8Array): void {
    this.written.push(bytes);
  }
  end(): void {
    this.calls.push('end');
  }
  pause(): void {
    this.flowing = false;
  }
  resume(): void {
    this.flowing = true;
  }
  release(): void {
    this.over = 'released';
  }
  destroy(): void {
    this.over = 'destroyed';
  }
  /** Bytes written that the host has not taken yet. */
  get pending(): number {
    return this.written.reduce((sum, { length }) => sum + length, 0);
  }
  /** The host takes everything. */
  drain(): void {
    for (const { length } of this.written.splice(0)) this.events?.onWritten(length);
  }
}

export interface FakeListener extends Listener {
  readonly address: SocketAddress;
  readonly events: ListenerEvents;
  closed: boolean;
}

export interface FakeDatagramSocket extends DatagramSocket {
  readonly events: DatagramEvents;
  readonly sent: { readonly bytes: Uint8Array; readonly to: SocketAddress | undefined }[];
  peer: SocketAddress | undefined;
  closed: boolean;
}

/** A host whose sockets do what the test says. */
export class FakeHost {
  /** Streams the guest asked for, in order; TSI's and those of service ports. */
  readonly streams: { readonly to: SocketAddress | number; readonly stream: FakeStream }[] = [];
  readonly listeners: FakeListener[] = [];
  readonly datagrams: FakeDatagramSocket[] = [];
  /** Ports that have a service. */
  readonly services = new Set([1234]);
  /** What `connect` and `listen` answer at once, instead of a socket. */
  refusal: number | undefined;
  guest: GuestPorts | undefined;

  backend({ tsi = true, unix = false } = {}): VsockBackend {
    return {
      guestCid: GUEST_CID,
      ports: {
        connect: (port, events) => (this.services.has(port) ? this.#stream(port, events) : undefined),
        attach: (guest) => {
          this.guest = guest;
        },
      },
      ...(tsi && {
        tsi: {
          inet: true,
          unix,
          streams: { connect: (address, events) => this.refusal ?? this.#stream(address, events) },
          listeners: { listen: (address, _backlog, events) => this.refusal ?? this.#listen(address, events) },
          datagrams: { open: (_family, events) => this.refusal ?? this.#datagram(events) },
        },
      }),
    };
  }

  #stream(to: SocketAddress | number, events: StreamEvents): FakeStream {
    const stream = new FakeStream();
    stream.events = events;
    this.streams.push({ to, stream });
    return stream;
  }

  #listen(address: SocketAddress, events: ListenerEvents): Listener {
    const listener: FakeListener = {
      address,
      events,
      closed: false,
      close: () => {
        listener.closed = true;
      },
    };
    this.listeners.push(listener);
    return listener;
  }

  #datagram(events: DatagramEvents): DatagramSocket {
    const socket: FakeDatagramSocket = {
      events,
      sent: [],
      peer: undefined,
      closed: false,
      connect: (address) => {
        socket.peer = address;
      },
      send: (bytes, to) => {
        socket.sent.push({ bytes, to });
      },
      close: () => {
        socket.closed = true;
      },
    };
    this.datagrams.push(socket);
    return socket;
  }
}

/** A packet as the guest got it. */
export interface Packet extends VsockHeader {
  readonly payload: Uint8Array;
}

/** A guest's driver that says what a test tells it to. */
export class ScriptedGuest {
  readonly rig: Harness;
  readonly bufferBytes: number;

  constructor(backend: VsockBackend, { bufferBytes = 4096, memoryBytes = 8 << 20 } = {}) {
    this.rig = deviceHarness(virtioVsock, backend, { memoryBytes });
    this.bufferBytes = bufferBytes;
  }

  /** Offers so many receive buffers, as far as descriptors go. */
  offer(count: number): void {
    const free = this.rig.driver.freeDescriptors(RECEIVEQ);
    for (let added = 0; added < Math.min(count, free); added++)
      this.rig.driver.add(RECEIVEQ, [writable(this.bufferBytes)]);
    this.rig.notify(RECEIVEQ);
  }

  /** Sends a packet; fields that are not given are those of a stream packet with much credit. */
  send(fields: Partial<VsockHeader>, payload: Uint8Array = new Uint8Array(0)): void {
    const header = { ...emptyHeader(), src_cid: GUEST_CID, dst_cid: 2, type: VIRTIO_VSOCK_TYPE_STREAM };
    const bytes = new Uint8Array(HDR_SIZE);
    Object.assign(header, { buf_alloc: 0x4_0000, len: payload.length, ...fields });
    encodeHeader(header, new DataView(bytes.buffer));
    this.rig.driver.add(TRANSMITQ, payload.length === 0 ? [readable(bytes)] : [readable(bytes), readable(payload)]);
    this.rig.notify(TRANSMITQ);
    this.rig.used(TRANSMITQ);
  }

  /** A control message of a transparent socket. */
  control(kind: number, payload: Uint8Array, src_port = 77): void {
    this.send({ type: VIRTIO_VSOCK_TYPE_DGRAM, op: VIRTIO_VSOCK_OP_RW, src_port, dst_port: kind }, payload);
  }

  /** What arrived since the last call. */
  received(): Packet[] {
    return this.rig.used(RECEIVEQ).map(({ id, len }) => {
      const bytes = this.rig.driver.written(RECEIVEQ, id).subarray(0, len);
      const header = emptyHeader();
      decodeHeader(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), header);
      return { ...header, payload: bytes.subarray(HDR_SIZE) };
    });
  }

  /** Offers buffers and takes what comes, once. */
  exchange(count = 8): Packet[] {
    this.offer(count);
    return this.received();
  }
}
