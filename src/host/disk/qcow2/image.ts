import { MiB } from '../../../base/units.ts';
import { AllDone } from '../all-done.ts';
import type { DiskFile } from '../disk-file.ts';
import { ImageIoError } from '../disk-error.ts';
import type { DiskImage, Done, Lease } from '../disk-image.ts';
import { inPieces, writeZerosBy } from '../in-pieces.ts';
import { clear, scatter, sliceViews, totalLength } from '../views.ts';
import { Commit } from './commit.ts';
import { CompressedClusters } from './decompress.ts';
import { AT_AUTOCLEAR_FEATURES, type Qcow2Header } from './header.ts';
import type { L2Entry } from './l2-entry.ts';
import { type Extent, Mapping } from './mapping.ts';
import { Refcounts } from './refcounts.ts';

const SECTOR = 512;

/** Changed metadata beyond this is written without being asked for; beyond four times this, writes wait for it. */
const DIRTY_BYTES = 4 * MiB;
/** The same in tables: small clusters make many small tables. */
const DIRTY_TABLES = 512;

/** How many bytes of a request were seen to, and what is still going on with them. */
interface Part {
  readonly length: number;
  readonly done: Done;
}

type Zeroing = 'discard' | 'unmap' | 'keep';

/**
 * A qcow2 image. Mapping and allocation happen in memory and before a call returns; only transfers of data go on
 * afterwards. Internal snapshots stay as they are: clusters they share are copied before they change.
 *
 * @spec QCOW2
 * @unsupported QCOW2 "Extended L2 Entries", "External data file", "Encryption", "Bitmaps"
 */
export class Qcow2Image implements DiskImage {
  readonly length: number;
  readonly readOnly: boolean;
  readonly discardAlignment: number;
  readonly #file: DiskFile;
  readonly #header: Qcow2Header;
  readonly #backing: DiskImage | undefined;
  readonly #clusterSize: number;
  readonly #mapping: Mapping;
  readonly #compressed: CompressedClusters;
  /** Undefined in an image that is only read. */
  readonly #writer: { readonly refcounts: Refcounts; readonly commit: Commit } | undefined;
  /** Clusters that hold the image's own tables. A damaged image may say that they hold data as well. */
  readonly #metadata = new Set<number>([0]);
  /** Clusters of data with transfers under way. */
  readonly #busy = new Map<number, number>();
  /** What is behind was never written, except by tables still in use, and reads as zeros. */
  #fileEnd: number;
  #autoclear: boolean;
  #closed = false;

  /** @param header of this file, as `parseHeader` gave it */
  constructor(file: DiskFile, header: Qcow2Header, backing: DiskImage | undefined) {
    this.#file = file;
    this.#header = header;
    this.#backing = backing;
    this.readOnly = file.readOnly;
    this.length = Math.floor(header.size / SECTOR) * SECTOR;
    this.#clusterSize = 2 ** header.clusterBits;
    this.discardAlignment = this.#clusterSize;
    this.#fileEnd = file.length;
    this.#autoclear = header.autoclear !== 0n;
    this.#mapping = new Mapping(file, header);
    this.#compressed = new CompressedClusters(file, this.#clusterSize, header.compression);
    this.#writer = this.readOnly ? undefined : this.#createWriter();
  }

  read(offset: number, into: readonly Uint8Array[], lease: Lease): Done {
    const all = new AllDone();
    const length = totalLength(into);
    for (let at = 0; at < length && !all.failed; ) {
      all.add(() => {
        const extent = this.#mapping.extent(offset + at, length - at);
        const part = extent.length === length ? into : sliceViews(into, at, extent.length);
        const from = offset + at;
        at += extent.length;
        return this.#readExtent(extent, from, part, lease);
      });
    }
    return all.done;
  }

  readNow(offset: number, into: Uint8Array): void {
    const end = Math.min(into.length, Math.max(0, this.length - offset));
    into.fill(0, end);
    for (let at = 0; at < end; ) {
      const extent = this.#mapping.extent(offset + at, end - at);
      const part = into.subarray(at, at + extent.length);
      const from = offset + at;
      at += extent.length;
      this.#readExtent(extent, from, [part], undefined);
    }
  }

  write(offset: number, from: readonly Uint8Array[]): Done {
    const all = new AllDone();
    const length = totalLength(from);
    this.#beforeChange();
    for (let at = 0; at < length && !all.failed; ) {
      all.add(() => {
        const inPlace = isOwnData(this.#mapping.entry(Math.floor((offset + at) / this.#clusterSize)));
        const { length: did, done } = inPlace
          ? this.#writeInPlace(offset + at, from, at)
          : this.#writeAnew(offset + at, from, at);
        at += did;
        return done;
      });
    }
    all.add(() => this.#relieve());
    return all.done;
  }

  flush(): Done {
    return this.#writer?.commit.run();
  }

  discard(offset: number, length: number): Done {
    return this.#makeZero(offset, length, 'discard');
  }

  writeZeroes(offset: number, length: number, unmap: boolean): Done {
    return this.#makeZero(offset, length, unmap ? 'unmap' : 'keep');
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#writer?.commit.close();
    } finally {
      this.#file.close();
      this.#backing?.close();
    }
  }

  #createWriter(): { refcounts: Refcounts; commit: Commit } {
    for (const cluster of this.#mapping.clusters()) this.#metadata.add(cluster);
    const refcounts = new Refcounts(this.#file, this.#header, this.#metadata);
    const commit = new Commit(this.#file, refcounts, this.#mapping, {
      onFree: (clusters) => this.#freed(clusters),
      isBusy: (cluster) => this.#busy.has(cluster),
    });
    return { refcounts, commit };
  }

  /** Without a lease the bytes are there when this returns. */
  #readExtent(extent: Extent, offset: number, into: readonly Uint8Array[], lease: Lease | undefined): Done {
    const { kind, host, length } = extent;
    switch (kind) {
      case 'data':
        if (lease === undefined) return void into.forEach((view) => void this.#file.readNow(host, view));
        return this.#busyWhile(host, length, this.#file.read(host, into, lease));
      case 'zero':
        return void clear(into);
      case 'unallocated':
        return this.#readBacking(offset, into, length, lease);
      case 'compressed': {
        const cluster = this.#compressed.read(this.#mapping.entry(Math.floor(offset / this.#clusterSize)));
        const inCluster = offset % this.#clusterSize;
        return void scatter(cluster.subarray(inCluster, inCluster + length), into);
      }
    }
  }

  #readBacking(offset: number, into: readonly Uint8Array[], length: number, lease: Lease | undefined): Done {
    const there = this.#backing === undefined ? 0 : Math.min(length, Math.max(0, this.#backing.length - offset));
    if (this.#backing === undefined || there === 0) return void clear(into);
    if (there < length) clear(sliceViews(into, there, length - there));
    const part = there < length ? sliceViews(into, 0, there) : into;
    if (lease !== undefined) return this.#backing.read(offset, part, lease);
    for (const view of part) this.#backing.readNow(offset, view);
    return undefined;
  }

  /** Writes into clusters that nobody else refers to; answers how many bytes. */
  #writeInPlace(offset: number, from: readonly Uint8Array[], at: number): Part {
    const left = totalLength(from) - at;
    const first = Math.floor(offset / this.#clusterSize);
    const { host } = this.#mapping.entry(first);
    const inCluster = offset % this.#clusterSize;
    const wanted = Math.min(this.#tableEnd(first), Math.ceil((offset + left) / this.#clusterSize));
    let next = first;
    while (next < wanted && this.#isInPlace(next, host + (next - first) * this.#clusterSize)) next += 1;
    const length = Math.min(left, next * this.#clusterSize - offset);
    const part = length === totalLength(from) ? from : sliceViews(from, at, length);
    this.#fileEnd = Math.max(this.#fileEnd, host + inCluster + length);
    return { length, done: this.#busyWhile(host + inCluster, length, this.#file.write(host + inCluster, part)) };
  }

  #isInPlace(cluster: number, host: number): boolean {
    const entry = this.#mapping.entry(cluster);
    if (entry.kind !== 'data' || !entry.copied || entry.host !== host) return false;
    if (!this.#metadata.has(host / this.#clusterSize)) return true;
    throw new ImageIoError('Cannot write to the image: it says that data is where its own tables are');
  }

  /**
   * Writes into new clusters, together with what was in them before and is not overwritten; answers how many bytes.
   * The clusters it replaces are given up with the next commit.
   */
  #writeAnew(offset: number, from: readonly Uint8Array[], at: number): Part {
    const { refcounts, commit } = this.#write();
    const left = totalLength(from) - at;
    const first = Math.floor(offset / this.#clusterSize);
    const table = this.#mapping.tableToChange(first, this.#tableAllocator());
    const wanted = Math.min(this.#tableEnd(first), Math.ceil((offset + left) / this.#clusterSize));
    let end = first + 1;
    while (end < wanted && !isOwnData(this.#mapping.entry(end))) end += 1;
    const run = refcounts.allocate(end - first);
    const length = Math.min(left, (first + run.count) * this.#clusterSize - offset);
    try {
      this.#writeNew(run.first * this.#clusterSize, offset, sliceViews(from, at, length), length);
    } catch (error) {
      for (let index = 0; index < run.count; index++) refcounts.release(run.first + index);
      throw error;
    }
    for (let index = 0; index < run.count; index++) {
      this.#dropOld(this.#mapping.entry(first + index), commit);
      this.#mapping.store(table, first + index, (run.first + index) * this.#clusterSize);
    }
    return { length, done: undefined };
  }

  /** Fills new clusters: old bytes, the new ones, old bytes. Zeros behind the file's end need not be written. */
  #writeNew(host: number, offset: number, data: readonly Uint8Array[], length: number): void {
    const inCluster = offset % this.#clusterSize;
    const tail = (this.#clusterSize - ((inCluster + length) % this.#clusterSize)) % this.#clusterSize;
    const isNew = host >= this.#fileEnd;
    const before = this.#old(offset - inCluster, inCluster, isNew);
    const after = this.#old(offset + length, tail, isNew);
    const start = host + inCluster - before.length;
    this.#fileEnd = Math.max(this.#fileEnd, start + before.length + length + after.length);
    this.#file.writeNow(start, [before, ...data, after]);
  }

  /** What the guest finds at a place now; nothing when it is zeros that need not be written. */
  #old(offset: number, length: number, skipZeros: boolean): Uint8Array {
    if (length === 0) return NOTHING;
    if (skipZeros && this.#isZero(this.#mapping.entry(Math.floor(offset / this.#clusterSize)))) return NOTHING;
    const bytes = new Uint8Array(length);
    this.readNow(offset, bytes);
    return bytes;
  }

  #isZero({ kind }: L2Entry): boolean {
    return kind === 'zero' || (kind === 'unallocated' && this.#backing === undefined);
  }

  /** Whole clusters change in the tables; what is cut off at the ends is written. */
  #makeZero(offset: number, length: number, how: Zeroing): Done {
    if (length === 0) return undefined;
    this.#beforeChange();
    const size = this.#clusterSize;
    const end = offset + length;
    const firstWhole = Math.ceil(offset / size);
    // Nobody sees what is behind the disk's end in its last cluster.
    const endWhole = end === this.length ? Math.ceil(end / size) : Math.floor(end / size);
    const all = new AllDone();
    if (endWhole <= firstWhole) {
      all.add(() => this.#zeroPart(offset, length, how));
      return all.done;
    }
    const headLength = firstWhole * size - offset;
    const tailLength = Math.max(0, end - endWhole * size);
    all.add(() => this.#zeroPart(offset, headLength, how));
    all.add(() => this.#zeroPart(end - tailLength, tailLength, how));
    all.add(() =>
      inPieces(
        firstWhole * size,
        (endWhole - firstWhole) * size,
        (at, left) => this.#zeroClusters(at / size, Math.ceil(left / size), how),
        () => this.#closed,
      ),
    );
    return all.done;
  }

  #zeroPart(offset: number, length: number, how: Zeroing): Done {
    if (length === 0 || how === 'discard') return undefined;
    return this.#writeZeros(offset, length);
  }

  /** Zeros where there are none yet. */
  #writeZeros(offset: number, length: number): Done {
    return writeZerosBy(
      (at, from) => {
        const cluster = Math.floor(at / this.#clusterSize);
        const inOne = at + totalLength(from) <= (cluster + 1) * this.#clusterSize;
        return inOne && this.#isZero(this.#mapping.entry(cluster)) ? undefined : this.write(at, from);
      },
      offset,
      length,
      () => this.#closed,
    );
  }

  /** Makes whole clusters zeros, as many as one table describes; answers how many bytes. */
  #zeroClusters(first: number, count: number, how: Zeroing): Part {
    const end = Math.min(first + count, this.#tableEnd(first));
    const length = (end - first) * this.#clusterSize;
    const untouched = this.#backing === undefined || how === 'discard';
    if (!this.#mapping.hasTable(first) && untouched) return { length, done: undefined };
    const all = new AllDone();
    for (let cluster = first; cluster < end; cluster++) all.add(() => this.#zeroCluster(cluster, how));
    all.add(() => this.#relieve());
    return { length, done: all.done };
  }

  #zeroCluster(cluster: number, how: Zeroing): Done {
    const entry = this.#mapping.entry(cluster);
    const { kind, host, copied } = entry;
    const behind = this.#backing !== undefined;
    if (kind === 'unallocated' && (!behind || how === 'discard')) return undefined;
    if (kind === 'zero' && (how === 'keep' || host === 0)) return undefined;
    if (this.#header.version === 2 && (behind || how === 'keep')) {
      // No way to say "zero" in a table, and the backing file must not shine through.
      if (how === 'discard') return undefined;
      const start = cluster * this.#clusterSize;
      return this.#writeZeros(start, Math.min(this.#clusterSize, this.length - start));
    }
    const keeps = how === 'keep' && kind === 'data' && copied;
    const table = this.#mapping.tableToChange(cluster, this.#tableAllocator());
    if (!keeps) this.#dropOld(this.#mapping.entry(cluster), this.#write().commit);
    this.#mapping.store(table, cluster, keeps ? host : 0, keeps || behind);
    return undefined;
  }

  /** Gives up what an entry refers to. */
  #dropOld({ kind, host, compressedLength }: L2Entry, commit: Commit): void {
    if (host === 0) return;
    const first = Math.floor(host / this.#clusterSize);
    const last = kind === 'compressed' ? Math.floor((host + compressedLength - 1) / this.#clusterSize) : first;
    for (let cluster = first; cluster <= last; cluster++) commit.drop(cluster);
  }

  /** Clusters that nobody refers to any more; their room goes back to the host. */
  #freed(clusters: readonly number[]): void {
    if (clusters.length === 0) return;
    this.#compressed.forget();
    const sorted = Float64Array.from(clusters).sort();
    let first = 0;
    for (let at = 1; at <= sorted.length; at++) {
      const start = sorted[first] ?? 0;
      if (sorted[at] === start + at - first) continue;
      this.#file.punchHole(start * this.#clusterSize, (at - first) * this.#clusterSize);
      first = at;
    }
    this.#fileEnd = Math.max(this.#fileEnd, ((sorted[sorted.length - 1] ?? 0) + 1) * this.#clusterSize);
    for (const cluster of sorted) {
      this.#metadata.delete(cluster);
      this.#mapping.forget(cluster);
    }
  }

  #tableAllocator(): { allocate(): number; drop(cluster: number): void } {
    const { refcounts, commit } = this.#write();
    return {
      allocate: () => {
        const { first } = refcounts.allocate(1);
        this.#metadata.add(first);
        return first;
      },
      drop: (cluster) => commit.drop(cluster),
    };
  }

  #write(): { readonly refcounts: Refcounts; readonly commit: Commit } {
    if (this.#writer === undefined) throw new ImageIoError('Cannot write to the image: it is read-only');
    return this.#writer;
  }

  /** Features that a program clears when it does not know them: what they say about the image ends to be true. */
  #beforeChange(): void {
    this.#write();
    if (!this.#autoclear) return;
    this.#file.writeNow(AT_AUTOCLEAR_FEATURES, [new Uint8Array(8)]);
    this.#autoclear = false;
  }

  /** Keeps what only memory knows small. */
  #relieve(): Done {
    const { commit } = this.#write();
    const limit = Math.min(DIRTY_BYTES, DIRTY_TABLES * this.#clusterSize);
    const { dirtyBytes } = commit;
    if (dirtyBytes > 4 * limit) return commit.run();
    // Whether it failed is said to those who wait: the next flush tries again.
    if (dirtyBytes > limit && !commit.isRunning) commit.run().catch(() => {});
    return undefined;
  }

  /** Keeps the host clusters of a transfer from being given to others while it is under way. */
  #busyWhile(host: number, length: number, done: Done): Done {
    if (done === undefined) return undefined;
    const first = Math.floor(host / this.#clusterSize);
    const last = Math.floor((host + length - 1) / this.#clusterSize);
    for (let cluster = first; cluster <= last; cluster++) this.#busy.set(cluster, (this.#busy.get(cluster) ?? 0) + 1);
    return done.finally(() => {
      for (let cluster = first; cluster <= last; cluster++) {
        const left = (this.#busy.get(cluster) ?? 1) - 1;
        if (left > 0) this.#busy.set(cluster, left);
        else this.#busy.delete(cluster);
      }
    });
  }

  /** The first guest cluster behind those that share a table with this one. */
  #tableEnd(cluster: number): number {
    return cluster - (cluster % this.#mapping.perTable) + this.#mapping.perTable;
  }
}

const NOTHING = new Uint8Array(0);

function isOwnData({ kind, copied }: L2Entry): boolean {
  return kind === 'data' && copied;
}
