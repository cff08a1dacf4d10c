import { MiB } from '../../../base/units.ts';
import { ImageIoError, malformed } from '../disk-error.ts';
import type { DiskFile } from '../disk-file.ts';
import type { Qcow2Header } from './header.ts';
import { hostOffset, isCopied, L2Entry, storeEntry } from './l2-entry.ts';
import { type Table, TableCache, type TableSnapshot } from './table-cache.ts';

/** Memory for L2 tables: with clusters of 64 KiB they cover 64 GiB of disk. */
const TABLES_BUDGET = 8 * MiB;

/** Guest bytes that are stored alike. */
export interface Extent {
  kind: L2Entry['kind'];
  /** Of data: byte offset in the file. */
  host: number;
  length: number;
}

/** What changed in L1 and L2, as it was at one moment. */
export interface MappingSnapshot {
  readonly tables: readonly TableSnapshot[];
  /** Entries of L1: index and the 8 bytes. */
  readonly l1: ReadonlyMap<number, Buffer>;
}

/** Where a new L2 table comes from, and where one goes that only snapshots of the image refer to. */
export interface TableAllocator {
  allocate(): number;
  drop(cluster: number): void;
}

/**
 * Which guest cluster is where: the two levels of tables. Changes stay in memory until they are written by snapshots.
 *
 * @spec QCOW2 "Cluster mapping"
 */
export class Mapping {
  /** Guest clusters that one L2 table describes. */
  readonly perTable: number;
  readonly #file: DiskFile;
  readonly #clusterSize: number;
  readonly #l1: Buffer;
  readonly #l1Offset: number;
  readonly #l1Dirty = new Set<number>();
  readonly #tables: TableCache;
  readonly #entry: L2Entry;
  readonly #next: L2Entry;
  readonly #extent: Extent = { kind: 'unallocated', host: 0, length: 0 };

  constructor(file: DiskFile, header: Qcow2Header) {
    this.#file = file;
    this.#clusterSize = 2 ** header.clusterBits;
    this.perTable = this.#clusterSize / 8;
    this.#l1Offset = header.l1Offset;
    if (header.l1Offset + header.l1Size * 8 > file.length) throw malformed(file.path, 'its L1 table is cut off');
    this.#l1 = Buffer.alloc(header.l1Size * 8);
    if (this.#l1.length > 0) file.readNow(header.l1Offset, this.#l1);
    this.#tables = new TableCache(file, this.#clusterSize, TABLES_BUDGET);
    this.#entry = new L2Entry(header.clusterBits, header.version);
    this.#next = new L2Entry(header.clusterBits, header.version);
  }

  get dirtyBytes(): number {
    return this.#tables.dirtyBytes + this.#l1Dirty.size;
  }

  /** Clusters that hold L1 and L2 tables. */
  *clusters(): Generator<number, void, void> {
    const first = this.#l1Offset / this.#clusterSize;
    for (let at = 0; at * this.#clusterSize < this.#l1.length; at++) yield first + at;
    for (let at = 0; at < this.#l1.length; at += 8) {
      const offset = hostOffset(this.#l1.readUInt32BE(at), this.#l1.readUInt32BE(at + 4));
      if (offset !== 0) yield offset / this.#clusterSize;
    }
  }

  /** The entry of a guest cluster, valid until the next call. */
  entry(cluster: number): L2Entry {
    return this.#load(this.#entry, cluster);
  }

  /** How the guest's bytes from `offset` on are stored: as far as they are stored alike, at most `max`. Valid until the next call. */
  extent(offset: number, max: number): Extent {
    const cluster = Math.floor(offset / this.#clusterSize);
    const inCluster = offset % this.#clusterSize;
    const { kind, host } = this.#load(this.#entry, cluster);
    const end = cluster - (cluster % this.perTable) + this.perTable;
    let next = cluster + 1;
    if (!this.hasTable(cluster)) next = end;
    else if (kind !== 'compressed') {
      const wanted = Math.min(end, Math.ceil((offset + max) / this.#clusterSize));
      while (next < wanted && this.#continues(kind, host, next - cluster, next)) next += 1;
    }
    const extent = this.#extent;
    extent.kind = kind;
    extent.host = kind === 'data' ? host + inCluster : host;
    extent.length = Math.min(max, next * this.#clusterSize - offset);
    return extent;
  }

  hasTable(cluster: number): boolean {
    const at = Math.floor(cluster / this.perTable) * 8;
    return hostOffset(this.#l1.readUInt32BE(at), this.#l1.readUInt32BE(at + 4)) !== 0;
  }

  /** The table of a guest cluster, made if there is none, and the image's own if a snapshot shares it. */
  tableToChange(cluster: number, clusters: TableAllocator): Table {
    const index = Math.floor(cluster / this.perTable);
    const high = this.#l1.readUInt32BE(index * 8);
    const offset = hostOffset(high, this.#l1.readUInt32BE(index * 8 + 4));
    if (offset !== 0 && isCopied(high)) return this.#tables.get(this.#checked(offset));
    const content = offset === 0 ? undefined : this.#tables.get(this.#checked(offset)).bytes;
    const own = clusters.allocate() * this.#clusterSize;
    const table = this.#tables.create(own, content);
    storeEntry(this.#l1, index, own);
    this.#l1Dirty.add(index);
    if (offset !== 0) clusters.drop(offset / this.#clusterSize);
    return table;
  }

  /** Says where a guest cluster is from now on: alone in host cluster `host`, or nowhere. */
  store(table: Table, cluster: number, host: number, zero = false): void {
    storeEntry(table.bytes, cluster % this.perTable, host, zero);
    this.#tables.changed(table);
  }

  /** A cluster that was freed holds no table any more. */
  forget(cluster: number): void {
    this.#tables.forget(cluster * this.#clusterSize);
  }

  snapshot(): MappingSnapshot {
    const l1 = Array.from(this.#l1Dirty, (index): [number, Buffer] => [
      index,
      Buffer.from(this.#l1.subarray(index * 8, index * 8 + 8)),
    ]);
    return { tables: this.#tables.snapshot(), l1: new Map(l1) };
  }

  writeTables({ tables }: MappingSnapshot): void {
    this.#tables.write(tables);
  }

  writeL1({ l1 }: MappingSnapshot): void {
    for (const [index, entry] of l1) {
      this.#file.writeNow(this.#l1Offset + index * 8, [entry]);
      if (entry.equals(this.#l1.subarray(index * 8, index * 8 + 8))) this.#l1Dirty.delete(index);
    }
  }

  #continues(kind: L2Entry['kind'], host: number, distance: number, cluster: number): boolean {
    const next = this.#load(this.#next, cluster);
    return next.kind === kind && (kind !== 'data' || next.host === host + distance * this.#clusterSize);
  }

  #load(into: L2Entry, cluster: number): L2Entry {
    const at = Math.floor(cluster / this.perTable) * 8;
    const offset = hostOffset(this.#l1.readUInt32BE(at), this.#l1.readUInt32BE(at + 4));
    if (offset === 0) return into.clear();
    return into.load(this.#tables.get(this.#checked(offset)).bytes, cluster % this.perTable);
  }

  #checked(offset: number): number {
    if (offset % this.#clusterSize !== 0 || offset > Number.MAX_SAFE_INTEGER) {
      throw new ImageIoError('Cannot use an L1 entry of the image: it is malformed');
    }
    return offset;
  }
}
