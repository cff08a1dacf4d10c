import type { Chain } from '../virtio/chain.ts';
import { type Activation, defineVirtioDevice } from '../virtio/device.ts';
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from '../virtio/protocol.ts';
import type { Virtqueue } from '../virtio/virtqueue.ts';

/** What the test sees of the device. */
export class EchoProbe {
  activations = 0;
  closed = 0;
  notified: number[] = [];
  /** Chains of queue 1, which the test completes. */
  held: Chain[] = [];
  activation: Activation<readonly [Virtqueue, Virtqueue]> | undefined;
  written = new Uint8Array(0);
}

/**
 * A device for tests of the transport and the queues. Queue 0 answers at once with the bytes it was sent, queue 1
 * keeps chains until the test completes them. It offers every queue feature that we have.
 */
export const echoDevice = defineVirtioDevice<EchoProbe>()({
  name: 'echo',
  deviceId: 42,
  queueSizes: [8, 4],
  features: VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC | 1n,
  config: (probe) => ({
    read: () => Uint8Array.of(1, 2, 3, 4, 5),
    write: (offset, size, value) => {
      probe.written = Uint8Array.of(...probe.written, offset, size, value & 0xff);
    },
  }),
  activate: (activation, probe) => {
    probe.activations += 1;
    probe.activation = activation;
    const [echoq, holdq] = activation.queues;
    return {
      onNotify: (index) => {
        probe.notified.push(index);
        if (index === 0) echoq.drain((chain) => chain.writable.write(chain.readable.bytes(4096)));
        else for (let chain = holdq.pop(); chain !== undefined; chain = holdq.pop()) probe.held.push(chain);
      },
      close: () => {
        probe.closed += 1;
      },
      save: () => ({ notified: [...probe.notified] }),
    };
  },
});
