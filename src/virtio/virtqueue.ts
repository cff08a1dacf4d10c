import type { GuestMemory } from '../memory/guest-memory.ts';
import { ReadableBuffers, WritableBuffers } from './buffers.ts';
import { Chain, type ChainOwner } from './chain.ts';
import { type ChainSegments, type DescriptorTable, type RingFault, readChain } from './descriptors.ts';
import {
  AVAIL_ELEM_SIZE,
  RING_ENTRIES,
  RING_FLAGS,
  RING_IDX,
  USED_ELEM_SIZE,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
} from './protocol.ts';
import type { RingPlacement } from './rings.ts';

/** What a queue asks of its transport. */
export interface QueueHost {
  /** A used buffer notification. */
  interrupt(): void;
  /** The driver broke the rules: the device stops until it is reset. */
  fault(queueIndex: number, fault: RingFault): void;
  /** There may be more chains, but this call has done its share. */
  again(queueIndex: number): void;
}

export interface VirtqueueOptions {
  readonly index: number;
  readonly memory: GuestMemory;
  readonly host: QueueHost;
  /** Undefined when the driver left the queue unused. Checked with `placementIsSound`. */
  readonly rings: RingPlacement | undefined;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
}

/** A queue's position as plain data. */
export interface VirtqueueState {
  readonly nextAvail: number;
  readonly nextUsed: number;
  /** Heads of chains that were taken and not completed; they are delivered again after a restore. */
  readonly inFlight: readonly number[];
}

/**
 * The device's end of a split virtqueue, from one activation of the device to its reset.
 *
 * A chain costs a few small objects and nothing else is allocated. Ring indexes are 16-bit counters.
 *
 * @spec VIRTIO-1.2 §2.7
 * @unsupported VIRTIO-1.2 §2.8 packed virtqueues
 */
export class Virtqueue implements ChainOwner {
  readonly index: number;
  /** Whether the driver set this queue up. */
  readonly ready: boolean;
  /** In descriptors; 0 when not ready. */
  readonly size: number;
  readonly #memory: GuestMemory;
  readonly #host: QueueHost;
  readonly #rings: RingPlacement;
  readonly #table: DescriptorTable;
  readonly #eventIdx: boolean;
  readonly #life = { alive: true };
  readonly #inFlight = new Set<Chain>();
  #redeliver: number[] = [];
  #peeked: Chain | undefined;
  #nextAvail = 0;
  #nextUsed = 0;
  /** Value of nextUsed when the driver was last notified; undefined: not known. */
  #signalled: number | undefined = undefined;
  #batching = false;
  #unsignalled = false;

  constructor(options: VirtqueueOptions) {
    const rings = options.rings ?? NO_RINGS;
    this.index = options.index;
    this.ready = options.rings !== undefined;
    this.size = rings.size;
    this.#memory = options.memory;
    this.#host = options.host;
    this.#rings = rings;
    this.#eventIdx = options.eventIdx;
    const { memory, indirect } = options;
    this.#table = { memory, gpa: rings.desc, count: rings.size, indirectAllowed: indirect };
    this.#life.alive = this.ready;
  }

  /** Takes the next available chain; undefined when there is none, or the queue is closed. */
  pop(): Chain | undefined {
    const chain = this.peek();
    if (chain === undefined) return undefined;
    this.#peeked = undefined;
    if (this.#redeliver.length > 0) this.#redeliver.shift();
    else this.#nextAvail = (this.#nextAvail + 1) & 0xffff;
    this.#inFlight.add(chain);
    return chain;
  }

  /** The chain that `pop` would take. It stays available, and keeps its read position, until it is popped. */
  peek(): Chain | undefined {
    if (this.#peeked !== undefined) return this.#peeked;
    const head = this.#nextHead();
    if (head === undefined) return undefined;
    const segments: ChainSegments = { readable: [], writable: [] };
    const fault = readChain(this.#table, head, segments);
    if (fault !== undefined) return this.#fault(fault);
    const readable = new ReadableBuffers(this.#memory, this.#life, segments.readable);
    const writable = new WritableBuffers(this.#memory, this.#life, segments.writable);
    this.#peeked = new Chain(this, head, readable, writable);
    return this.#peeked;
  }

  /**
   * Handles what is available, completing each chain with the number of bytes that `handle` says it wrote.
   * The driver is notified once at the end. One call handles at most a queue's length: a chain that overwrites the
   * available ring must not keep the host busy for ever.
   */
  drain(handle: (chain: Chain) => number): void {
    this.serve((chain) => chain.complete(handle(chain)));
  }

  /** The same for a device that completes a chain itself, now or later. */
  serve(handle: (chain: Chain) => void): void {
    this.batch(() => {
      for (let done = 0; done < this.size; done++) {
        const chain = this.pop();
        if (chain === undefined) return;
        handle(chain);
      }
      if (this.peek() !== undefined) this.#host.again(this.index);
    });
  }

  /**
   * The same for a device that can run out of room or of data: where `handle` says undefined, the chain and all after
   * it stay available.
   */
  drainWhile(handle: (chain: Chain) => number | undefined): void {
    this.batch(() => {
      for (let done = 0; done < this.size; done++) {
        const chain = this.peek();
        const written = chain && handle(chain);
        if (chain === undefined || written === undefined) return;
        if (this.pop() !== chain) return; // the device was reset meanwhile
        chain.complete(written);
      }
      if (this.peek() !== undefined) this.#host.again(this.index);
    });
  }

  /** Runs `work` and notifies the driver at most once for everything it completes on this queue. */
  batch(work: () => void): void {
    if (this.#batching) {
      work();
      return;
    }
    this.#batching = true;
    try {
      work();
    } finally {
      this.#batching = false;
      if (this.#unsignalled) this.#signal();
    }
  }

  /** For `Chain.complete`. */
  finish(chain: Chain, written: number): void {
    if (!this.#inFlight.delete(chain) || !this.#life.alive) return;
    const at = this.#rings.device + RING_ENTRIES + (this.#nextUsed % this.size) * USED_ELEM_SIZE;
    this.#memory.writeU32(at, chain.head);
    this.#memory.writeU32(at + 4, written);
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    fence(); // the element is visible before the index that publishes it
    this.#memory.writeU16(this.#rings.device + RING_IDX, this.#nextUsed);
    this.#unsignalled = true;
    if (!this.#batching) this.#signal();
  }

  /** Ends the queue: nothing is delivered any more and late completions do nothing. */
  close(): void {
    this.#life.alive = false;
    this.#peeked = undefined;
    this.#redeliver = [];
    this.#inFlight.clear();
  }

  save(): VirtqueueState {
    const heads = Array.from(this.#inFlight, (chain) => chain.head);
    return { nextAvail: this.#nextAvail, nextUsed: this.#nextUsed, inFlight: [...heads, ...this.#redeliver] };
  }

  /** Continues where a saved queue was; only before the first `pop`. */
  restore(state: VirtqueueState): void {
    this.#nextAvail = state.nextAvail & 0xffff;
    this.#nextUsed = state.nextUsed & 0xffff;
    this.#redeliver = [...state.inFlight];
  }

  #nextHead(): number | undefined {
    if (!this.#life.alive) return undefined;
    const again = this.#redeliver[0];
    if (again !== undefined) return again;
    let pending = this.#pending();
    if (pending === 0 && this.#eventIdx) {
      this.#askForNotification();
      pending = this.#pending();
    }
    if (pending === 0) return undefined;
    if (pending > this.size) return this.#fault('avail-idx-too-far');
    if (this.#inFlight.size >= this.size) return this.#fault('too-many-in-flight');
    fence(); // the entry is read after the index that published it
    const slot = this.#nextAvail % this.size;
    return this.#memory.readU16(this.#rings.driver + RING_ENTRIES + slot * AVAIL_ELEM_SIZE);
  }

  /** Entries the driver added and nobody took. */
  #pending(): number {
    return (this.#memory.readU16(this.#rings.driver + RING_IDX) - this.#nextAvail) & 0xffff;
  }

  /** Sets avail_event: the next entry the driver adds is worth a notification. @spec VIRTIO-1.2 §2.7.10 */
  #askForNotification(): void {
    this.#memory.writeU16(this.#rings.device + RING_ENTRIES + this.size * USED_ELEM_SIZE, this.#nextAvail);
    fence(); // visible before the index is looked at once more
  }

  #signal(): void {
    this.#unsignalled = false;
    fence(); // the used index is visible before the driver's wish is read
    if (this.#driverWantsInterrupt()) this.#host.interrupt();
  }

  /** @spec VIRTIO-1.2 §2.7.7.2 */
  #driverWantsInterrupt(): boolean {
    if (!this.#life.alive) return false;
    if (!this.#eventIdx) {
      return (this.#memory.readU16(this.#rings.driver + RING_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    }
    const usedEvent = this.#memory.readU16(this.#rings.driver + RING_ENTRIES + this.size * AVAIL_ELEM_SIZE);
    const before = this.#signalled;
    this.#signalled = this.#nextUsed;
    if (before === undefined) return true;
    return ((this.#nextUsed - usedEvent - 1) & 0xffff) < ((this.#nextUsed - before) & 0xffff);
  }

  #fault(fault: RingFault): undefined {
    this.close();
    this.#host.fault(this.index, fault);
    return undefined;
  }
}

const NO_RINGS: RingPlacement = { size: 0, desc: 0, driver: 0, device: 0 };

const fenceCell = new Int32Array(1);

/** Orders ring accesses against a vCPU on another thread; an atomic store is a full barrier on every engine we know. */
function fence(): void {
  Atomics.store(fenceCell, 0, 0);
}
