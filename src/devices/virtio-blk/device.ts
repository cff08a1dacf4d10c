import { MiB } from '../../base/units.ts';
import type { ReadableBuffers, WritableBuffers } from '../../virtio/buffers.ts';
import type { Chain } from '../../virtio/chain.ts';
import type { Activation, RunningDevice } from '../../virtio/device.ts';
import type { Virtqueue } from '../../virtio/virtqueue.ts';
import type { BlockBackend, Done } from './backend.ts';
import {
  ID_BYTES,
  RANGE_UNMAP,
  SECTOR,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
} from './protocol.ts';
import { rangeIn, takeHeader, takeRange } from './request.ts';

/** Longer transfers go to the backend in pieces of this size, one after the other. */
const PIECE = 1 * MiB;

type Status = number;
type Answer = Status | Promise<Status>;

/**
 * The running disk: takes everything that is available in one go, lets the backend work on it in parallel, and gives
 * each request back when it is done, in whatever order that happens.
 */
export class BlockDevice implements RunningDevice {
  readonly #requestq: Virtqueue;
  readonly #backend: BlockBackend;
  readonly #log: Activation['log'];
  /** A driver that cannot flush relies on a write being durable when it is completed. @spec VIRTIO-1.2 §5.2.6.2 */
  readonly #writeThrough: boolean;
  readonly #lease = { alive: true };
  #failures = 0;

  constructor({ queues: [requestq], features, saved, log }: Activation<readonly [Virtqueue]>, backend: BlockBackend) {
    this.#requestq = requestq;
    this.#backend = backend;
    this.#log = log;
    this.#writeThrough = backend.volatileCache && (features & VIRTIO_BLK_F_FLUSH) === 0n;
    // What was under way when the machine was saved begins again, without the driver's doing.
    if (saved !== undefined) Promise.resolve().then(() => this.#lease.alive && this.onNotify());
  }

  onNotify(): void {
    this.#requestq.serve((chain) => this.#serve(chain));
  }

  /** What is under way ends in the backend; nothing of it reaches the guest. */
  close(): void {
    this.#lease.alive = false;
  }

  /** The queue knows which requests are under way; nothing else is kept. */
  save(): unknown {
    return {};
  }

  #serve(chain: Chain): void {
    const { writable } = chain;
    if (writable.length === 0) return chain.complete(0); // nowhere to put a status
    const data = writable.take(writable.length - 1);
    let answer: Answer;
    try {
      answer = this.#answer(chain.readable, data);
    } catch (error) {
      answer = this.#failed(error);
    }
    if (typeof answer === 'number') finish(chain, answer);
    else answer.catch((error) => this.#failed(error)).then((status) => finish(chain, status));
  }

  #answer(readable: ReadableBuffers, data: WritableBuffers): Answer {
    const header = takeHeader(readable);
    if (header === undefined) return VIRTIO_BLK_S_IOERR;
    switch (header.type) {
      case VIRTIO_BLK_T_IN:
        return this.#in(header.sector, data);
      case VIRTIO_BLK_T_OUT:
        return this.#out(header.sector, readable);
      case VIRTIO_BLK_T_FLUSH:
        return okAfter(this.#backend.volatileCache ? this.#backend.flush() : undefined);
      case VIRTIO_BLK_T_GET_ID:
        return this.#getId(data);
      case VIRTIO_BLK_T_DISCARD:
        return this.#discard(readable);
      case VIRTIO_BLK_T_WRITE_ZEROES:
        return this.#writeZeroes(readable);
      default:
        return VIRTIO_BLK_S_UNSUPP;
    }
  }

  #in(sector: number, data: WritableBuffers): Answer {
    const range = rangeIn(this.#backend.length, sector, data.length);
    if (range === undefined) return VIRTIO_BLK_S_IOERR;
    return okAfter(this.#inPieces(range.length, (at, length) => this.#readPiece(range.offset + at, length, data)));
  }

  #readPiece(offset: number, length: number, data: WritableBuffers): Done {
    const done = this.#backend.read(offset, data.views(length), this.#lease);
    const wrote = (): undefined => void data.wrote(length);
    return done === undefined ? wrote() : done.then(wrote);
  }

  #out(sector: number, readable: ReadableBuffers): Answer {
    const { length, readOnly } = this.#backend;
    const range = rangeIn(length, sector, readable.remaining);
    if (range === undefined || readOnly) return VIRTIO_BLK_S_IOERR;
    const done = this.#inPieces(range.length, (at, pieceLength) => {
      const piece = this.#backend.write(range.offset + at, readable.views(pieceLength));
      readable.skip(pieceLength);
      return piece;
    });
    return this.#changed(done);
  }

  #getId(data: WritableBuffers): Status {
    if (data.length < ID_BYTES) return VIRTIO_BLK_S_IOERR;
    const id = new Uint8Array(ID_BYTES);
    id.set(this.#backend.id.subarray(0, ID_BYTES));
    data.write(id);
    return VIRTIO_BLK_S_OK;
  }

  #discard(readable: ReadableBuffers): Answer {
    const range = takeRange(readable);
    if (range === undefined || this.#backend.readOnly) return VIRTIO_BLK_S_IOERR;
    if (range.flags !== 0) return VIRTIO_BLK_S_UNSUPP; // unmap means nothing here, the other bits are reserved
    const bytes = rangeIn(this.#backend.length, range.sector, range.sectors * SECTOR);
    if (bytes === undefined) return VIRTIO_BLK_S_IOERR;
    return this.#changed(this.#backend.discard(bytes.offset, bytes.length));
  }

  #writeZeroes(readable: ReadableBuffers): Answer {
    const range = takeRange(readable);
    if (range === undefined || this.#backend.readOnly) return VIRTIO_BLK_S_IOERR;
    if ((range.flags & ~RANGE_UNMAP) !== 0) return VIRTIO_BLK_S_UNSUPP;
    const bytes = rangeIn(this.#backend.length, range.sector, range.sectors * SECTOR);
    if (bytes === undefined) return VIRTIO_BLK_S_IOERR;
    return this.#changed(this.#backend.writeZeroes(bytes.offset, bytes.length, (range.flags & RANGE_UNMAP) !== 0));
  }

  #changed(done: Done): Answer {
    if (!this.#writeThrough) return okAfter(done);
    return okAfter(done === undefined ? this.#backend.flush() : done.then(() => this.#backend.flush()));
  }

  /** Calls `move` for a transfer's pieces in order; short ones, which is nearly all, cost no promise. */
  #inPieces(length: number, move: (at: number, length: number) => Done): Done {
    if (length === 0) return undefined;
    return length <= PIECE ? move(0, length) : this.#longTransfer(length, move);
  }

  async #longTransfer(length: number, move: (at: number, length: number) => Done): Promise<void> {
    for (let at = 0; at < length && this.#lease.alive; at += PIECE) await move(at, Math.min(PIECE, length - at));
  }

  /** Said once: a guest can cause as many failures as it likes. */
  #failed(error: unknown): Status {
    this.#failures += 1;
    if (this.#failures === 1)
      this.#log('warn', `virtio-blk: ${error instanceof Error ? error.message : String(error)}`);
    return VIRTIO_BLK_S_IOERR;
  }
}

function okAfter(done: Done): Answer {
  return done === undefined ? VIRTIO_BLK_S_OK : done.then(() => VIRTIO_BLK_S_OK);
}

/** The status is the last byte of the chain, whatever became of the data before it. */
function finish(chain: Chain, status: Status): void {
  chain.writable.write(Uint8Array.of(status));
  chain.complete(chain.writable.length);
}
