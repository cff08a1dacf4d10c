import type { ReadableBuffers } from '../../virtio/buffers.ts';
import { HEADER_BYTES, RANGE_BYTES, SECTOR } from './protocol.ts';

/** Some sectors of a disk, in bytes, known to lie in it. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** What a request says it is. */
export interface RequestHeader {
  readonly type: number;
  /** First sector; exact where the disk could have it. */
  readonly sector: number;
}

/** Takes the header off a request; undefined when it is not whole. */
export function takeHeader(readable: ReadableBuffers): RequestHeader | undefined {
  const bytes = readable.bytes(HEADER_BYTES);
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer);
  return { type: view.getUint32(0, true), sector: readSector(view, 8) };
}

/** The first range of a discard or of write zeroes; undefined when there is none, or more than the one we allow. */
export function takeRange(readable: ReadableBuffers): (RequestHeader & { sectors: number; flags: number }) | undefined {
  if (readable.remaining !== RANGE_BYTES) return undefined;
  const bytes = readable.bytes(RANGE_BYTES);
  if (bytes.length < RANGE_BYTES) return undefined;
  const view = new DataView(bytes.buffer);
  return {
    type: 0,
    sector: readSector(view, 0),
    sectors: view.getUint32(8, true),
    flags: view.getUint32(12, true),
  };
}

/** These sectors in bytes; undefined when not all of them lie in the disk. Safe for any numbers. */
export function rangeIn(diskLength: number, sector: number, bytes: number): ByteRange | undefined {
  if (bytes % SECTOR !== 0 || sector > diskLength / SECTOR) return undefined;
  const offset = sector * SECTOR;
  return bytes <= diskLength - offset ? { offset, length: bytes } : undefined;
}

/** Above 2**53 it is rounded, and outside any disk either way. */
function readSector(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}
