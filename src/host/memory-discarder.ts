import type { MemoryDiscarder } from '../devices/virtio-balloon/backend.ts';
import { loadDiscardPages } from '../native/memory.ts';

/** The part of guest memory that discarding needs. */
export interface DiscardableMemory {
  bytes(gpa: number, length: number): Uint8Array;
  wrote(gpa: number, length: number): void;
}

/** Gives memory that the guest does not use back to the host, where the host has a way to take it. */
export class HostMemoryDiscarder implements MemoryDiscarder {
  readonly #discardPages = loadDiscardPages();
  #memory: DiscardableMemory | undefined;

  /** Says whose memory it is; before that nothing is given back. */
  attach(memory: DiscardableMemory): void {
    this.#memory = memory;
  }

  discard(gpa: number, length: number): void {
    if (this.#memory === undefined || this.#discardPages === null) return;
    // The kernel wants whole pages of its own, which are those of the guest: guest memory begins on one.
    if (this.#discardPages(this.#memory.bytes(gpa, length)) === 0) this.#memory.wrote(gpa, length);
  }
}
