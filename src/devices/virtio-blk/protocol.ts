/** Wire constants and layouts of virtio-blk. @spec VIRTIO-1.2 §5.2 */

export const VIRTIO_ID_BLOCK = 2;
export const QUEUE_SIZE = 256;

/** The unit of every sector number on the wire, whatever the disk's own block size. @spec VIRTIO-1.2 §5.2.4 */
export const SECTOR = 512;

/** Feature bits, as masks. @spec VIRTIO-1.2 §5.2.3 */
export const VIRTIO_BLK_F_SEG_MAX = 1n << 2n;
export const VIRTIO_BLK_F_RO = 1n << 5n;
export const VIRTIO_BLK_F_FLUSH = 1n << 9n;
export const VIRTIO_BLK_F_DISCARD = 1n << 13n;
export const VIRTIO_BLK_F_WRITE_ZEROES = 1n << 14n;

/** struct virtio_blk_config: where its fields are, packed. @spec VIRTIO-1.2 §5.2.4 */
export const CONFIG = {
  capacity: 0,
  size_max: 8,
  seg_max: 12,
  max_discard_sectors: 36,
  max_discard_seg: 40,
  discard_sector_alignment: 44,
  max_write_zeroes_sectors: 48,
  max_write_zeroes_seg: 52,
  write_zeroes_may_unmap: 56,
  size: 57,
} as const;

/** Buffers in one request, so that header and status fit a queue as well. */
export const SEG_MAX = QUEUE_SIZE - 2;

/** struct virtio_blk_req: type u32, reserved u32, sector u64, then data, then a status byte. @spec VIRTIO-1.2 §5.2.6 */
export const HEADER_BYTES = 16;

/** Request types. @spec VIRTIO-1.2 §5.2.6 */
export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;

/** Status bytes. @spec VIRTIO-1.2 §5.2.6 */
export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

/** Bytes of the answer to GET_ID: text, padded with zeros, without one when it fills them. */
export const ID_BYTES = 20;

/** struct virtio_blk_discard_write_zeroes: sector u64, num_sectors u32, flags u32. @spec VIRTIO-1.2 §5.2.6 */
export const RANGE_BYTES = 16;
export const RANGE_UNMAP = 1;
