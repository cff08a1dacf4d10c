import { assert } from '../base/assert.ts';
import type { ReadableBuffers, WritableBuffers } from './buffers.ts';

/** Where a finished chain goes. */
export interface ChainOwner {
  finish(chain: Chain, written: number): void;
}

/**
 * A buffer the driver made available: bytes to read, room to write, and the duty to complete it once.
 * A chain that outlives a reset of the device may still be completed; that does nothing.
 */
export class Chain {
  /** Index of the first descriptor: the chain's name towards the driver. */
  readonly head: number;
  readonly readable: ReadableBuffers;
  readonly writable: WritableBuffers;
  readonly #owner: ChainOwner;
  #completed = false;

  constructor(owner: ChainOwner, head: number, readable: ReadableBuffers, writable: WritableBuffers) {
    this.#owner = owner;
    this.head = head;
    this.readable = readable;
    this.writable = writable;
  }

  /**
   * Gives the buffer back to the driver and notifies it when it wants that.
   *
   * @param written bytes written from the start of `writable`, at most its length
   */
  complete(written: number): void {
    assert(!this.#completed, 'a chain is completed once');
    assert(written >= 0 && written <= this.writable.length, 'no more was written than there was room for');
    this.#completed = true;
    this.#owner.finish(this, written);
  }
}
