import type { Log } from '../base/log.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Virtqueue } from './virtqueue.ts';

/** Device configuration space that changes, or that the driver may write. */
export interface DeviceConfig {
  /** The bytes as they are now; reads beyond their end give 0. Not to be kept. */
  read(): Uint8Array;
  /** A write of 1, 2 or 4 bytes at `offset`, inside the bytes that `read` gives. Without it writes are dropped. */
  write?(offset: number, size: 1 | 2 | 4, value: number): void;
  save?(): unknown;
  restore?(state: unknown): void;
}

/** What a device gets when the driver sets DRIVER_OK. */
export interface Activation<Queues extends readonly Virtqueue[] = readonly Virtqueue[]> {
  /** One per entry of `queueSizes`, in that order; a queue the driver did not set up is never ready. */
  readonly queues: Queues;
  readonly memory: GuestMemory;
  /** What device and driver agreed on. */
  readonly features: bigint;
  /** What `save` of the running device returned, when this activation continues a saved machine. */
  readonly saved: unknown;
  readonly log: Log;
  /** Tells the driver that configuration space has other contents now. */
  configChanged(): void;
}

/** The running half of a device; it exists from DRIVER_OK to reset. */
export interface RunningDevice {
  /** The driver made buffers available in this queue. */
  onNotify(queueIndex: number): void;
  /** The driver reset the device, or the machine ends: let go of the backend. Queues are closed already. */
  close?(): void;
  /** State that is neither in guest memory nor in the queues, as plain data. */
  save?(): unknown;
}

/** A device model as a description; see `defineVirtioDevice`. */
export interface VirtioDevice<Backend, Sizes extends readonly number[] = readonly number[]> {
  /** For log lines. */
  readonly name: string;
  /** @spec VIRTIO-1.2 §5 */
  readonly deviceId: number;
  /** Greatest size of each queue in descriptors, powers of two. */
  readonly queueSizes: Sizes | ((backend: Backend) => Sizes);
  /** Feature bits offered; VIRTIO_F_VERSION_1 is added to them. */
  readonly features: bigint | ((backend: Backend) => bigint);
  /** Configuration space: fixed bytes, or something live. Without it there is none. */
  readonly config?: (backend: Backend) => Uint8Array | DeviceConfig;
  activate(activation: Activation<QueuesOf<Sizes>>, backend: Backend): RunningDevice;
}

/** As many queues as there are sizes. */
export type QueuesOf<Sizes extends readonly number[]> = { readonly [Index in keyof Sizes]: Virtqueue };

/**
 * Describes a device. Two calls, because the backend's type is named and the number of queues is inferred:
 * `defineVirtioDevice<ByteSource>()({ ... })`.
 */
export function defineVirtioDevice<Backend>() {
  return <const Sizes extends readonly number[]>(device: VirtioDevice<Backend, Sizes>): VirtioDevice<Backend, Sizes> =>
    device;
}
