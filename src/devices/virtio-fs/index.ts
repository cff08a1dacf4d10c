import { MiB } from '../../base/units.ts';
import { FuseServer, type FuseServerState } from '../../fuse/server.ts';
import type { Chain } from '../../virtio/chain.ts';
import { defineVirtioDevice } from '../../virtio/device.ts';
import { VIRTIO_F_EVENT_IDX } from '../../virtio/protocol.ts';
import type { SharedDirectory } from './backend.ts';
import { HIPRIO_QUEUE, QUEUE_SIZE, TAG_BYTES, VIRTIO_FS_CONFIG_BYTES } from './protocol.ts';

/** The most of a chain that is looked at, either way: the largest request and reply, with room for their headers. */
const CHAIN_BYTES_MAX = MiB + 8192;

/**
 * virtio-fs: a shared directory. Each chain is one FUSE request and is answered before the next one is taken.
 *
 * @spec VIRTIO-1.2 §5.11
 * @unsupported VIRTIO-1.2 §5.11.6.4 DAX window
 */
export const virtioFs = defineVirtioDevice<SharedDirectory>()({
  name: 'virtio-fs',
  deviceId: 26,
  queueSizes: [QUEUE_SIZE, QUEUE_SIZE], // hiprio, requestq
  features: VIRTIO_F_EVENT_IDX,
  config: ({ tag }) => configSpace(tag),
  activate({ queues: [hiprio, requestq], saved }, { fileSystem, onExitCode }) {
    const server = new FuseServer(fileSystem, onExitCode === undefined ? {} : { onExitCode });
    if (saved !== undefined) server.restore(saved as FuseServerState);
    const serve = (chain: Chain): number => serveChain(server, chain);
    return {
      onNotify: (queueIndex) => (queueIndex === HIPRIO_QUEUE ? hiprio : requestq).drain(serve),
      close: () => fileSystem.destroy(),
      save: () => server.save(),
    };
  },
});

function serveChain(server: FuseServer, { readable, writable }: Chain): number {
  const written = server.handle(readable.views(CHAIN_BYTES_MAX), writable.views(CHAIN_BYTES_MAX));
  writable.wrote(written);
  return written;
}

/** The tag is padded with zeros and needs none at its end. */
function configSpace(tag: string): Uint8Array {
  const bytes = new Uint8Array(VIRTIO_FS_CONFIG_BYTES);
  bytes.set(new TextEncoder().encode(tag).subarray(0, TAG_BYTES));
  new DataView(bytes.buffer).setUint32(TAG_BYTES, 1, true); // num_request_queues
  return bytes;
}
