import { KiB, MiB } from '../../base/units.ts';
import type { Virtqueue } from '../../virtio/virtqueue.ts';
import type { Connection, Outgoing } from './connection.ts';
import {
  emptyHeader,
  encodeHeader,
  HDR_SIZE,
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_HOST,
  type VsockHeader,
} from './protocol.ts';

/** Answers that may wait before the guest's own packets have to: a driver that offers no buffers grows nothing. */
const ANSWERS_MAX = 256;
const DATAGRAMS_MAX = 512;
const DATAGRAM_BYTES_MAX = 1 * MiB;
/** Less room than this in a buffer is of no use to anybody. */
const ROOM_MIN = 1;

/** A packet outside any connection. */
export interface Answer {
  readonly type: number;
  readonly op: number;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly payload?: Uint8Array;
}

/** Fills the receiveq: answers first, then datagrams and connections in turn. */
export class Sender {
  readonly #receiveq: Virtqueue;
  readonly #header: VsockHeader = emptyHeader();
  readonly #headerBytes = new Uint8Array(HDR_SIZE);
  readonly #headerView = new DataView(this.#headerBytes.buffer);
  readonly #outgoing: Outgoing = { op: 0, flags: 0, payload: undefined };
  readonly #answers: Answer[] = [];
  readonly #datagrams: Answer[] = [];
  #datagramBytes = 0;
  /** In order of their turns. */
  readonly #ready = new Set<Connection>();
  #pumping = false;

  constructor(receiveq: Virtqueue, guestCid: number) {
    this.#receiveq = receiveq;
    this.#header.src_cid = VMADDR_CID_HOST;
    this.#header.dst_cid = guestCid;
  }

  /** Whether so much waits for the guest that it should not be allowed to cause more. */
  get congested(): boolean {
    return this.#answers.length >= ANSWERS_MAX;
  }

  /** What waits, for tests of its bounds. */
  get waiting(): { answers: number; datagramBytes: number; connections: number } {
    return {
      answers: this.#answers.length,
      datagramBytes: this.#datagramBytes,
      connections: this.#ready.size,
    };
  }

  answer(answer: Answer): void {
    this.#answers.push(answer);
  }

  /** Queues a datagram; one too many is lost, as datagrams are. */
  datagram(datagram: Answer): void {
    const length = datagram.payload?.length ?? 0;
    if (this.#datagrams.length >= DATAGRAMS_MAX || this.#datagramBytes + length > DATAGRAM_BYTES_MAX) return;
    this.#datagrams.push(datagram);
    this.#datagramBytes += length;
  }

  ready(connection: Connection): void {
    this.#ready.add(connection);
  }

  forget(connection: Connection): void {
    this.#ready.delete(connection);
  }

  /** Sends what the guest has buffers for, at most a queue's length; it notifies us when it adds more. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      this.#receiveq.batch(() => {
        for (let done = 0; done < this.#receiveq.size; done++) if (!this.#sendOne()) return;
      });
    } finally {
      this.#pumping = false;
    }
  }

  #sendOne(): boolean {
    if (this.#answers.length + this.#datagrams.length + this.#ready.size === 0) return false;
    const chain = this.#receiveq.peek();
    if (chain === undefined) return false;
    const room = Math.min(chain.writable.length - HDR_SIZE, 64 * KiB);
    let sender: Connection | undefined;
    if (room >= ROOM_MIN) {
      sender = this.#fill(room);
      if (sender === undefined && this.#header.op === 0) return false;
    } else {
      this.#header.op = 0; // a useless buffer goes back empty
    }
    this.#receiveq.pop();
    chain.complete(this.#header.op === 0 ? 0 : this.#write(chain));
    sender?.sent();
    return true;
  }

  #write(chain: NonNullable<ReturnType<Virtqueue['pop']>>): number {
    const { payload } = this.#outgoing;
    this.#header.len = payload?.length ?? 0;
    encodeHeader(this.#header, this.#headerView);
    const written = chain.writable.write(this.#headerBytes);
    return payload === undefined ? written : written + chain.writable.write(payload);
  }

  /** Puts the next packet into header and outgoing; op 0 when there is none. */
  #fill(room: number): Connection | undefined {
    const datagram = this.#answers.shift() ?? this.#nextDatagram(room);
    if (datagram !== undefined) {
      this.#fillAnswer(datagram);
      return undefined;
    }
    const turns = this.#ready.size;
    for (let turn = 0; turn < turns; turn++) {
      const [connection] = this.#ready;
      if (connection === undefined) break;
      this.#ready.delete(connection);
      if (!connection.next(this.#outgoing, room)) continue;
      if (connection.hasWork) this.#ready.add(connection);
      this.#fillPacket(connection);
      return connection;
    }
    this.#header.op = 0;
    return undefined;
  }

  /** A datagram travels in one piece or not at all. */
  #nextDatagram(room: number): Answer | undefined {
    for (let datagram = this.#datagrams.shift(); datagram !== undefined; datagram = this.#datagrams.shift()) {
      const length = datagram.payload?.length ?? 0;
      this.#datagramBytes -= length;
      if (length <= room) return datagram;
    }
    return undefined;
  }

  #fillAnswer({ type, op, srcPort, dstPort, payload }: Answer): void {
    const header = this.#header;
    header.type = type;
    header.op = op;
    header.src_port = srcPort;
    header.dst_port = dstPort;
    header.flags = 0;
    header.buf_alloc = 0;
    header.fwd_cnt = 0;
    this.#outgoing.payload = payload;
  }

  #fillPacket(connection: Connection): void {
    const header = this.#header;
    header.type = VIRTIO_VSOCK_TYPE_STREAM;
    header.op = this.#outgoing.op;
    header.flags = this.#outgoing.flags;
    header.src_port = connection.localPort;
    header.dst_port = connection.guestPort;
    header.buf_alloc = connection.bufAlloc;
    header.fwd_cnt = connection.fwdCnt;
  }
}
