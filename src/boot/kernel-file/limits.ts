import { MiB } from '../../base/units.ts';
import { BootError } from '../boot-error.ts';

/** Kernels are tens of MiB; whatever a file claims, no more than this is decoded or laid out. */
export const KERNEL_BYTES_MAX = 512 * MiB;

/** The file is not the kernel it was said to be. */
export function badKernel(state: string): BootError {
  return new BootError('ERR_KERNEL_IMAGE', `Cannot use kernel image: ${state}`);
}
