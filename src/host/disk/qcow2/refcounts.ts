import { MiB } from '../../../base/units.ts';
import { ImageIoError, malformed } from '../disk-error.ts';
import type { DiskFile } from '../disk-file.ts';
import { AT_REFCOUNT_TABLE_OFFSET, type Qcow2Header } from './header.ts';
import { TableCache, type TableSnapshot } from './table-cache.ts';

/** Memory for blocks of reference counts. */
const BLOCKS_BUDGET = 4 * MiB;
const TABLE_BYTES_MAX = 8 * MiB;

/** Consecutive host clusters. */
export interface ClusterRun {
  readonly first: number;
  readonly count: number;
}

/** What changed, as it was at one moment, in the order in which it is written. */
export interface RefcountSnapshot {
  readonly blocks: readonly TableSnapshot[];
  /** Entries of the table whose blocks are new. */
  readonly entries: ReadonlyMap<number, number>;
  /** The whole table, when it moved; the header follows it. */
  readonly moved: Buffer | undefined;
  readonly tableOffset: number;
}

/**
 * How often each cluster of an image is referred to, and which ones are free.
 *
 * Counts change in memory only. They go to the file by snapshots: blocks first, then the table's entries for new
 * blocks, then the header if the table had to move; each step makes sense without those after it.
 *
 * @spec QCOW2 "Host cluster management"
 */
export class Refcounts {
  readonly #file: DiskFile;
  readonly #clusterSize: number;
  readonly #order: number;
  readonly #perBlock: number;
  readonly #blocks: TableCache;
  /** Offsets of blocks, 0 for none. */
  #table: Float64Array;
  #tableOffset: number;
  #tableClusters: number;
  #moved = false;
  readonly #newEntries = new Map<number, number>();
  /** No free cluster is below. */
  #firstFree = 1;
  readonly #isMetadata: (cluster: number) => boolean;
  readonly #onMetadata: (cluster: number, isOne: boolean) => void;

  /** @param metadata the clusters that hold tables and that nobody may be given, whatever the counts say */
  constructor(
    file: DiskFile,
    header: Qcow2Header,
    metadata: { has(cluster: number): boolean; add(cluster: number): unknown; delete(cluster: number): unknown },
  ) {
    this.#file = file;
    this.#clusterSize = 2 ** header.clusterBits;
    this.#order = header.refcountOrder;
    this.#perBlock = (this.#clusterSize * 8) >> header.refcountOrder;
    this.#blocks = new TableCache(file, this.#clusterSize, BLOCKS_BUDGET);
    this.#isMetadata = (cluster) => metadata.has(cluster);
    this.#onMetadata = (cluster, isOne) => (isOne ? metadata.add(cluster) : metadata.delete(cluster));
    this.#tableOffset = header.refcountTableOffset;
    this.#tableClusters = header.refcountTableClusters;
    this.#table = this.#readTable();
    this.#noteTable(true);
    for (const offset of this.#table) if (offset !== 0) metadata.add(offset / this.#clusterSize);
  }

  get dirtyBytes(): number {
    return this.#blocks.dirtyBytes;
  }

  get(cluster: number): number {
    const block = this.#blockOffset(Math.floor(cluster / this.#perBlock));
    if (block === 0) return 0;
    return readCount(this.#blocks.get(block).bytes, cluster % this.#perBlock, this.#order);
  }

  /** Takes one reference away; a count that is 0 already stays. Answers whether the cluster is free now. */
  release(cluster: number): boolean {
    const count = this.get(cluster);
    if (count === 0) return false;
    this.#set(cluster, count - 1);
    if (count > 1) return false;
    this.#firstFree = Math.min(this.#firstFree, cluster);
    return true;
  }

  /**
   * Takes free clusters: up to `max`, next to each other, at least one.
   *
   * @throws {ImageIoError} the image cannot grow, or its counts are wrong
   */
  allocate(max: number): ClusterRun {
    let first = this.#firstFree;
    while (!this.#isFree(first)) first += 1;
    this.#firstFree = first;
    let count = 0;
    const block = Math.floor(first / this.#perBlock);
    while (count < max && Math.floor((first + count) / this.#perBlock) === block && this.#isFree(first + count)) {
      this.#set(first + count, 1);
      count += 1;
    }
    this.#firstFree = first + count;
    return { first, count };
  }

  snapshot(): RefcountSnapshot {
    return {
      blocks: this.#blocks.snapshot(),
      entries: new Map(this.#newEntries),
      moved: this.#moved ? encodeTable(this.#table) : undefined,
      tableOffset: this.#tableOffset,
    };
  }

  writeBlocks({ blocks }: RefcountSnapshot): void {
    this.#blocks.write(blocks);
  }

  /** Entries of a table that moved go with the table as a whole. */
  writeTable({ entries, moved, tableOffset }: RefcountSnapshot): void {
    if (moved !== undefined) this.#file.writeNow(tableOffset, [moved]);
    for (const [index, offset] of entries) {
      if (moved === undefined) this.#file.writeNow(tableOffset + index * 8, [encodeEntry(offset)]);
      if (this.#newEntries.get(index) === offset) this.#newEntries.delete(index);
    }
  }

  /** Makes the table that moved the image's own. */
  writeHeader({ moved, tableOffset }: RefcountSnapshot): void {
    if (moved === undefined) return;
    const fields = Buffer.alloc(12);
    fields.writeBigUInt64BE(BigInt(tableOffset), 0);
    fields.writeUInt32BE(moved.length / this.#clusterSize, 8);
    this.#file.writeNow(AT_REFCOUNT_TABLE_OFFSET, [fields]);
    if (this.#tableOffset === tableOffset) this.#moved = false;
  }

  /** Clusters of tables that are no longer in use; the caller releases them when the file no longer needs them. */
  readonly dropped: ClusterRun[] = [];

  #isFree(cluster: number): boolean {
    const index = Math.floor(cluster / this.#perBlock);
    if (index >= this.#table.length) this.#grow();
    if (this.#blockOffset(index) === 0) this.#createBlock(index);
    if (this.get(cluster) !== 0) return false;
    // A count of 0 for a cluster that is in use: the image is damaged, and more writes would make it worse.
    if (this.#isMetadata(cluster))
      throw new ImageIoError('Cannot allocate in the image: its reference counts are wrong');
    return true;
  }

  /** A block for a stretch of the file that has none; it takes that stretch's first cluster itself. */
  #createBlock(index: number): void {
    const cluster = index * this.#perBlock;
    if (this.#isMetadata(cluster))
      throw new ImageIoError('Cannot allocate in the image: its reference counts are wrong');
    this.#addBlock(index, cluster);
    this.#set(cluster, 1);
  }

  #addBlock(index: number, cluster: number): void {
    const offset = cluster * this.#clusterSize;
    this.#blocks.create(offset);
    this.#table[index] = offset;
    this.#newEntries.set(index, offset);
    this.#onMetadata(cluster, true);
  }

  /**
   * Moves the table to where it has room for more blocks: behind all that it covers. The clusters that the new blocks
   * and the table take there are counted in these blocks themselves.
   */
  #grow(): void {
    const first = this.#table.length * this.#perBlock;
    const entriesPerCluster = this.#clusterSize / 8;
    let blocks = 1;
    let tableClusters = 1;
    for (;;) {
      const entries = Math.max(Math.ceil(this.#table.length * 1.5), this.#table.length + blocks + 1);
      tableClusters = Math.ceil(entries / entriesPerCluster);
      const needed = Math.ceil((blocks + tableClusters) / this.#perBlock);
      if (needed <= blocks) break;
      blocks = needed;
    }
    if (tableClusters * this.#clusterSize > TABLE_BYTES_MAX) {
      throw new ImageIoError('Cannot allocate in the image: it has reached the greatest size that can be counted');
    }
    for (let at = 0; at < blocks + tableClusters; at++) {
      if (this.#isMetadata(first + at))
        throw new ImageIoError('Cannot allocate in the image: its reference counts are wrong');
    }
    const table = new Float64Array(tableClusters * entriesPerCluster);
    table.set(this.#table);
    const blockIndex = this.#table.length;
    this.dropped.push({ first: this.#tableOffset / this.#clusterSize, count: this.#tableClusters });
    this.#noteTable(false);
    this.#table = table;
    this.#tableOffset = (first + blocks) * this.#clusterSize;
    this.#tableClusters = tableClusters;
    this.#moved = true;
    this.#noteTable(true);
    for (let at = 0; at < blocks; at++) this.#addBlock(blockIndex + at, first + at);
    for (let at = 0; at < blocks + tableClusters; at++) this.#set(first + at, 1);
  }

  #set(cluster: number, count: number): void {
    const block = this.#blocks.get(this.#blockOffset(Math.floor(cluster / this.#perBlock)));
    writeCount(block.bytes, cluster % this.#perBlock, this.#order, count);
    this.#blocks.changed(block);
  }

  #blockOffset(index: number): number {
    return this.#table[index] ?? 0;
  }

  #noteTable(isOne: boolean): void {
    const first = this.#tableOffset / this.#clusterSize;
    for (let at = 0; at < this.#tableClusters; at++) this.#onMetadata(first + at, isOne);
  }

  #readTable(): Float64Array {
    const bytes = Buffer.alloc(this.#tableClusters * this.#clusterSize);
    this.#file.readNow(this.#tableOffset, bytes);
    const seen = new Set<number>();
    return Float64Array.from({ length: bytes.length / 8 }, (_, index) => {
      const offset = bytes.readUInt32BE(index * 8) * 2 ** 32 + bytes.readUInt32BE(index * 8 + 4);
      if (offset === 0) return 0;
      // Twice the same block, or one outside the file, could make the search for a free cluster endless.
      if (offset % this.#clusterSize !== 0 || offset >= this.#file.length || seen.has(offset)) {
        throw malformed(this.#file.path, `a block of reference counts at ${offset}`);
      }
      seen.add(offset);
      return offset;
    });
  }
}

function encodeTable(table: Float64Array): Buffer {
  const bytes = Buffer.alloc(table.length * 8);
  table.forEach((offset, index) => void bytes.writeBigUInt64BE(BigInt(offset), index * 8));
  return bytes;
}

function encodeEntry(offset: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(offset));
  return bytes;
}

/** A count of 2**order bits; those below a byte are packed from the lowest bit. Greater than 2**53 it is rounded. */
function readCount(block: Buffer, index: number, order: number): number {
  if (order === 4) return block.readUInt16BE(index * 2);
  if (order === 3) return block.readUInt8(index);
  if (order === 5) return block.readUInt32BE(index * 4);
  if (order === 6) return Number(block.readBigUInt64BE(index * 8));
  const bits = 1 << order;
  const bit = index * bits;
  return (block.readUInt8(bit >> 3) >> (bit & 7)) & ((1 << bits) - 1);
}

function writeCount(block: Buffer, index: number, order: number, count: number): void {
  if (order === 4) block.writeUInt16BE(count, index * 2);
  else if (order === 3) block.writeUInt8(count, index);
  else if (order === 5) block.writeUInt32BE(count, index * 4);
  else if (order === 6) block.writeBigUInt64BE(BigInt(count), index * 8);
  else {
    const bits = 1 << order;
    const bit = index * bits;
    const mask = ((1 << bits) - 1) << (bit & 7);
    block.writeUInt8((block.readUInt8(bit >> 3) & ~mask) | (count << (bit & 7)), bit >> 3);
  }
}
