import { KiB } from '../../base/units.ts';
import { defineVirtioDevice } from '../../virtio/device.ts';
import type { ByteSource } from './backend.ts';

export type { ByteSource } from './backend.ts';

/** virtio-rng: fills driver buffers with host randomness. @spec VIRTIO-1.2 §5.4 */
export const virtioRng = defineVirtioDevice<ByteSource>()({
  name: 'virtio-rng',
  deviceId: 4,
  queueSizes: [256], // requestq, in descriptors
  features: 0n,
  activate: ({ queues: [requestq] }, entropy) => ({
    // Capped because overlapping descriptors can make one chain claim far more than guest RAM.
    onNotify: () => requestq.drain((chain) => chain.writable.fill(entropy, 64 * KiB)),
  }),
});
