import type { VirtqueueState } from './virtqueue.ts';

/** A queue as its registers describe it. */
export interface QueueRegisters {
  size: number;
  ready: boolean;
  /** Address halves as written: [low, high]. */
  readonly desc: [number, number];
  readonly driver: [number, number];
  readonly device: [number, number];
}

/** Everything a reset clears; plain data. */
export interface TransportRegisters {
  status: number;
  /** In a saved state; a running transport keeps it elsewhere. */
  interruptStatus: number;
  deviceFeaturesSel: number;
  driverFeaturesSel: number;
  /** Features the driver accepted: [bits 0-31, bits 32-63]. */
  driverFeatures: [number, number];
  queueSel: number;
  shmSel: number;
  readonly queues: QueueRegisters[];
}

/** A saved transport with its queues and device. */
export interface TransportState {
  readonly version: typeof TRANSPORT_STATE_VERSION;
  readonly deviceId: number;
  readonly registers: TransportRegisters;
  readonly configGeneration: number;
  readonly config: unknown;
  /** Present when the device was active: one per queue, and what the device itself saved. */
  readonly active: { readonly queues: readonly VirtqueueState[]; readonly device: unknown } | undefined;
}

export const TRANSPORT_STATE_VERSION = 1;

/** @spec VIRTIO-1.2 §4.2.2 initial values */
export function registersAfterReset(queueCount: number): TransportRegisters {
  return {
    status: 0,
    interruptStatus: 0,
    deviceFeaturesSel: 0,
    driverFeaturesSel: 0,
    driverFeatures: [0, 0],
    queueSel: 0,
    shmSel: 0,
    queues: Array.from({ length: queueCount }, queueAfterReset),
  };
}

/** A deep copy: what was saved does not follow the device. */
export function cloneRegisters(from: TransportRegisters): TransportRegisters {
  return { ...from, driverFeatures: [...from.driverFeatures], queues: from.queues.map(cloneQueue) };
}

/** A 64-bit address from its halves; rounded above 2**53, where no memory is. */
export function addressOf(halves: readonly [number, number]): number {
  return halves[0] + halves[1] * 2 ** 32;
}

function cloneQueue(from: QueueRegisters): QueueRegisters {
  return { ...from, desc: [...from.desc], driver: [...from.driver], device: [...from.device] };
}

function queueAfterReset(): QueueRegisters {
  return { size: 0, ready: false, desc: [0, 0], driver: [0, 0], device: [0, 0] };
}
