import { kernelRelease } from '../firmware/release.ts';
import type { KernelImage } from '../kernel-image.ts';
import { bunzip2 } from './bzip2.ts';
import { isBzImage, parseBzImage } from './bzimage.ts';
import { elfKernel, isElf } from './elf-kernel.ts';
import { badKernel, KERNEL_BYTES_MAX } from './limits.ts';
import { lz4 } from './lz4.ts';

/**
 * What a kernel file is: `raw`, `elf`, or an image in which a kernel lies compressed, as the C interface names them;
 * `bzimage`, what distributions install; `auto` looks.
 */
export const KERNEL_FORMATS = [
  'auto',
  'raw',
  'elf',
  'pe-gz',
  'image-bz2',
  'image-gz',
  'image-zstd',
  'bzimage',
] as const;

export type KernelFormat = (typeof KERNEL_FORMATS)[number];

/** Decoders that are the host's. Each returns the plain bytes, or throws whatever it throws. */
export interface Decompressors {
  /** What is behind the end of the stream is not looked at. */
  gunzip(data: Uint8Array, bytesMax: number): Uint8Array;
  unzstd(data: Uint8Array, bytesMax: number): Uint8Array;
}

/** A kernel that was read from its file. */
export interface KernelFile extends KernelImage {
  /** Bytes of command line it keeps, NUL included; absent: unknown. */
  readonly commandLineSize?: number;
  /** As `uname -r` prints it; empty when the image does not say. */
  readonly release: string;
  /** What the file turned out to be, for people. */
  readonly description: string;
}

/** Where a raw image lies and is entered. */
const RAW_ADDRESS = 0x8000_0000;

/** Occurrences of a magic number that are tried: the first may be data that looks like one. */
const TRIES = 8;

type Compression = 'bzip2' | 'gzip' | 'zstd' | 'LZ4';

const MAGICS: Readonly<Record<Compression, readonly number[]>> = {
  bzip2: [0x42, 0x5a, 0x68],
  gzip: [0x1f, 0x8b, 0x08],
  zstd: [0x28, 0xb5, 0x2f, 0xfd],
  LZ4: [0x02, 0x21, 0x4c, 0x18],
};

/**
 * Makes of a kernel's file what the machine loads.
 *
 * @throws {BootError} ERR_KERNEL_IMAGE: it is not of that format, or damaged, or not for this machine
 */
export function readKernelFile(file: Uint8Array, format: KernelFormat, host: Decompressors): KernelFile {
  switch (format) {
    case 'auto':
      return guess(file, host);
    case 'raw':
      // An image that explains itself is not taken for bytes that would run at a fixed place.
      return isBzImage(file) ? bzImage(file, host) : raw(file);
    case 'elf':
      return elf(file);
    case 'bzimage':
      return bzImage(file, host);
    case 'image-bz2':
      return compressed(file, 'bzip2', host);
    case 'image-gz':
      return compressed(file, 'gzip', host);
    case 'image-zstd':
      return compressed(file, 'zstd', host);
    case 'pe-gz':
      throw badKernel('a PE file with a gzip stream is a kernel for arm64 or riscv64, and the machine is x86-64');
  }
}

function guess(file: Uint8Array, host: Decompressors): KernelFile {
  if (isElf(file)) return elf(file);
  if (isBzImage(file)) return bzImage(file, host);
  const compression = compressionOf(file);
  if (compression !== undefined) return compressed(file, compression, host);
  throw badKernel('it is neither an ELF file nor a bzImage, nor compressed by bzip2, gzip, LZ4 or zstd');
}

function raw(file: Uint8Array): KernelFile {
  if (file.length === 0) throw badKernel('the file is empty');
  const image = { bytes: file, loadAddress: RAW_ADDRESS, entry: RAW_ADDRESS, counted: true };
  return { ...image, release: kernelRelease(file), description: 'raw image' };
}

function elf(file: Uint8Array): KernelFile {
  const image = elfKernel(file, { pvh: true });
  const description = image.protocol === 'pvh' ? 'ELF file, entered by its PVH note' : 'ELF file';
  return { ...image, release: kernelRelease(image.bytes), description };
}

/**
 * Decoding the payload here takes a fraction of a second; the image's own decompressor runs in the guest and takes up to
 * minutes on the software engine. It is for what we cannot decode: xz, lzma, lzo.
 */
function bzImage(file: Uint8Array, host: Decompressors): KernelFile {
  const { payload, selfExtracting, commandLineSize, release } = parseBzImage(file);
  const compression = compressionOf(payload);
  const about = { commandLineSize, release };
  if (compression === undefined) return { ...selfExtracting, ...about, description: 'bzImage, decompressed by itself' };
  const plain = decompress(payload, compression, host);
  return { ...elfKernel(plain, { pvh: false }), ...about, description: `bzImage (${compression})` };
}

/** The first place in the file where a stream begins and an ELF kernel comes out. */
function compressed(file: Uint8Array, compression: Compression, host: Decompressors): KernelFile {
  if (isBzImage(file)) {
    const { payload } = parseBzImage(file);
    if (compressionOf(payload) === compression) return bzImage(file, host);
  }
  const magic = MAGICS[compression];
  let failure: unknown;
  for (let at = find(file, magic, 0), tries = 0; at >= 0 && tries < TRIES; at = find(file, magic, at + 1), tries++) {
    try {
      const image = elfKernel(decompress(file.subarray(at), compression, host), { pvh: false });
      return { ...image, release: kernelRelease(image.bytes), description: `image (${compression})` };
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure ?? badKernel(`there is no ${compression} stream in it`);
}

function decompress(data: Uint8Array, compression: Compression, { gunzip, unzstd }: Decompressors): Uint8Array {
  if (compression === 'bzip2') return bunzip2(data);
  if (compression === 'LZ4') return lz4(data);
  try {
    return (compression === 'gzip' ? gunzip : unzstd)(data, KERNEL_BYTES_MAX);
  } catch (cause) {
    throw badKernel(`its ${compression} data is damaged: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function compressionOf(data: Uint8Array): Compression | undefined {
  return (Object.keys(MAGICS) as Compression[]).find((name) =>
    MAGICS[name].every((byte, index) => data[index] === byte),
  );
}

function find(file: Uint8Array, magic: readonly number[], from: number): number {
  const [first = 0] = magic;
  for (let at = file.indexOf(first, from); at >= 0; at = file.indexOf(first, at + 1)) {
    if (magic.every((byte, index) => file[at + index] === byte)) return at;
  }
  return -1;
}
