import { KiB, MiB } from '../../../base/units.ts';
import { malformed, unsupported } from '../disk-error.ts';

/** "QFI" and 0xfb. @spec QCOW2 "Header" */
const MAGIC = 0x5146_49fb;

/** Where the fields are that are written after an image was made. @spec QCOW2 "Header" */
export const AT_REFCOUNT_TABLE_OFFSET = 48;
export const AT_AUTOCLEAR_FEATURES = 88;

const V2_HEADER_BYTES = 72;
const V3_HEADER_BYTES = 104;

/** Incompatible feature bits. @spec QCOW2 "incompatible_features" */
const INCOMPAT_DIRTY = 1n << 0n;
const INCOMPAT_CORRUPT = 1n << 1n;
const INCOMPAT_DATA_FILE = 1n << 2n;
const INCOMPAT_COMPRESSION = 1n << 3n;
const INCOMPAT_EXTL2 = 1n << 4n;

/** Header extensions that mean something to us. @spec QCOW2 "Header extensions" */
const EXT_END = 0;
const EXT_BACKING_FORMAT = 0xe279_2aca;

/** Bounds that keep what an image makes us hold in memory small; the same as other programs have. */
const L1_BYTES_MAX = 32 * MiB;
const REFCOUNT_TABLE_BYTES_MAX = 8 * MiB;
const BACKING_NAME_BYTES_MAX = 1023;
const HEADER_CLUSTER_BYTES_MAX = 64 * KiB;

/** What of an image's header an open image needs; checked. */
export interface Qcow2Header {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  /** Bytes of the disk. */
  readonly size: number;
  readonly l1Offset: number;
  readonly l1Size: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  /** A reference count has 2**refcountOrder bits. */
  readonly refcountOrder: number;
  readonly autoclear: bigint;
  readonly compression: 'zlib' | 'zstd';
  readonly backing: { readonly name: string; readonly format: string | undefined } | undefined;
}

/** How much of a file's start `parseHeader` wants to see. */
export const HEADER_BYTES_MAX = HEADER_CLUSTER_BYTES_MAX;

/**
 * Reads the header of a qcow2 image.
 *
 * @param bytes the file's start: `HEADER_BYTES_MAX`, or all of a shorter file
 * @throws {KrunError} ERR_DISK_MALFORMED; ERR_DISK_UNSUPPORTED for parts of the format that are not implemented
 * @spec QCOW2 "Header"
 */
export function parseHeader(path: string, bytes: Uint8Array, { readOnly }: { readOnly: boolean }): Qcow2Header {
  if (bytes.length < V2_HEADER_BYTES) throw malformed(path, 'it is shorter than a qcow2 header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0) !== MAGIC) throw malformed(path, 'it does not begin as qcow2 images do');
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) throw unsupported(path, `qcow2 version ${version}`);
  const clusterBits = view.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21) throw malformed(path, `clusters of 2**${clusterBits} bytes`);
  const crypt = view.getUint32(32);
  if (crypt !== 0) throw unsupported(path, `it is encrypted (method ${crypt})`);
  const extra = version === 3 ? parseV3(path, view, readOnly) : V2_DEFAULTS;
  const header = {
    version,
    clusterBits,
    size: Number(view.getBigUint64(24)),
    l1Size: view.getUint32(36),
    l1Offset: Number(view.getBigUint64(40)),
    refcountTableOffset: Number(view.getBigUint64(AT_REFCOUNT_TABLE_OFFSET)),
    refcountTableClusters: view.getUint32(56),
    refcountOrder: extra.refcountOrder,
    autoclear: extra.autoclear,
    compression: extra.compression,
    backing: parseBacking(path, bytes, view, extra.headerLength, clusterBits),
  } as const;
  checkTables(path, header);
  return header;
}

interface V3Fields {
  readonly refcountOrder: number;
  readonly autoclear: bigint;
  readonly compression: 'zlib' | 'zstd';
  readonly headerLength: number;
}

const V2_DEFAULTS: V3Fields = { refcountOrder: 4, autoclear: 0n, compression: 'zlib', headerLength: V2_HEADER_BYTES };

function parseV3(path: string, view: DataView, readOnly: boolean): V3Fields {
  if (view.byteLength < V3_HEADER_BYTES) throw malformed(path, 'it is shorter than its header');
  const headerLength = view.getUint32(100);
  const sound = headerLength >= V3_HEADER_BYTES && headerLength % 8 === 0 && headerLength <= view.byteLength;
  if (!sound) throw malformed(path, `a header of ${headerLength} bytes`);
  const refcountOrder = view.getUint32(96);
  if (refcountOrder > 6) throw malformed(path, `reference counts of 2**${refcountOrder} bits`);
  const compressionType = headerLength > 104 ? view.getUint8(104) : 0;
  checkFeatures(path, view.getBigUint64(72), readOnly);
  if (compressionType > 1) throw unsupported(path, `compression type ${compressionType}`);
  return {
    refcountOrder,
    autoclear: view.getBigUint64(AT_AUTOCLEAR_FEATURES),
    compression: compressionType === 1 ? 'zstd' : 'zlib',
    headerLength,
  };
}

/** @spec QCOW2 "incompatible_features": what is not known must not be opened */
function checkFeatures(path: string, features: bigint, readOnly: boolean): void {
  const repair = 'run "qemu-img check -r all" on it';
  if ((features & INCOMPAT_DATA_FILE) !== 0n) throw unsupported(path, 'its data is in an external file');
  if ((features & INCOMPAT_EXTL2) !== 0n) throw unsupported(path, 'it has extended L2 entries (subclusters)');
  if ((features & INCOMPAT_DIRTY) !== 0n && !readOnly) {
    throw unsupported(path, 'it is marked dirty: its reference counts may be wrong', repair);
  }
  if ((features & INCOMPAT_CORRUPT) !== 0n && !readOnly) throw unsupported(path, 'it is marked corrupt', repair);
  const known = INCOMPAT_DIRTY | INCOMPAT_CORRUPT | INCOMPAT_COMPRESSION;
  const unknown = features & ~known;
  if (unknown !== 0n) throw unsupported(path, `unknown incompatible features 0x${unknown.toString(16)}`);
}

function checkTables(path: string, header: Qcow2Header): void {
  const { clusterBits, size, l1Offset, l1Size, refcountTableOffset, refcountTableClusters } = header;
  const clusterSize = 2 ** clusterBits;
  if (size > Number.MAX_SAFE_INTEGER) throw malformed(path, `a disk of ${size} bytes`);
  if (l1Size * 8 > L1_BYTES_MAX) throw malformed(path, `an L1 table of ${l1Size} entries`);
  if (l1Size < Math.ceil(size / (clusterSize * (clusterSize / 8)))) {
    throw malformed(path, `an L1 table of ${l1Size} entries is too short for ${size} bytes`);
  }
  if (!isOffset(l1Offset, clusterSize, l1Size === 0)) throw malformed(path, `an L1 table at ${l1Offset}`);
  const tableBytes = refcountTableClusters * clusterSize;
  if (refcountTableClusters === 0 || tableBytes > Math.max(REFCOUNT_TABLE_BYTES_MAX, clusterSize)) {
    throw malformed(path, `a reference count table of ${refcountTableClusters} clusters`);
  }
  if (!isOffset(refcountTableOffset, clusterSize, false)) {
    throw malformed(path, `a reference count table at ${refcountTableOffset}`);
  }
}

function isOffset(offset: number, clusterSize: number, zero: boolean): boolean {
  if (offset === 0) return zero;
  return offset <= Number.MAX_SAFE_INTEGER - L1_BYTES_MAX && offset % clusterSize === 0;
}

function parseBacking(
  path: string,
  bytes: Uint8Array,
  view: DataView,
  headerLength: number,
  clusterBits: number,
): Qcow2Header['backing'] {
  const offset = Number(view.getBigUint64(8));
  const length = view.getUint32(16);
  const end = Math.min(bytes.length, 2 ** clusterBits);
  const format = extension(path, bytes, view, headerLength, offset === 0 ? end : Math.min(offset, end));
  if (offset === 0 || length === 0) return undefined;
  if (length > BACKING_NAME_BYTES_MAX) throw malformed(path, `a backing file name of ${length} bytes`);
  if (offset < headerLength || offset + length > end) throw malformed(path, `a backing file name at ${offset}`);
  return { name: text(path, bytes.subarray(offset, offset + length)), format };
}

/** The format of the backing file, if the header says it. @spec QCOW2 "Header extensions" */
function extension(path: string, bytes: Uint8Array, view: DataView, from: number, end: number): string | undefined {
  let format: string | undefined;
  for (let at = from; at + 8 <= end; ) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === EXT_END) break;
    if (length > end - at - 8) throw malformed(path, `a header extension of ${length} bytes`);
    if (type === EXT_BACKING_FORMAT) format = text(path, bytes.subarray(at + 8, at + 8 + length));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return format;
}

function text(path: string, bytes: Uint8Array): string {
  try {
    const string = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (!string.includes('\0')) return string;
  } catch {
    // Falls through: a path that is not UTF-8 cannot be opened by name here.
  }
  throw malformed(path, 'a name in its header is no text');
}
