/** Wire constants and layouts of virtio-net. @spec VIRTIO-1.2 §5.1 */

export const VIRTIO_ID_NET = 1;

/** In descriptors. Long frames take many: a guest that receives 64 KiB in one posts chains of 19. */
export const QUEUE_SIZE = 1024;
export const RECEIVEQ = 0;
export const TRANSMITQ = 1;

/** Feature bits, as masks. @spec VIRTIO-1.2 §5.1.3 */
export const VIRTIO_NET_F_CSUM = 1n << 0n;
export const VIRTIO_NET_F_GUEST_CSUM = 1n << 1n;
export const VIRTIO_NET_F_MAC = 1n << 5n;
export const VIRTIO_NET_F_GUEST_TSO4 = 1n << 7n;
export const VIRTIO_NET_F_GUEST_TSO6 = 1n << 8n;
export const VIRTIO_NET_F_GUEST_UFO = 1n << 10n;
export const VIRTIO_NET_F_HOST_TSO4 = 1n << 11n;
export const VIRTIO_NET_F_HOST_TSO6 = 1n << 12n;
export const VIRTIO_NET_F_HOST_UFO = 1n << 14n;
export const VIRTIO_NET_F_STATUS = 1n << 16n;

/** What a backend may offer. */
export const OFFLOADS =
  VIRTIO_NET_F_CSUM |
  VIRTIO_NET_F_GUEST_CSUM |
  VIRTIO_NET_F_GUEST_TSO4 |
  VIRTIO_NET_F_GUEST_TSO6 |
  VIRTIO_NET_F_GUEST_UFO |
  VIRTIO_NET_F_HOST_TSO4 |
  VIRTIO_NET_F_HOST_TSO6 |
  VIRTIO_NET_F_HOST_UFO;

/** struct virtio_net_config: where its fields are. @spec VIRTIO-1.2 §5.1.4 */
export const CONFIG = { mac: 0, status: 6, max_virtqueue_pairs: 8, size: 10 } as const;

/** In `status`. @spec VIRTIO-1.2 §5.1.4 */
export const VIRTIO_NET_S_LINK_UP = 1;

/** struct virtio_net_hdr with num_buffers, in front of every frame. @spec VIRTIO-1.2 §5.1.6 */
export const HEADER = { flags: 0, num_buffers: 10, size: 12 } as const;

/** In `flags`: checksums were checked already. @spec VIRTIO-1.2 §5.1.6 */
export const VIRTIO_NET_HDR_F_DATA_VALID = 2;

/** Destination, source, type: a frame has no less. */
export const FRAME_MIN = 14;
/** The longest IPv4 packet behind an Ethernet header, and room for a VLAN tag; upstream's buffers end there, too. */
export const FRAME_MAX = 65550;
