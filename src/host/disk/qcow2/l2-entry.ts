import { ImageIoError } from '../disk-error.ts';

/** Bit 63 of an L1 or L2 entry, in its upper half: exactly one reference, so that it may be written in place. */
const COPIED = 0x8000_0000;
const COMPRESSED = 0x4000_0000;
const OFFSET_HIGH = 0x00ff_ffff;
const OFFSET_LOW = 0xffff_fe00;

/** Where a guest's cluster is. `host` is a byte offset, 0 when there is none. */
export type ClusterKind = 'unallocated' | 'data' | 'zero' | 'compressed';

/** An L2 entry in parts; one of these is filled over and over. @spec QCOW2 "L2 table entry" */
export class L2Entry {
  kind: ClusterKind = 'unallocated';
  /** The cluster, also under a zero flag; for a compressed one where its data begins. */
  host = 0;
  /** Whether nobody else refers to the cluster. */
  copied = false;
  /** Of a compressed cluster: bytes that hold its data, and perhaps something behind. */
  compressedLength = 0;
  readonly #clusterBits: number;
  readonly #zeroFlag: boolean;

  constructor(clusterBits: number, version: 2 | 3) {
    this.#clusterBits = clusterBits;
    this.#zeroFlag = version === 3;
  }

  /** What an entry is of which there is not even a table. */
  clear(): this {
    this.kind = 'unallocated';
    this.host = 0;
    this.copied = false;
    return this;
  }

  /** @throws {ImageIoError} an entry that cannot be */
  load(table: Buffer, index: number): this {
    const high = table.readUInt32BE(index * 8);
    const low = table.readUInt32BE(index * 8 + 4);
    if ((high & COMPRESSED) !== 0) return this.#loadCompressed(table.readBigUInt64BE(index * 8));
    const zero = (low & 1) !== 0;
    this.host = hostOffset(high, low);
    this.copied = (high & COPIED) !== 0;
    this.kind = zero ? 'zero' : this.host === 0 ? 'unallocated' : 'data';
    const sound = this.host % 2 ** this.#clusterBits === 0 && this.host <= Number.MAX_SAFE_INTEGER;
    if (!sound || (zero && !this.#zeroFlag))
      throw new ImageIoError('Cannot use an L2 entry of the image: it is malformed');
    return this;
  }

  /** @spec QCOW2 "Compressed Clusters Descriptor" */
  #loadCompressed(entry: bigint): this {
    const offsetBits = BigInt(62 - (this.#clusterBits - 8));
    const descriptor = entry & ((1n << 62n) - 1n);
    this.kind = 'compressed';
    this.copied = false;
    this.host = Number(descriptor & ((1n << offsetBits) - 1n));
    const sectors = Number(descriptor >> offsetBits) + 1;
    this.compressedLength = sectors * 512 - (this.host % 512);
    if (this.host > Number.MAX_SAFE_INTEGER)
      throw new ImageIoError('Cannot use an L2 entry of the image: it is malformed');
    return this;
  }
}

/** The cluster an entry of L1 or L2 names. */
export function hostOffset(high: number, low: number): number {
  return (high & OFFSET_HIGH) * 2 ** 32 + ((low & OFFSET_LOW) >>> 0);
}

/** Whether an entry of L1 says that nobody else refers to its table. */
export function isCopied(high: number): boolean {
  return (high & COPIED) !== 0;
}

/** Writes an entry for a cluster with exactly one reference; host 0 means none. */
export function storeEntry(table: Buffer, index: number, host: number, zero = false): void {
  const high = Math.floor(host / 2 ** 32);
  table.writeUInt32BE(host === 0 ? 0 : (high | COPIED) >>> 0, index * 8);
  table.writeUInt32BE(((host % 2 ** 32) | (zero ? 1 : 0)) >>> 0, index * 8 + 4);
}
