import type { BusDevice } from '../bus/bus.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import {
  ACKNOWLEDGE,
  availRingBytes,
  DESC_FLAGS,
  DESC_LEN,
  DESC_NEXT,
  DRIVER,
  DRIVER_OK,
  FEATURES_OK,
  RING_ENTRIES,
  RING_FLAGS,
  RING_IDX,
  USED_ELEM_SIZE,
  usedRingBytes,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
} from '../virtio/protocol.ts';
import { CONFIG_START, MMIO } from '../virtio/registers.ts';

/** Part of a chain: bytes for the device to read, or room for it to write. */
export type Piece = { readonly readable: Uint8Array } | { readonly writable: number };

/** A descriptor as the device will see it, right or wrong. */
export interface RawDescriptor {
  readonly addr: number | bigint;
  readonly len: number;
  readonly flags: number;
  readonly next: number;
}

export interface UsedElement {
  readonly id: number;
  readonly len: number;
}

/** Bytes the device may read; a number means that many zeros. */
export function readable(content: number | Uint8Array): Piece {
  return { readable: typeof content === 'number' ? new Uint8Array(content) : content };
}

/** Room for the device to write. */
export function writable(length: number): Piece {
  return { writable: length };
}

export const ALL_FEATURES = 2n ** 64n - 1n;

interface FakeChain {
  readonly descriptors: number[];
  /** Its device-writable buffers. */
  readonly rooms: [gpa: number, length: number][];
  /** The device gave it back; descriptors are free again. */
  done: boolean;
}

interface FakeQueue {
  readonly index: number;
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  readonly free: number[];
  readonly chains: Map<number, FakeChain>;
  nextAvail: number;
  seenUsed: number;
}

/**
 * The driver's end of virtio-mmio for tests and fuzzers: brings a device up, lays rings out in guest memory, adds
 * chains and reads the used ring. It does what the spec asks of drivers, except where a test asks it not to.
 */
export class FakeDriver {
  readonly #device: BusDevice;
  readonly #memory: GuestMemory;
  readonly #queues: FakeQueue[] = [];
  readonly #heapStart: number;
  #heap: number;
  /** Behind the rings. */
  #buffersStart: number;

  /** @param heapStart where rings and buffers may go: from here to the end of the first region */
  constructor(device: BusDevice, memory: GuestMemory, heapStart = 0x1000) {
    this.#device = device;
    this.#memory = memory;
    this.#heapStart = heapStart;
    this.#heap = heapStart;
    this.#buffersStart = heapStart;
  }

  read(register: keyof typeof MMIO): number {
    return this.#device.read(MMIO[register].at, 4);
  }

  write(register: keyof typeof MMIO, value: number): void {
    this.#device.write(MMIO[register].at, 4, value);
  }

  config(offset: number, size: 1 | 2 | 4): number {
    return this.#device.read(CONFIG_START + offset, size);
  }

  /** Reset to DRIVER_OK, with every queue at its greatest size unless `queueSizeMax` is less. */
  start({ features = ALL_FEATURES, queueSizeMax = 32768 } = {}): void {
    this.negotiate(features);
    for (let index = 0; this.#sizeOf(index) > 0; index++)
      this.#setUp(index, Math.min(this.#sizeOf(index), queueSizeMax));
    this.#buffersStart = this.#heap;
    this.write('Status', ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
  }

  /** Reset to FEATURES_OK. Accepts those of `wanted` that are offered. */
  negotiate(wanted: bigint): void {
    this.write('Status', 0);
    this.#queues.length = 0;
    this.#heap = this.#heapStart;
    this.write('Status', ACKNOWLEDGE);
    this.write('Status', ACKNOWLEDGE | DRIVER);
    for (const half of [0, 1]) {
      this.write('DeviceFeaturesSel', half);
      this.write('DriverFeaturesSel', half);
      const mask = Number((wanted >> BigInt(32 * half)) & 0xffff_ffffn);
      this.write('DriverFeatures', (this.read('DeviceFeatures') & mask) >>> 0);
    }
    this.write('Status', ACKNOWLEDGE | DRIVER | FEATURES_OK);
  }

  /** Makes a chain available and returns its head. */
  add(queueIndex: number, pieces: readonly Piece[]): number {
    const queue = this.#queue(queueIndex);
    const indexes = pieces.map(() => this.#takeDescriptor(queue));
    const rooms: [number, number][] = [];
    const raw = pieces.map((piece, at) => {
      const more = at + 1 < pieces.length ? VIRTQ_DESC_F_NEXT : 0;
      const next = indexes[at + 1] ?? 0;
      if ('readable' in piece) {
        const addr = this.allocate(piece.readable.length);
        this.#memory.write(addr, piece.readable);
        return { addr, len: piece.readable.length, flags: more, next };
      }
      const addr = this.allocate(piece.writable);
      rooms.push([addr, piece.writable]);
      return { addr, len: piece.writable, flags: more | VIRTQ_DESC_F_WRITE, next };
    });
    raw.forEach((descriptor, at) => {
      this.writeDescriptor(queueIndex, indexes[at] ?? 0, descriptor);
    });
    const head = indexes[0] ?? 0;
    queue.chains.set(head, { descriptors: indexes, rooms, done: false });
    this.publish(queueIndex, head);
    return head;
  }

  /** Writes these descriptors as they are, from index 0, and makes 0 available: one line per hostile chain. */
  addRaw(queueIndex: number, descriptors: readonly RawDescriptor[]): void {
    descriptors.forEach((descriptor, index) => {
      this.writeDescriptor(queueIndex, index, descriptor);
    });
    this.publish(queueIndex, 0);
  }

  writeDescriptor(queueIndex: number, index: number, descriptor: RawDescriptor): void {
    this.writeDescriptorAt(this.#queue(queueIndex).desc + index * VIRTQ_DESC_SIZE, descriptor);
  }

  /** For indirect tables. */
  writeDescriptorAt(gpa: number, { addr, len, flags, next }: RawDescriptor): void {
    this.#memory.writeU64(gpa, BigInt(addr));
    this.#memory.writeU32(gpa + DESC_LEN, len);
    this.#memory.writeU16(gpa + DESC_FLAGS, flags);
    this.#memory.writeU16(gpa + DESC_NEXT, next);
  }

  /** Puts any number into the available ring as a head. */
  publish(queueIndex: number, head: number): void {
    const queue = this.#queue(queueIndex);
    this.#memory.writeU16(queue.avail + RING_ENTRIES + 2 * (queue.nextAvail % queue.size), head);
    queue.nextAvail = (queue.nextAvail + 1) & 0xffff;
    this.#memory.writeU16(queue.avail + RING_IDX, queue.nextAvail);
  }

  notify(queueIndex: number): void {
    this.write('QueueNotify', queueIndex);
  }

  /** What the device completed since the last call. */
  used(queueIndex: number): UsedElement[] {
    const queue = this.#queue(queueIndex);
    const list: UsedElement[] = [];
    const idx = this.#memory.readU16(queue.used + RING_IDX);
    while (queue.seenUsed !== idx && list.length < queue.size) {
      const at = queue.used + RING_ENTRIES + (queue.seenUsed % queue.size) * USED_ELEM_SIZE;
      const element = { id: this.#memory.readU32(at), len: this.#memory.readU32(at + 4) };
      const chain = queue.chains.get(element.id);
      if (chain !== undefined && !chain.done) queue.free.push(...chain.descriptors);
      if (chain !== undefined) chain.done = true;
      queue.seenUsed = (queue.seenUsed + 1) & 0xffff;
      list.push(element);
    }
    return list;
  }

  /** A copy of a chain's device-writable bytes, all of its room. */
  written(queueIndex: number, head: number): Uint8Array {
    const bytes: number[] = [];
    for (const [gpa, length] of this.#queue(queueIndex).chains.get(head)?.rooms ?? []) {
      bytes.push(...this.#memory.bytes(gpa, length));
    }
    return Uint8Array.from(bytes);
  }

  /** Guest addresses of a queue's parts, for tests that bend them. */
  rings(queueIndex: number): {
    readonly desc: number;
    readonly avail: number;
    readonly used: number;
    readonly size: number;
  } {
    return this.#queue(queueIndex);
  }

  setAvailFlags(queueIndex: number, flags: number): void {
    this.#memory.writeU16(this.#queue(queueIndex).avail + RING_FLAGS, flags);
  }

  setAvailIdx(queueIndex: number, idx: number): void {
    this.#memory.writeU16(this.#queue(queueIndex).avail + RING_IDX, idx);
  }

  /** With VIRTIO_F_EVENT_IDX: interrupt when the used index passes this value. */
  setUsedEvent(queueIndex: number, value: number): void {
    const queue = this.#queue(queueIndex);
    this.#memory.writeU16(queue.avail + RING_ENTRIES + 2 * queue.size, value);
  }

  /** With VIRTIO_F_EVENT_IDX: the available index at which the device wants a notification. */
  availEvent(queueIndex: number): number {
    const queue = this.#queue(queueIndex);
    return this.#memory.readU16(queue.used + RING_ENTRIES + USED_ELEM_SIZE * queue.size);
  }

  get queueCount(): number {
    return this.#queues.length;
  }

  freeDescriptors(queueIndex: number): number {
    return this.#queue(queueIndex).free.length;
  }

  /** Indexes of a chain's descriptors, in order. */
  descriptorsOf(queueIndex: number, head: number): readonly number[] {
    return this.#queue(queueIndex).chains.get(head)?.descriptors ?? [];
  }

  /** Takes all descriptors back without waiting for the device: against the rules. */
  forget(queueIndex: number): void {
    const queue = this.#queue(queueIndex);
    queue.chains.clear();
    queue.free.splice(0, queue.free.length, ...Array.from({ length: queue.size }, (_, at) => at));
  }

  /** Guest memory for a buffer, aligned to 16; starts over behind the rings when memory ends. */
  allocate(length: number): number {
    if (!this.#memory.contains(this.#heap, length)) this.#heap = this.#buffersStart;
    const gpa = this.#heap;
    this.#heap += Math.ceil(length / 16) * 16;
    return gpa;
  }

  /** The driver of a device that was restored: the queues are where they were. */
  adopt(other: FakeDriver): void {
    this.#queues.push(...other.#queues);
    this.#heap = other.#heap;
    this.#buffersStart = other.#buffersStart;
  }

  #sizeOf(index: number): number {
    this.write('QueueSel', index);
    return this.read('QueueNumMax');
  }

  #setUp(index: number, size: number): void {
    const desc = this.allocate(VIRTQ_DESC_SIZE * size);
    const avail = this.allocate(availRingBytes(size));
    const used = this.allocate(usedRingBytes(size));
    for (const [gpa, bytes] of [
      [avail, availRingBytes(size)],
      [used, usedRingBytes(size)],
    ] as const) {
      this.#memory.write(gpa, new Uint8Array(bytes));
    }
    this.write('QueueNum', size);
    this.write('QueueDescLow', desc);
    this.write('QueueDescHigh', 0);
    this.write('QueueDriverLow', avail);
    this.write('QueueDriverHigh', 0);
    this.write('QueueDeviceLow', used);
    this.write('QueueDeviceHigh', 0);
    this.write('QueueReady', 1);
    const free = Array.from({ length: size }, (_, at) => at);
    this.#queues.push({ index, size, desc, avail, used, free, chains: new Map(), nextAvail: 0, seenUsed: 0 });
  }

  #queue(index: number): FakeQueue {
    const queue = this.#queues[index];
    if (queue === undefined) throw new RangeError(`Cannot use queue ${index}: the device has ${this.#queues.length}`);
    return queue;
  }

  #takeDescriptor(queue: FakeQueue): number {
    const index = queue.free.shift();
    if (index === undefined) throw new RangeError(`Cannot add to queue ${queue.index}: all descriptors are in use`);
    return index;
  }
}
