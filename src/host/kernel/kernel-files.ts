import { readFile } from 'node:fs/promises';
import { KrunError } from '../../base/krun-error.ts';
import { type KernelFile, readKernelFile } from '../../boot/kernel-file/kernel-file.ts';
import type { KernelFileSpec } from '../../config/spec.ts';
import { decompressors } from './decompressors.ts';
import { errnoOf, messageOf } from './kernel-error.ts';

/** A kernel of the user's, decoded, and what it is given besides. */
export interface OpenKernelFile {
  readonly kernel: KernelFile;
  readonly initramfs: Uint8Array | undefined;
}

/**
 * Reads a kernel from a file of its own, and its initramfs.
 *
 * @throws {KrunError} ERR_KERNEL_NOT_FOUND   @throws {BootError} ERR_KERNEL_IMAGE: it is not what the format says
 */
export async function openKernelFile({ path, format, initramfs }: KernelFileSpec): Promise<OpenKernelFile> {
  const bytes = await readNamed(path, 'the kernel');
  const kernel = readKernelFile(bytes, format, decompressors);
  return { kernel, initramfs: initramfs === undefined ? undefined : await readNamed(initramfs, 'the initramfs') };
}

/** Reads a file that the machine boots from. @throws {KrunError} ERR_KERNEL_NOT_FOUND */
export async function readNamed(path: string, what: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const state = errnoOf(cause) ?? messageOf(cause);
    throw new KrunError('ERR_KERNEL_NOT_FOUND', `Cannot read ${what}, ${path}: ${state}`, {
      stage: 'resources',
      hint: 'name a file that this user can read',
      cause,
    });
  }
}
