import { badKernel, KERNEL_BYTES_MAX } from './limits.ts';

const FIRST_BYTES = 1 << 20;

/** Bytes that a decoder makes one after the other, up to the size of the largest kernel. */
export class Output {
  bytes = new Uint8Array(FIRST_BYTES);
  length = 0;

  /** Makes room for so many more bytes. @throws {BootError} ERR_KERNEL_IMAGE: that would be too many */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    if (needed > KERNEL_BYTES_MAX) throw badKernel(`it decompresses to more than ${KERNEL_BYTES_MAX} bytes`);
    const larger = new Uint8Array(Math.min(KERNEL_BYTES_MAX, Math.max(needed, this.bytes.length * 2)));
    larger.set(this.bytes);
    this.bytes = larger;
  }

  taken(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}
