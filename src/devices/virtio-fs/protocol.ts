/** Wire constants of virtio-fs. @spec VIRTIO-1.2 §5.11 */

/** Low-priority requests never wait behind these: FORGET and INTERRUPT. @spec VIRTIO-1.2 §5.11.2 */
export const HIPRIO_QUEUE = 0;
export const REQUEST_QUEUE = 1;
export const QUEUE_SIZE = 1024;

/** struct virtio_fs_config: tag, then num_request_queues. @spec VIRTIO-1.2 §5.11.4 */
export const TAG_BYTES = 36;
export const VIRTIO_FS_CONFIG_BYTES = TAG_BYTES + 4;
