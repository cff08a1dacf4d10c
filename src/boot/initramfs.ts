import { MiB } from '../base/units.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { BootError } from './boot-error.ts';
import { type KernelImage, kernelEnd } from './kernel-image.ts';
import type { MemoryLayout } from './memory-layout.ts';

/** Where an initramfs lies. */
export interface InitramfsPlace {
  readonly gpa: number;
  readonly length: number;
}

const PAGE_BYTES = 4096;

/**
 * Puts the initramfs at the top of RAM, as far as it goes from a kernel that unpacks itself.
 *
 * @throws {BootError} ERR_MEMORY_SIZE: it would touch the kernel
 */
export function loadInitramfs(
  memory: GuestMemory,
  bytes: Uint8Array,
  { kernel, layout }: { readonly kernel: KernelImage; readonly layout: MemoryLayout },
): InitramfsPlace {
  const top = layout.lowBytes - bytes.length;
  const gpa = top - (top % PAGE_BYTES);
  if (gpa < kernelEnd(kernel)) {
    const needed = Math.ceil((kernelEnd(kernel) + bytes.length) / MiB);
    throw new BootError(
      'ERR_MEMORY_SIZE',
      `Cannot fit the initramfs: with the kernel it needs ${needed} MiB, the guest has ${Math.floor(layout.lowBytes / MiB)} MiB`,
    );
  }
  memory.write(gpa, bytes);
  return { gpa, length: bytes.length };
}
