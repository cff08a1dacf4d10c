/** @spec VIRTIO-1.2 §5.5 Traditional Memory Balloon Device */

export const VIRTIO_ID_BALLOON = 5;

export const VIRTIO_BALLOON_F_STATS_VQ = 1n << 1n;
export const VIRTIO_BALLOON_F_FREE_PAGE_HINT = 1n << 3n;
export const VIRTIO_BALLOON_F_PAGE_REPORTING = 1n << 5n;

/** struct virtio_balloon_config, all u32. @spec VIRTIO-1.2 §5.5.4 */
export const CONFIG = { num_pages: 0, actual: 4, free_page_hint_cmd_id: 8, poison_val: 12, size: 16 } as const;

/** Page numbers on the queues count pages of this size, whatever the guest's own. @spec VIRTIO-1.2 §5.5.6 */
export const VIRTIO_BALLOON_PAGE_BYTES = 4096;

export interface QueueIndexes {
  readonly inflateq: number;
  readonly deflateq: number;
  readonly statsq: number | undefined;
  readonly free_page_vq: number | undefined;
  readonly reporting_vq: number | undefined;
}

/**
 * Which queue is which. The spec numbers all five (§5.5.2); Linux and QEMU number only those whose feature was
 * negotiated, without gaps. The two agree when all features are, and otherwise the queue that the driver set up
 * tells which way it counts.
 *
 * @quirk Linux counts balloon queues without gaps
 */
export function queueIndexes(features: bigint, isReady: (index: number) => boolean): QueueIndexes {
  const optional = [VIRTIO_BALLOON_F_STATS_VQ, VIRTIO_BALLOON_F_FREE_PAGE_HINT, VIRTIO_BALLOON_F_PAGE_REPORTING];
  const present = optional.map((feature) => (features & feature) !== 0n);
  const last = 1 + present.filter(Boolean).length;
  const dense = !Array.from({ length: 5 }, (_, index) => index).some((index) => index > last && isReady(index));
  let next = 2;
  const [statsq, free_page_vq, reporting_vq] = present.map((there, at) => {
    if (!there) return undefined;
    return dense ? next++ : 2 + at;
  });
  return { inflateq: 0, deflateq: 1, statsq, free_page_vq, reporting_vq };
}
