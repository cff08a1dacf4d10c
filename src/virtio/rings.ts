import type { GuestMemory } from '../memory/guest-memory.ts';
import { availRingBytes, QUEUE_SIZE_MAX, usedRingBytes, VIRTQ_DESC_SIZE } from './protocol.ts';

/** Where the driver put the three parts of a split virtqueue, and how long it is. */
export interface RingPlacement {
  /** Queue size in descriptors. */
  readonly size: number;
  /** Descriptor table: guest-physical address. */
  readonly desc: number;
  /** Available ring ("driver area"): guest-physical address. */
  readonly driver: number;
  /** Used ring ("device area"): guest-physical address. */
  readonly device: number;
}

/**
 * Checks a placement once, when the driver declares the queue ready; memory does not shrink afterwards, so ring
 * accesses need no further check than the one every access has.
 *
 * @spec VIRTIO-1.2 §2.7 alignment, §4.2.3.2
 */
export function placementIsSound(memory: GuestMemory, rings: RingPlacement, sizeMax: number): boolean {
  const { size, desc, driver, device } = rings;
  if (size < 1 || size > Math.min(sizeMax, QUEUE_SIZE_MAX) || (size & (size - 1)) !== 0) return false;
  if (desc % 16 !== 0 || driver % 2 !== 0 || device % 4 !== 0) return false;
  return (
    memory.contains(desc, VIRTQ_DESC_SIZE * size) &&
    memory.contains(driver, availRingBytes(size)) &&
    memory.contains(device, usedRingBytes(size))
  );
}
