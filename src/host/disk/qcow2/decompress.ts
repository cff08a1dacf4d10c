import * as zlib from 'node:zlib';
import { MiB } from '../../../base/units.ts';
import { ImageIoError } from '../disk-error.ts';
import type { DiskFile } from '../disk-file.ts';
import type { L2Entry } from './l2-entry.ts';

/** Memory for clusters that were read last; a guest reads a cluster in several requests. */
const CACHE_BYTES = 4 * MiB;

type Decompress = (data: Uint8Array, clusterSize: number) => Buffer;

/** zlib has it from Node 22.15 on; types of Node 20 do not know it. */
const zstd = (zlib as { zstdDecompressSync?: (data: Uint8Array, options: { maxOutputLength: number }) => Buffer })
  .zstdDecompressSync;

const DECOMPRESS: Readonly<Record<'zlib' | 'zstd', Decompress | undefined>> = {
  // What is behind the end of the stream belongs to the next cluster; zlib does not look at it.
  zlib: (data, clusterSize) => zlib.inflateRawSync(data, { maxOutputLength: clusterSize }),
  zstd:
    zstd && ((data, clusterSize) => zstd(data.subarray(0, zstdFrameLength(data)), { maxOutputLength: clusterSize })),
};

/**
 * Bytes of the zstd frame at the start: zlib takes what is behind it for a second frame.
 *
 * @spec RFC-8878 §3.1.1
 */
export function zstdFrameLength(data: Uint8Array): number {
  const descriptor = data[4] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  const contentSizeBytes = sizeFlag === 0 ? Number(isSingleSegment) : 1 << sizeFlag;
  let at = 5 + Number(!isSingleSegment) + ([0, 1, 2, 4][descriptor & 3] ?? 0) + contentSizeBytes;
  for (let isLast = false; !isLast && at + 3 <= data.length; ) {
    const block = (data[at] ?? 0) | ((data[at + 1] ?? 0) << 8) | ((data[at + 2] ?? 0) << 16);
    isLast = (block & 1) !== 0;
    const isRepeatedByte = ((block >> 1) & 3) === 1;
    at += 3 + (isRepeatedByte ? 1 : block >> 3);
  }
  return at + ((descriptor & 4) !== 0 ? 4 : 0);
}

/** Whether this Node can read clusters that are compressed so. */
export function canDecompress(type: 'zlib' | 'zstd'): boolean {
  return DECOMPRESS[type] !== undefined;
}

/** Compressed clusters of an image, in plain. They are only ever read. @spec QCOW2 "Compressed Clusters Descriptor" */
export class CompressedClusters {
  readonly #file: DiskFile;
  readonly #clusterSize: number;
  readonly #decompress: Decompress;
  readonly #cache = new Map<number, Buffer>();

  constructor(file: DiskFile, clusterSize: number, type: 'zlib' | 'zstd') {
    this.#file = file;
    this.#clusterSize = clusterSize;
    this.#decompress = DECOMPRESS[type] ?? (() => Buffer.alloc(0));
  }

  /** @throws {ImageIoError} what is stored there does not make a cluster */
  read({ host, compressedLength }: L2Entry): Buffer {
    const cached = this.#cache.get(host);
    if (cached !== undefined) return cached;
    const data = Buffer.alloc(compressedLength);
    this.#file.readNow(host, data);
    const cluster = this.#plain(data);
    if (cluster.length !== this.#clusterSize)
      throw new ImageIoError('Cannot decompress a cluster of the image: it is too short');
    if (this.#cache.size * this.#clusterSize >= CACHE_BYTES) {
      for (const oldest of this.#cache.keys()) {
        this.#cache.delete(oldest);
        break;
      }
    }
    this.#cache.set(host, cluster);
    return cluster;
  }

  /** The host clusters are free and may hold something else soon. */
  forget(): void {
    this.#cache.clear();
  }

  #plain(data: Buffer): Buffer {
    try {
      return this.#decompress(data, this.#clusterSize);
    } catch (cause) {
      throw new ImageIoError('Cannot decompress a cluster of the image: its data is damaged', { cause });
    }
  }
}
