import type { MachineSpec } from '../config/spec.ts';
import { openKernelFile, readNamed } from '../host/kernel/kernel-files.ts';
import { findFirmware } from '../host/kernel/provider.ts';
import type { Payload } from '../machine/resources.ts';
import { atStage } from './errors.ts';
import type { KernelProgress } from './messages.ts';

/** What runs first, read from its files. */
export interface OpenPayload {
  readonly kernel: Payload;
  readonly initramfs?: Uint8Array;
  /** As `uname -r` prints it; empty when nobody knows. */
  readonly kernelRelease: string;
}

export interface PayloadOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onFetch?: ((progress: KernelProgress) => void) | undefined;
}

/**
 * A kernel in a file of the user's, or firmware, or libkrunfw's kernel, in this order.
 *
 * @throws {KrunError} stage `kernel`: there is no libkrunfw; stage `resources`: the user's file cannot be used
 */
export async function openPayload(spec: MachineSpec, { signal, onFetch }: PayloadOptions): Promise<OpenPayload> {
  const { file, firmware: path } = spec.kernel;
  if (file !== undefined) {
    const { kernel, initramfs } = await atStage('resources', () => openKernelFile(file));
    return { kernel, kernelRelease: kernel.release, ...(initramfs !== undefined && { initramfs }) };
  }
  const { bios } = spec;
  if (bios !== undefined) {
    const firmware = await atStage('resources', () => readNamed(bios, 'the firmware'));
    return { kernel: { firmware }, kernelRelease: '' };
  }
  const firmware = await atStage('kernel', () => findFirmware({ firmware: path, signal, onProgress: onFetch }));
  const { image: bytes, loadAddress, entryAddress: entry, release } = firmware;
  return { kernel: { bytes, loadAddress, entry }, kernelRelease: release };
}
