import { defineVirtioDevice } from '../../virtio/device.ts';
import type { VsockBackend } from './backend.ts';
import { VsockDevice } from './device.ts';
import { VIRTIO_F_IN_ORDER, VIRTIO_ID_VSOCK, VIRTIO_VSOCK_F_DGRAM } from './protocol.ts';

export type { VsockBackend } from './backend.ts';

/** In descriptors. */
const QUEUE_SIZE = 256;

/** virtio-vsock, with libkrun's datagrams and transparent sockets. @spec VIRTIO-1.2 §5.10 */
export const virtioVsock = defineVirtioDevice<VsockBackend>()({
  name: 'virtio-vsock',
  deviceId: VIRTIO_ID_VSOCK,
  queueSizes: [QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE],
  // Buffers come back in order because each is finished when it is taken.
  features: VIRTIO_VSOCK_F_DGRAM | VIRTIO_F_IN_ORDER,
  config: ({ guestCid }) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setUint32(0, guestCid, true);
    return bytes;
  },
  activate: (activation, backend) => new VsockDevice(activation, backend),
});
