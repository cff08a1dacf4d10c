import { openSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type { DiskSpec, OpenedFile } from '../../config/spec.ts';
import type { BlockBackend } from '../../devices/virtio-blk/backend.ts';
import { ImageIoError, malformed, unsupported } from './disk-error.ts';
import { DiskFile, type DiskFileOptions, type OpenFile } from './disk-file.ts';
import type { DiskImage, FileIdentity } from './disk-image.ts';
import { canDecompress } from './qcow2/decompress.ts';
import { HEADER_BYTES_MAX, parseHeader, type Qcow2Header } from './qcow2/header.ts';
import { Qcow2Image } from './qcow2/image.ts';
import { RawImage } from './raw.ts';
import { VmdkImage } from './vmdk.ts';

/** How many images may lie below each other. */
const CHAIN_MAX = 200;
const ID_BYTES = 20;

/** A disk for a machine. Closing it makes everything durable that the guest's requests wrote. */
export interface OpenDisk extends BlockBackend {
  close(): void;
}

/**
 * Opens a disk's file and everything below it, in the format the user names: what is in the file does not decide how it
 * is read, or a guest could turn its raw disk into an image that names files of the host.
 *
 * @throws {KrunError} ERR_DISK, ERR_DISK_MALFORMED, ERR_DISK_UNSUPPORTED
 */
export function openDisk(spec: DiskSpec, open: OpenFile = openerOf(spec)): OpenDisk {
  const { path, format, readOnly, direct, sync } = spec;
  const durable = sync !== 'none';
  const options = { readOnly, direct, durable, open };
  const { image, identity } = openImage({ path, format, lastSector: 'drop' }, options, []);
  const id = new TextEncoder().encode(spec.serial ?? defaultSerial(identity)).subarray(0, ID_BYTES);
  return {
    length: image.length,
    readOnly,
    volatileCache: durable && !readOnly,
    discardAlignment: image.discardAlignment,
    id,
    read: (offset, into, lease) => image.read(offset, into, lease),
    write: (offset, from) => image.write(offset, from),
    flush: () => image.flush(),
    discard: (offset, length) => image.discard(offset, length),
    writeZeroes: (offset, length, unmap) => image.writeZeroes(offset, length, unmap),
    close: () => image.close(),
  };
}

/**
 * Opens all files of a disk for somebody who may not be able to later; `DiskSpec.opened` takes what it answers.
 *
 * @throws {KrunError} as `openDisk`
 */
export function openFilesOf(spec: DiskSpec): OpenedFile[] {
  const files: OpenedFile[] = [];
  openDisk(spec, (path, flags) => {
    const fd = openSync(path, flags);
    files.push({ path, flags, fd });
    return { fd, isOurs: false };
  });
  return files;
}

/** Each file that is open already serves once, and whoever opened it closes it. */
function openerOf({ opened = [] }: DiskSpec): OpenFile {
  const left = [...opened];
  return (path, flags) => {
    const index = left.findIndex((file) => file.path === path && file.flags === flags);
    const [file] = index < 0 ? [] : left.splice(index, 1);
    return file === undefined ? { fd: openSync(path, flags), isOurs: true } : { fd: file.fd, isOurs: false };
  };
}

interface ImageFile {
  readonly path: string;
  readonly format: DiskSpec['format'];
  readonly lastSector: 'drop' | 'fill';
}

function openImage(
  { path, format, lastSector }: ImageFile,
  options: DiskFileOptions,
  above: readonly FileIdentity[],
): { image: DiskImage; identity: FileIdentity } {
  // A descriptor is only read, whatever happens to the data it names.
  const file = new DiskFile(path, format === 'vmdk' ? { ...options, readOnly: true, direct: false } : options);
  try {
    const { identity } = file;
    if (above.some(({ dev, ino }) => dev === identity.dev && ino === identity.ino)) {
      throw malformed(path, 'it is among its own backing files');
    }
    return { image: imageOf(file, format, lastSector, options, [...above, identity]), identity };
  } catch (error) {
    file.close();
    throw error instanceof ImageIoError ? malformed(path, error.message) : error;
  }
}

function imageOf(
  file: DiskFile,
  format: DiskSpec['format'],
  lastSector: 'drop' | 'fill',
  options: DiskFileOptions,
  chain: readonly FileIdentity[],
): DiskImage {
  switch (format) {
    case 'raw':
      return new RawImage(file, lastSector);
    case 'qcow2':
      return openQcow2(file, options, chain);
    case 'vmdk': {
      const image = new VmdkImage(file, options);
      file.close();
      return image;
    }
  }
}

function openQcow2(file: DiskFile, options: DiskFileOptions, chain: readonly FileIdentity[]): DiskImage {
  const bytes = new Uint8Array(Math.min(HEADER_BYTES_MAX, file.length));
  file.readNow(0, bytes);
  const header = parseHeader(file.path, bytes, options);
  if (!canDecompress(header.compression)) {
    throw unsupported(file.path, 'its clusters are compressed with zstd', 'Node 22.15 and later can read them');
  }
  const backing = header.backing && openBacking(file.path, header.backing, options, chain);
  try {
    return new Qcow2Image(file, header, backing);
  } catch (error) {
    backing?.close();
    throw error;
  }
}

function openBacking(
  overlay: string,
  { name, format }: NonNullable<Qcow2Header['backing']>,
  options: DiskFileOptions,
  chain: readonly FileIdentity[],
): DiskImage {
  if (chain.length >= CHAIN_MAX) throw unsupported(overlay, `more than ${CHAIN_MAX} backing files`);
  if (format === undefined) {
    const hint = `add it: qemu-img rebase -u -f qcow2 -b ${name} -F FORMAT ${overlay}`;
    throw unsupported(overlay, 'it does not say which format its backing file has', hint);
  }
  if (format !== 'raw' && format !== 'qcow2' && format !== 'vmdk') {
    throw unsupported(overlay, `its backing file has format ${JSON.stringify(format)}`);
  }
  const path = backingPath(overlay, name);
  return openImage({ path, format, lastSector: 'fill' }, { ...options, readOnly: true }, chain).image;
}

/** A relative name is relative to the overlay's directory, by name and not by what links point to, as in QEMU. */
export function backingPath(overlay: string, name: string): string {
  if (/^[^/]*:/.test(name)) {
    if (name.startsWith('file:')) return name.slice('file:'.length);
    throw unsupported(overlay, `its backing file ${JSON.stringify(name.slice(0, 80))} is not named by a path`);
  }
  return isAbsolute(name) ? name : join(dirname(overlay), name);
}

/** What upstream shows to guests: the host's numbers of the file. */
function defaultSerial({ dev, rdev, ino }: FileIdentity): string {
  return `${dev}${rdev}${ino}`;
}
