import { KVM_EXIT, kvm_run } from './structs.ts';
import { STATUS_CLEAR, STATUS_FLAGS, STATUS_PAIRS, STATUS_READ, STATUS_WORDS } from './vcpu-protocol.ts';

/** Registers that say what happened and are cleared by whoever saw it: the two exits of every interrupt. */
export class StatusTable {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(buffer = new SharedArrayBuffer(STATUS_PAIRS * STATUS_WORDS * 4)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** @returns the word of flags, or undefined: the table is full */
  add({ status, acknowledge }: { readonly status: number; readonly acknowledge: number }): Int32Array | undefined {
    for (let at = 0; at < this.#words.length; at += STATUS_WORDS) {
      if (this.#words[at + STATUS_CLEAR] !== 0) continue;
      this.#words[at + STATUS_READ] = status;
      Atomics.store(this.#words, at + STATUS_CLEAR, acknowledge); // now it is there
      return this.#words.subarray(at + STATUS_FLAGS, at + STATUS_FLAGS + 1);
    }
    return undefined;
  }

  /** Answers an exit that concerns a register of the table. @returns whether it did; nothing is allocated */
  serve(run: DataView): boolean {
    if (run.getUint32(kvm_run.exit_reason, true) !== KVM_EXIT.MMIO) return false;
    if (run.getUint32(kvm_run.mmio_len, true) !== 4 || run.getUint32(kvm_run.mmio_phys_addr + 4, true) !== 0)
      return false;
    const gpa = run.getInt32(kvm_run.mmio_phys_addr, true);
    const register = run.getUint8(kvm_run.mmio_is_write) === 0 ? STATUS_READ : STATUS_CLEAR;
    const words = this.#words;
    for (let at = 0; at < words.length && Atomics.load(words, at + STATUS_CLEAR) !== 0; at += STATUS_WORDS) {
      if (words[at + register] !== gpa) continue;
      if (register === STATUS_READ) run.setInt32(kvm_run.mmio_data, Atomics.load(words, at + STATUS_FLAGS), true);
      else Atomics.and(words, at + STATUS_FLAGS, ~run.getInt32(kvm_run.mmio_data, true));
      return true;
    }
    return false;
  }
}
