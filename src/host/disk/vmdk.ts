import { dirname, isAbsolute, join } from 'node:path';
import { MiB } from '../../base/units.ts';
import { AllDone } from './all-done.ts';
import { ImageIoError, malformed, unsupported } from './disk-error.ts';
import { DiskFile, type DiskFileOptions } from './disk-file.ts';
import type { DiskImage, Done, Lease } from './disk-image.ts';
import { RawImage } from './raw.ts';
import { clear, sliceViews, totalLength } from './views.ts';

const SECTOR = 512;
const DESCRIPTOR_BYTES_MAX = 1 * MiB;
const EXTENTS_MAX = 4096;
const DESCRIPTOR_START = '# Disk DescriptorFile';
/** What an image begins with that has its descriptor inside and its data in grains. */
const SPARSE_START = 'KDMV';

/** One line of a descriptor: some sectors of the disk. @spec VMDK "The Extent Description" */
export interface ExtentLine {
  readonly writable: boolean;
  readonly bytes: number;
  /** Absent: zeros. */
  readonly file?: { readonly name: string; readonly offset: number };
}

interface Extent {
  readonly start: number;
  readonly end: number;
  readonly writable: boolean;
  /** Where its first byte is. */
  readonly offset: number;
  readonly image: RawImage | undefined;
}

/**
 * A VMDK whose descriptor is a text file and whose data is in flat files or nowhere.
 *
 * @spec VMDK
 * @unsupported VMDK sparse and stream-optimised extents, delta links
 */
export class VmdkImage implements DiskImage {
  readonly length: number;
  readonly readOnly: boolean;
  readonly discardAlignment = 4096;
  readonly #extents: readonly Extent[];

  /** @throws {KrunError} ERR_DISK_MALFORMED, ERR_DISK_UNSUPPORTED; ERR_DISK for an extent's file */
  constructor(descriptor: DiskFile, options: DiskFileOptions) {
    const lines = parseDescriptor(descriptor.path, readDescriptor(descriptor));
    const extents: Extent[] = [];
    let start = 0;
    try {
      for (const line of lines) {
        const readOnly = options.readOnly || !line.writable;
        const image = line.file && openExtent(descriptor, line.file.name, { ...options, readOnly });
        extents.push({ start, end: start + line.bytes, writable: !readOnly, offset: line.file?.offset ?? 0, image });
        start += line.bytes;
      }
    } catch (error) {
      for (const { image } of extents) image?.close();
      throw error;
    }
    this.#extents = extents;
    this.length = start;
    this.readOnly = options.readOnly;
  }

  read(offset: number, into: readonly Uint8Array[], lease: Lease): Done {
    const length = totalLength(into);
    return this.#each(offset, length, ({ image }, from, at, count) => {
      const part = count === length ? into : sliceViews(into, at, count);
      return image === undefined ? void clear(part) : image.read(from, part, lease);
    });
  }

  readNow(offset: number, into: Uint8Array): void {
    const length = Math.min(into.length, Math.max(0, this.length - offset));
    into.fill(0, length);
    this.#each(offset, length, ({ image }, from, at, count) => {
      const part = into.subarray(at, at + count);
      if (image === undefined) part.fill(0);
      else image.readNow(from, part);
      return undefined;
    });
  }

  write(offset: number, data: readonly Uint8Array[]): Done {
    const length = totalLength(data);
    return this.#each(offset, length, (extent, from, at, count) =>
      toWrite(extent).write(from, count === length ? data : sliceViews(data, at, count)),
    );
  }

  flush(): Done {
    const all = new AllDone();
    for (const { image } of this.#extents) if (image?.readOnly === false) all.add(() => image.flush());
    return all.done;
  }

  discard(offset: number, length: number): Done {
    return this.#each(offset, length, ({ image, writable }, from, _at, count) =>
      writable ? image?.discard(from, count) : undefined,
    );
  }

  writeZeroes(offset: number, length: number, unmap: boolean): Done {
    return this.#each(offset, length, (extent, from, _at, count) =>
      extent.image === undefined ? undefined : toWrite(extent).writeZeroes(from, count, unmap),
    );
  }

  close(): void {
    for (const { image } of this.#extents) image?.close();
  }

  /** Calls `work` for each extent that a range touches, with where in its file, where in the range, and how much. */
  #each(offset: number, length: number, work: (extent: Extent, from: number, at: number, count: number) => Done): Done {
    const all = new AllDone();
    for (const extent of this.#extents) {
      const from = Math.max(offset, extent.start);
      const count = Math.min(offset + length, extent.end) - from;
      if (count > 0 && !all.failed) {
        all.add(() => work(extent, from - extent.start + extent.offset, from - offset, count));
      }
    }
    return all.done;
  }
}

function toWrite({ image, writable }: Extent): RawImage {
  if (image !== undefined && writable) return image;
  throw new ImageIoError('Cannot write to the image: this part of it is read-only');
}

/**
 * Reads a descriptor's extents.
 *
 * @throws {KrunError} ERR_DISK_MALFORMED, ERR_DISK_UNSUPPORTED
 * @spec VMDK "The Descriptor File"
 */
export function parseDescriptor(path: string, text: string): ExtentLine[] {
  if (text.startsWith(SPARSE_START)) throw unsupported(path, 'it is a sparse VMDK; only flat ones are read');
  if (!text.trimStart().startsWith(DESCRIPTOR_START)) throw malformed(path, 'it does not begin as VMDK descriptors do');
  const extents: ExtentLine[] = [];
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.replace(/\0.*$/s, '').trim();
    const parent = /^parentCID\s*=\s*"?([0-9a-f]+)"?$/i.exec(line);
    if (parent !== null && parent[1]?.toLowerCase() !== 'ffffffff')
      throw unsupported(path, 'it is a delta of another image');
    if (/^(RW|RDONLY|NOACCESS)\s/.test(line)) extents.push(parseExtent(path, line));
  }
  if (extents.length === 0) throw malformed(path, 'it has no extents');
  if (extents.length > EXTENTS_MAX) throw malformed(path, `${extents.length} extents`);
  return extents;
}

function parseExtent(path: string, line: string): ExtentLine {
  const match = /^(RW|RDONLY|NOACCESS)\s+(\d{1,15})\s+(\w+)(?:\s+"([^"]+)"(?:\s+(\d{1,15}))?)?/.exec(line);
  if (match === null) throw malformed(path, `an extent that says ${JSON.stringify(line.slice(0, 80))}`);
  const [, access, sectors, type = '', name, offset = '0'] = match;
  if (access === 'NOACCESS') throw unsupported(path, 'an extent without access');
  const bytes = Number(sectors) * SECTOR;
  if (bytes === 0 || !Number.isSafeInteger(bytes)) throw malformed(path, `an extent of ${sectors} sectors`);
  const writable = access === 'RW';
  if (type === 'ZERO') return { writable, bytes };
  if (type !== 'FLAT') throw unsupported(path, `an extent of type ${type}`);
  if (name === undefined) throw malformed(path, 'a flat extent without a file');
  return { writable, bytes, file: { name, offset: Number(offset) * SECTOR } };
}

function readDescriptor(file: DiskFile): string {
  const bytes = new Uint8Array(Math.min(file.length, DESCRIPTOR_BYTES_MAX));
  file.readNow(0, bytes);
  const text = new TextDecoder('latin1').decode(bytes.subarray(0, 4));
  if (text !== SPARSE_START && file.length > DESCRIPTOR_BYTES_MAX)
    throw malformed(file.path, 'it is too long for a descriptor');
  return new TextDecoder().decode(bytes);
}

/** A name is relative to the descriptor's directory. The descriptor itself is no data: a guest could rewrite it. */
function openExtent(descriptor: DiskFile, name: string, options: DiskFileOptions): RawImage {
  const path = isAbsolute(name) ? name : join(dirname(descriptor.path), name);
  const file = new DiskFile(path, options);
  const { dev, ino } = file.identity;
  if (dev === descriptor.identity.dev && ino === descriptor.identity.ino) {
    file.close();
    throw malformed(descriptor.path, 'an extent is the descriptor itself');
  }
  return new RawImage(file, 'fill');
}
