import type { KernelFormat } from '../config/options.ts';
import { openKernelFile } from '../host/kernel/kernel-files.ts';
import { describeFirmware, findFirmware } from '../host/kernel/provider.ts';
import { atStage } from './errors.ts';
import type { KernelProgress } from './messages.ts';

/** One place that was looked at for a guest kernel, in order, and what was there. */
export interface KernelCandidate {
  readonly source: string;
  readonly path: string;
  readonly state: string;
}

/** The kernel that a VM started now would boot, and why. */
export interface KernelReport {
  /** Undefined when it would be fetched first. */
  readonly path: string | undefined;
  /** As `uname -r` prints it. */
  readonly release: string | undefined;
  readonly why: string;
  readonly loadAddress: number | undefined;
  readonly entryAddress: number | undefined;
  readonly sizeBytes: number | undefined;
  readonly abiVersion: number | undefined;
  readonly candidates: readonly KernelCandidate[];
}

/**
 * Looks for a guest kernel as a start would; fetches nothing.
 *
 * @param firmware path of a libkrunfw library that the user named
 * @throws {KrunError} stage `kernel`: the named file cannot be used
 */
export async function describeKernel(firmware?: string): Promise<KernelReport> {
  const { choice, candidates, wouldFetch } = await describeFirmware({ firmware });
  const toFetch = `${((wouldFetch?.bytes ?? 0) / 1e6).toFixed(1)} MB of ${wouldFetch?.package} would be fetched into ${wouldFetch?.into}`;
  return {
    path: choice?.path,
    release: choice?.release,
    why: choice?.why ?? toFetch,
    loadAddress: choice?.loadAddress,
    entryAddress: choice?.entryAddress,
    sizeBytes: choice?.size,
    abiVersion: choice?.abiVersion,
    candidates,
  };
}

/** How `fetchKernel` is called. */
export interface FetchKernelOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: KernelProgress) => void;
}

/**
 * Makes sure that a guest kernel is there, so that later starts need no network.
 *
 * @throws {KrunError} stage `kernel`: it cannot be had; or the signal's reason
 */
export async function fetchKernel(options: FetchKernelOptions = {}): Promise<KernelReport> {
  await findFirmware(options);
  return describeKernel();
}

/** What a kernel's own file is. */
export interface KernelFileReport {
  readonly path: string;
  /** Such as "bzImage (LZ4)". */
  readonly description: string;
  /** As `uname -r` prints it; empty when the file does not say. */
  readonly release: string;
  readonly loadAddress: number;
  readonly entryAddress: number;
  /** What it takes of the guest's memory before it has started. */
  readonly memoryBytes: number;
}

/**
 * Reads a kernel file as a start with `kernel.path` would.
 *
 * @throws {KrunError} ERR_KERNEL_NOT_FOUND, ERR_KERNEL_IMAGE
 */
export async function describeKernelFile(path: string, format: KernelFormat = 'auto'): Promise<KernelFileReport> {
  const { kernel } = await atStage('resources', () => openKernelFile({ path, format }));
  const { description, release, loadAddress, entry, memoryBytes, bytes } = kernel;
  return {
    path,
    description,
    release,
    loadAddress,
    entryAddress: entry,
    memoryBytes: Math.max(memoryBytes ?? 0, bytes.length),
  };
}
