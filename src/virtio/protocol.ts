/** Numbers and layouts that driver and device share. @spec VIRTIO-1.2 §2.1, §2.7, §4.2.2, §6 */

/** Device status bits. @spec VIRTIO-1.2 §2.1 */
export const ACKNOWLEDGE = 1;
export const DRIVER = 2;
export const DRIVER_OK = 4;
export const FEATURES_OK = 8;
export const DEVICE_NEEDS_RESET = 64;
export const FAILED = 128;

/** InterruptStatus bits. @spec VIRTIO-1.2 §4.2.2 */
export const VIRTIO_MMIO_INT_VRING = 1;
export const VIRTIO_MMIO_INT_CONFIG = 2;

/** Feature bits that belong to the transport and the queues, as masks. @spec VIRTIO-1.2 §6 */
export const VIRTIO_F_INDIRECT_DESC = 1n << 28n;
export const VIRTIO_F_EVENT_IDX = 1n << 29n;
export const VIRTIO_F_VERSION_1 = 1n << 32n;
export const VIRTIO_F_IN_ORDER = 1n << 35n;

/** Descriptor flags. @spec VIRTIO-1.2 §2.7.5 */
export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;

/** The driver does not want used buffer notifications. @spec VIRTIO-1.2 §2.7.6 */
export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;

/** Bytes of one descriptor, and where its fields are. @spec VIRTIO-1.2 §2.7.5 */
export const VIRTQ_DESC_SIZE = 16;
export const DESC_ADDR = 0;
export const DESC_LEN = 8;
export const DESC_FLAGS = 12;
export const DESC_NEXT = 14;

/** Where the ring fields are, in bytes; the rings themselves start at 4. @spec VIRTIO-1.2 §2.7.6, §2.7.8 */
export const RING_FLAGS = 0;
export const RING_IDX = 2;
export const RING_ENTRIES = 4;
export const AVAIL_ELEM_SIZE = 2;
export const USED_ELEM_SIZE = 8;

/** No queue is longer than this. @spec VIRTIO-1.2 §2.7 */
export const QUEUE_SIZE_MAX = 32768;

/** Bytes of the available ring, its used_event field included. */
export function availRingBytes(size: number): number {
  return RING_ENTRIES + AVAIL_ELEM_SIZE * size + 2;
}

/** Bytes of the used ring, its avail_event field included. */
export function usedRingBytes(size: number): number {
  return RING_ENTRIES + USED_ELEM_SIZE * size + 2;
}
