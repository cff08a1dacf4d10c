import { alignUp } from '../base/units.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { BootError } from './boot-error.ts';
import { BOOT } from './layout.ts';

/**
 * A kernel whose bytes are already as they lie in memory: libkrunfw's bundle, or a raw image.
 * Other formats (ELF, compressed images) are decoded to this before the machine is assembled.
 */
export interface KernelImage {
  readonly bytes: Uint8Array;
  /** Guest-physical address of the first byte; a multiple of 4 KiB at or above 1 MiB. */
  readonly loadAddress: number;
  /** Guest-physical address of the first instruction, inside the image. */
  readonly entry: number;
  /** Bytes from the load address on that it needs before it knows what is free; absent: those of the image. */
  readonly memoryBytes?: number;
  /** How it is entered; absent: `linux64`. @spec LINUX-BOOT "64-bit Boot Protocol", PVH */
  readonly protocol?: 'linux64' | 'pvh';
  /** Whether its memory is part of what the user asked for; absent: it comes on top, as libkrunfw's does. */
  readonly counted?: boolean;
  /** The setup header that it brings, from offset 0x1f1 of the zero page on. */
  readonly setupHeader?: Uint8Array;
}

/**
 * Checks what the loader relies on.
 *
 * @throws {BootError} ERR_KERNEL_IMAGE
 */
export function checkKernelImage(kernel: KernelImage): void {
  const { bytes, loadAddress, entry } = kernel;
  const refuse = (state: string): never => {
    throw new BootError('ERR_KERNEL_IMAGE', `Cannot use kernel image: ${state}`);
  };
  if (bytes.length === 0) refuse('image is empty');
  if (!Number.isSafeInteger(loadAddress) || loadAddress < BOOT.highMemory)
    refuse(`load address is ${hex(loadAddress)}`);
  if (loadAddress % 4096 !== 0) refuse(`load address ${hex(loadAddress)} is not page-aligned`);
  if (!(entry >= loadAddress && entry < loadAddress + bytes.length)) refuse(`entry ${hex(entry)} is outside the image`);
}

/** First address after the memory that the kernel needs, page-aligned. */
export function kernelEnd({ bytes, loadAddress, memoryBytes }: KernelImage): number {
  return loadAddress + alignUp(Math.max(bytes.length, memoryBytes ?? 0), 4096);
}

/** Copies the image to its place. The layout made sure that it lies in RAM. */
export function loadKernel(memory: GuestMemory, kernel: KernelImage): void {
  memory.write(kernel.loadAddress, kernel.bytes);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
