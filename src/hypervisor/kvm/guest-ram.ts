import { GuestMemory } from '../../memory/guest-memory.ts';
import type { KernelCalls } from '../../native/kernel-calls.ts';

/** A large page of the host: memory that begins on one may be backed by large pages. */
const ALIGNMENT = 2 * 1024 * 1024;
const MADV_DONTNEED = 4;

/**
 * Guest memory, as pages of this process that KVM maps into the guest.
 *
 * It is a SharedArrayBuffer that the JavaScript engine gets from calloc, not a mapping of ours: it begins as pages the
 * host has not given yet, it stays alive for as long as anybody can still reach it (a file read under way when the VM
 * ends, say), and it is freed with the last thread that knows it, however that ends. See docs/decisions/0005.
 */
export class GuestRam {
  readonly memory: GuestMemory;
  /** Host address of guest-physical address 0. */
  readonly hva: bigint;
  readonly #calls: KernelCalls;
  readonly #bytes: Uint8Array;

  constructor(calls: KernelCalls, length: number) {
    this.#calls = calls;
    const buffer = new SharedArrayBuffer(length + ALIGNMENT);
    const start = calls.addressOf(new Uint8Array(buffer, 0, 1));
    const offset = Number((BigInt(ALIGNMENT) - (start % BigInt(ALIGNMENT))) % BigInt(ALIGNMENT));
    this.hva = start + BigInt(offset);
    this.#bytes = new Uint8Array(buffer, offset, length);
    this.memory = new GuestMemory(buffer, [{ gpa: 0, length, offset }]);
  }

  /** Gives the pages back to the host now, whenever the buffer itself goes. */
  discard(): void {
    this.#calls.madvise(this.#bytes, MADV_DONTNEED);
  }
}
