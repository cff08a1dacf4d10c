import { defineVirtioDevice } from '../../virtio/device.ts';
import { VIRTIO_F_EVENT_IDX } from '../../virtio/protocol.ts';
import type { NetBackend } from './backend.ts';
import { NetDevice } from './device.ts';
import {
  CONFIG,
  OFFLOADS,
  QUEUE_SIZE,
  VIRTIO_ID_NET,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_STATUS,
  VIRTIO_NET_S_LINK_UP,
} from './protocol.ts';

export type { NetBackend, NetEvents } from './backend.ts';

/**
 * virtio-net: one interface with one pair of queues.
 *
 * @spec VIRTIO-1.2 §5.1
 * @quirk offers VIRTIO_NET_F_STATUS, which libkrun does not: the guest sees when its peer is gone
 * @unsupported VIRTIO-1.2 §5.1.6.5 control virtqueue
 * @unsupported VIRTIO-1.2 §5.1.6.3.1 mergeable receive buffers
 */
export const virtioNet = defineVirtioDevice<NetBackend>()({
  name: 'virtio-net',
  deviceId: VIRTIO_ID_NET,
  queueSizes: [QUEUE_SIZE, QUEUE_SIZE], // receiveq, transmitq
  features: ({ features }) => (features & OFFLOADS) | VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS | VIRTIO_F_EVENT_IDX,
  config: (backend) => ({ read: () => configSpace(backend) }),
  activate: (activation, backend) => new NetDevice(activation, backend),
});

/** @spec VIRTIO-1.2 §5.1.4 */
function configSpace({ mac, isUp }: NetBackend): Uint8Array {
  const bytes = new Uint8Array(CONFIG.size);
  bytes.set(mac.subarray(0, 6), CONFIG.mac);
  bytes[CONFIG.status] = isUp ? VIRTIO_NET_S_LINK_UP : 0;
  return bytes;
}
