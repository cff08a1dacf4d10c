import { GuestMemory } from '../../memory/guest-memory.ts';
import type { KernelCalls } from '../../native/kernel-calls.ts';

/** A large page of the host: memory that begins on one may be backed by large pages. */
const ALIGNMENT = 2 * 1024 * 1024;
const MADV_DONTNEED = 4;
const FOUR_GIB = 0x1_0000_0000;

/**
 * Guest memory, as pages of this process that KVM maps into the guest.
 *
 * It is a SharedArrayBuffer that the JavaScript engine gets from calloc, not a mapping of ours: it begins as pages the
 * host has not given yet, it stays alive for as long as anybody can still reach it (a file read under way when the VM
 * ends, say), and it is freed with the last thread that knows it, however that ends. See docs/decisions/0020.
 */
export class GuestRam {
  readonly memory: GuestMemory;
  /** Host address of guest-physical address 0. */
  readonly hva: bigint;
  readonly #calls: KernelCalls;
  readonly #bytes: Uint8Array;

  /** @param topBytes how many of the last bytes are those that end at 4 GiB */
  constructor(calls: KernelCalls, length: number, topBytes = 0) {
    this.#calls = calls;
    const buffer = new SharedArrayBuffer(length + ALIGNMENT);
    const start = calls.addressOf(new Uint8Array(buffer, 0, 1));
    const offset = Number((BigInt(ALIGNMENT) - (start % BigInt(ALIGNMENT))) % BigInt(ALIGNMENT));
    this.hva = start + BigInt(offset);
    this.#bytes = new Uint8Array(buffer, offset, length);
    const low = length - topBytes;
    this.memory = new GuestMemory(buffer, [
      { gpa: 0, length: low, offset },
      ...(topBytes > 0 ? [{ gpa: FOUR_GIB - topBytes, length: topBytes, offset: offset + low }] : []),
    ]);
  }

  /** Gives the pages back to the host now, whenever the buffer itself goes. */
  discard(): void {
    this.#calls.madvise(this.#bytes, MADV_DONTNEED);
  }
}
