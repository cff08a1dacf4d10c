import { KiB } from '../../base/units.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { Segment } from '../../virtio/buffers.ts';
import type { Chain } from '../../virtio/chain.ts';
import { type Activation, type DeviceConfig, defineVirtioDevice, type RunningDevice } from '../../virtio/device.ts';
import type { MemoryDiscarder } from './backend.ts';
import {
  CONFIG,
  queueIndexes,
  VIRTIO_BALLOON_F_FREE_PAGE_HINT,
  VIRTIO_BALLOON_F_PAGE_REPORTING,
  VIRTIO_BALLOON_F_STATS_VQ,
  VIRTIO_BALLOON_PAGE_BYTES,
  VIRTIO_ID_BALLOON,
} from './protocol.ts';

export type { MemoryDiscarder } from './backend.ts';

/** Bytes of page numbers taken from one inflate chain; Linux sends 1 KiB. */
const PFNS_MAX = 16 * KiB;

/**
 * virtio-balloon. The host asks for no pages (num_pages stays 0); what matters is free page reporting, by which the
 * guest hands memory back while it runs.
 *
 * @spec VIRTIO-1.2 §5.5
 */
export const virtioBalloon = defineVirtioDevice<MemoryDiscarder>()({
  name: 'virtio-balloon',
  deviceId: VIRTIO_ID_BALLOON,
  queueSizes: [256, 256, 256, 256, 256],
  features: VIRTIO_BALLOON_F_STATS_VQ | VIRTIO_BALLOON_F_FREE_PAGE_HINT | VIRTIO_BALLOON_F_PAGE_REPORTING,
  config: balloonConfig,
  activate: startBalloon,
});

function balloonConfig(): DeviceConfig {
  const bytes = new Uint8Array(CONFIG.size);
  const view = new DataView(bytes.buffer);
  return {
    read: () => bytes,
    /** The driver reports how many pages it gave up and how it poisons free pages; the rest is ours. */
    write: (offset, size, value) => {
      if (size === 4 && (offset === CONFIG.actual || offset === CONFIG.poison_val)) view.setUint32(offset, value, true);
    },
    save: () => bytes.slice(),
    restore: (state) => bytes.set(state as Uint8Array),
  };
}

function startBalloon({ queues, memory, features }: Activation, backend: MemoryDiscarder): RunningDevice {
  const indexes = queueIndexes(features, (index) => queues[index]?.ready === true);
  const discarder = new Discarder(memory, backend);
  const handlers = new Map<number, (chain: Chain) => number>([
    [indexes.inflateq, (chain) => inflate(chain, discarder)],
    [indexes.deflateq, () => 0],
  ]);
  if (indexes.reporting_vq !== undefined) handlers.set(indexes.reporting_vq, (chain) => report(chain, discarder));
  // Hints come only after a request of ours, which never happens; the pages stay the guest's.
  if (indexes.free_page_vq !== undefined) handlers.set(indexes.free_page_vq, () => 0);
  // The driver's first statistics buffer stays with us until statistics are wanted. @spec VIRTIO-1.2 §5.5.6.3
  return {
    onNotify: (queueIndex) => {
      const handler = handlers.get(queueIndex);
      discarder.startTurn();
      if (handler !== undefined) queues[queueIndex]?.drain(handler);
    },
  };
}

/** Reported ranges are free until the chain is completed. @spec VIRTIO-1.2 §5.5.6.7 */
function report(chain: Chain, discarder: Discarder): number {
  for (const segment of chain.writable.takeSegments()) discarder.discard(segment);
  return 0;
}

/** Page numbers, four bytes each; runs of neighbours go to the host as one range. */
function inflate(chain: Chain, discarder: Discarder): number {
  const bytes = chain.readable.bytes(PFNS_MAX);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let run = { gpa: 0, length: 0 };
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const gpa = view.getUint32(at, true) * VIRTIO_BALLOON_PAGE_BYTES;
    if (gpa === run.gpa + run.length) {
      run = { gpa: run.gpa, length: run.length + VIRTIO_BALLOON_PAGE_BYTES };
      continue;
    }
    discarder.discard(run);
    run = { gpa, length: VIRTIO_BALLOON_PAGE_BYTES };
  }
  discarder.discard(run);
  return 0;
}

/** Passes ranges on to the host: whole pages, inside memory, and no more in one turn than the guest has memory. */
class Discarder {
  readonly #memory: GuestMemory;
  readonly #backend: MemoryDiscarder;
  #left = 0;

  constructor(memory: GuestMemory, backend: MemoryDiscarder) {
    this.#memory = memory;
    this.#backend = backend;
  }

  /** Chains that name the same pages over and over must not keep the host busy: giving pages up is advice only. */
  startTurn(): void {
    this.#left = this.#memory.regions.reduce((sum, region) => sum + region.length, 0);
  }

  discard({ gpa, length }: Segment): void {
    const page = VIRTIO_BALLOON_PAGE_BYTES;
    const start = Math.ceil(gpa / page) * page;
    const bytes = Math.floor((gpa + length) / page) * page - start;
    if (bytes <= 0 || bytes > this.#left || !this.#memory.contains(start, bytes)) return;
    this.#left -= bytes;
    this.#backend.discard(start, bytes);
    this.#memory.wrote(start, bytes);
  }
}
