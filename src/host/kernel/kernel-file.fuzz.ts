import { gzipSync } from 'node:zlib';
import { BootError } from '../../boot/boot-error.ts';
import { KERNEL_FORMATS, readKernelFile } from '../../boot/kernel-file/kernel-file.ts';
import { KERNEL_BYTES_MAX } from '../../boot/kernel-file/limits.ts';
import { pvhNote, syntheticBzImage, syntheticElf } from '../../boot/kernel-file/synthetic-elf-harness.ts';
import { computeMemoryLayout } from '../../boot/memory-layout.ts';
import { Random } from '../../testing/random.ts';
import { decompressors } from './decompressors.ts';

const GUEST_BYTES = 2 ** 30;
/** Numbers that headers are filled with. */
const ABSURD = [0, 1, 7, 0x7f, 0xff, 0xffff, 0x1000, 0x10_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff];

/** "Linux version 6.1.0 krun krun krun …", by bzip2 -9: no kernel, but tables, runs and a checksum. */
const BZIP2 = Buffer.from(
  'QlpoOTFBWSZTWa+88ZsAACd9hH//////gWEAAAQCKZtABAAgAEjNqAAAAGgAAAGhGqjCYCMAEGJhMmaCbTUIBZhpx6CKSaiqy7DLTbjrz8EMUcko5p6OcwEUIRAstuvwxy1MYlzI04TIAHQQAOR+CACAAIOivKEi/i7kinChIV954zY=',
  'base64',
);

export interface KernelFileFuzzReport {
  readonly read: number;
  readonly refused: number;
}

/** Damaged kernel files of every kind. @throws whatever a reader throws that is not a BootError, or a wrong image */
export function run(seed: number, iterations: number): KernelFileFuzzReport {
  const random = new Random(seed);
  const seeds = wellFormed();
  const report = { read: 0, refused: 0 };
  for (let i = 0; i < iterations; i++) {
    const file = damaged(random.pick(seeds), random);
    try {
      const kernel = readKernelFile(file, random.pick(KERNEL_FORMATS), decompressors);
      if (kernel.bytes.length > KERNEL_BYTES_MAX + 2 ** 24) throw new Error(`an image of ${kernel.bytes.length} bytes`);
      const { lowBytes } = computeMemoryLayout(GUEST_BYTES, kernel);
      const { loadAddress, entry, bytes } = kernel;
      if (entry < loadAddress || entry >= loadAddress + bytes.length) throw new Error('entry outside the image');
      if (loadAddress + bytes.length > lowBytes) throw new Error('image outside RAM');
      report.read++;
    } catch (error) {
      if (!(error instanceof BootError)) throw error;
      report.refused++;
    }
  }
  return report;
}

function wellFormed(): Uint8Array[] {
  const code = new Uint8Array(3000).fill(0x90);
  code.set(Buffer.from('Linux version 6.1.0 '), 100);
  const elf = syntheticElf(0x1000010, [
    { address: 0x1000000, bytes: code, memoryBytes: 0x3000 },
    { type: 4, address: 0, bytes: pvhNote(0x1000020) },
  ]);
  const streams = [gzipSync(elf), zstdRaw(elf), lz4Literals(elf), BZIP2];
  return [elf, ...streams, ...streams.map(syntheticBzImage), syntheticBzImage(new Uint8Array(100))];
}

/** One frame of one raw block. @spec RFC-8878 §3.1.1 */
function zstdRaw(data: Uint8Array): Uint8Array {
  const header = (data.length << 3) | 1;
  const size = [data.length - 256, (data.length - 256) >> 8];
  return Buffer.concat([Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x60, ...size, header, header >> 8, header >> 16), data]);
}

/** A legacy frame of one block of one run of literals. @spec LZ4-FRAME "Legacy frame" */
function lz4Literals(data: Uint8Array): Uint8Array {
  const more = data.length - 15;
  const lengths = [...new Array<number>(Math.floor(more / 255)).fill(255), more % 255];
  const block = Buffer.concat([Uint8Array.of(0xf0, ...lengths), data]);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184c_2102, 0);
  head.writeUInt32LE(block.length, 4);
  return Buffer.concat([head, block]);
}

function damaged(file: Uint8Array, random: Random): Uint8Array {
  const copy = Uint8Array.from(file);
  if (random.oneIn(10)) return copy;
  const view = new DataView(copy.buffer);
  // Most of what a reader decides by is at the beginning.
  const place = (): number => random.below(random.oneIn(3) ? copy.length : Math.min(copy.length, 700));
  for (let times = random.below(4) + 1; times > 0; times--) {
    const at = place();
    if (random.oneIn(2) && at + 4 <= copy.length) view.setUint32(at, random.pick(ABSURD), true);
    else copy[at] = random.u32();
  }
  return random.oneIn(5) ? copy.subarray(0, random.below(copy.length)) : copy;
}
