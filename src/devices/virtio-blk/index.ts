import { defineVirtioDevice } from '../../virtio/device.ts';
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from '../../virtio/protocol.ts';
import type { BlockBackend } from './backend.ts';
import { BlockDevice } from './device.ts';
import {
  CONFIG,
  QUEUE_SIZE,
  SECTOR,
  SEG_MAX,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_ID_BLOCK,
} from './protocol.ts';

export type { BlockBackend, Done, Lease } from './backend.ts';

/**
 * virtio-blk: a disk with one request queue.
 *
 * @spec VIRTIO-1.2 §5.2
 * @quirk offers indirect descriptors, which libkrun does not: a queue then holds 256 requests of any shape
 */
export const virtioBlk = defineVirtioDevice<BlockBackend>()({
  name: 'virtio-blk',
  deviceId: VIRTIO_ID_BLOCK,
  queueSizes: [QUEUE_SIZE], // requestq
  features: ({ readOnly, volatileCache }) =>
    VIRTIO_BLK_F_SEG_MAX |
    VIRTIO_BLK_F_DISCARD |
    VIRTIO_BLK_F_WRITE_ZEROES |
    VIRTIO_F_EVENT_IDX |
    VIRTIO_F_INDIRECT_DESC |
    (readOnly ? VIRTIO_BLK_F_RO : 0n) |
    (volatileCache ? VIRTIO_BLK_F_FLUSH : 0n),
  config: configSpace,
  activate: (activation, backend) => new BlockDevice(activation, backend),
});

/** @spec VIRTIO-1.2 §5.2.4 */
function configSpace({ length, discardAlignment }: BlockBackend): Uint8Array {
  const bytes = new Uint8Array(CONFIG.size);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(CONFIG.capacity, BigInt(Math.floor(length / SECTOR)), true);
  view.setUint32(CONFIG.seg_max, SEG_MAX, true);
  view.setUint32(CONFIG.max_discard_sectors, 0xffff_ffff, true);
  view.setUint32(CONFIG.max_discard_seg, 1, true);
  view.setUint32(CONFIG.discard_sector_alignment, Math.max(1, discardAlignment / SECTOR), true);
  view.setUint32(CONFIG.max_write_zeroes_sectors, 0xffff_ffff, true);
  view.setUint32(CONFIG.max_write_zeroes_seg, 1, true);
  view.setUint8(CONFIG.write_zeroes_may_unmap, 1);
  return bytes;
}
