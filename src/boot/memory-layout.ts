import { alignUp, MiB } from '../base/units.ts';
import { BootError } from './boot-error.ts';
import { type KernelImage, checkKernelImage, kernelEnd } from './kernel-image.ts';
import { FOUR_GIB, MMIO_WINDOW_START } from './layout.ts';

/** Where guest RAM is. The kernel lies in it, and does not count towards the size the user asked for. */
export interface MemoryLayout {
  /** RAM is [0, lowBytes), the kernel included. */
  readonly lowBytes: number;
  /** RAM is [4 GiB, 4 GiB + highBytes). */
  readonly highBytes: number;
  /** First address after the last byte of RAM. */
  readonly ramEnd: number;
}

/**
 * Lays out RAM around a kernel as libkrun does: what the user asked for starts after the kernel, what lies below
 * the kernel comes on top. RAM that would reach the device window continues at 4 GiB.
 *
 * @param memoryBytes what the user asked for, rounded up to pages here
 * @throws {BootError} ERR_MEMORY_SIZE, ERR_KERNEL_IMAGE
 */
export function computeMemoryLayout(memoryBytes: number, kernel: KernelImage): MemoryLayout {
  checkKernelImage(kernel);
  if (!Number.isSafeInteger(memoryBytes) || memoryBytes < 1) {
    throw new BootError('ERR_MEMORY_SIZE', `Cannot lay out guest memory: size is ${memoryBytes} bytes`);
  }
  const asked = alignUp(memoryBytes, PAGE_BYTES);
  const needed = kernelEnd(kernel);
  if (asked < needed) {
    const state = `it needs ${Math.ceil(needed / MiB)} MiB, the guest has ${Math.floor(asked / MiB)} MiB`;
    throw new BootError('ERR_MEMORY_SIZE', `Cannot fit the kernel: ${state}`);
  }
  if (needed > MMIO_WINDOW_START) {
    throw new BootError(
      'ERR_KERNEL_IMAGE',
      `Cannot use kernel image: it ends at 0x${needed.toString(16)}, among devices`,
    );
  }
  // Above the window the kernel is not extra: its place is taken from the low part, as upstream counts.
  const end = kernel.counted === true || asked > MMIO_WINDOW_START ? asked : needed + asked;
  return split(end);
}

/** RAM without a kernel in it: what firmware finds. @throws {BootError} ERR_MEMORY_SIZE */
export function plainMemoryLayout(memoryBytes: number): MemoryLayout {
  if (!Number.isSafeInteger(memoryBytes) || memoryBytes < 2 * MiB) {
    throw new BootError('ERR_MEMORY_SIZE', `Cannot lay out guest memory: size is ${memoryBytes} bytes`);
  }
  return split(alignUp(memoryBytes, PAGE_BYTES));
}

function split(end: number): MemoryLayout {
  const lowBytes = Math.min(end, MMIO_WINDOW_START);
  const highBytes = end - lowBytes;
  return { lowBytes, highBytes, ramEnd: highBytes > 0 ? FOUR_GIB + highBytes : lowBytes };
}

const PAGE_BYTES = 4096;
