import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { syntheticBzImage, syntheticElf } from '../../boot/kernel-file/synthetic-elf-harness.ts';
import { type KernelFormat, readKernelFile } from '../../boot/kernel-file/kernel-file.ts';
import { decompressors } from './decompressors.ts';
import { openKernelFile } from './kernel-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'krun-kernel-'));
after(() => rmSync(directory, { recursive: true }));

/** Text that compresses, runs that bzip2 has codes for, and noise; more than one block of the smallest bzip2 level. */
function contents(): Uint8Array {
  const bytes = new Uint8Array(300_000);
  let state = 1;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = i < 100_000 ? (i >> 9) & 0xff : i < 200_000 ? 0x61 + (i % 7) : state >>> 24;
  }
  bytes.set(new TextEncoder().encode('Linux version 6.1.0-test '), 5000);
  return bytes;
}

const body = contents();
const elf = syntheticElf(0x1000123, [{ address: 0x1000000, bytes: body, memoryBytes: 400_000 }]);

/** What a tool makes of the ELF file, or undefined where it is not installed. */
function tool(command: string, args: readonly string[]): Uint8Array | undefined {
  try {
    return execFileSync(command, args, { input: elf, maxBuffer: 1 << 26, stdio: ['pipe', 'pipe', 'ignore'] });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

const STREAMS: readonly (readonly [string, KernelFormat, Uint8Array | undefined])[] = [
  ['gzip', 'image-gz', gzipSync(elf)],
  ['bzip2', 'image-bz2', tool('bzip2', ['-1'])],
  ['bzip2 -9', 'image-bz2', tool('bzip2', ['-9'])],
  ['zstd', 'image-zstd', tool('zstd', ['-q', '-c'])],
  ['zstd --ultra -22', 'image-zstd', tool('zstd', ['-q', '-c', '--ultra', '-22'])],
];

function assertIsTheKernel(file: ReturnType<typeof readKernelFile>): void {
  assert.equal(file.loadAddress, 0x1000000);
  assert.equal(file.entry, 0x1000123);
  assert.equal(file.memoryBytes, 401_408);
  assert.deepEqual(Buffer.compare(file.bytes, body), 0, 'the bytes are those of the segment');
}

for (const [name, format, stream] of STREAMS) {
  const options = { skip: stream === undefined && `${name} is not installed` };
  test(`a kernel compressed by ${name} is found behind other bytes and before others`, options, () => {
    const around = joined(new Uint8Array(777).fill(0x90), stream!, new Uint8Array(100).fill(0xcc));
    const file = readKernelFile(around, format, decompressors);
    assertIsTheKernel(file);
    assert.equal(file.release, '6.1.0-test');
    assertIsTheKernel(readKernelFile(stream!, 'auto', decompressors));
  });

  test(`a bzImage whose payload is compressed by ${name} gives its kernel in every format that fits`, options, () => {
    const image = syntheticBzImage(joined(stream!, Uint8Array.of(1, 2, 3, 4)));
    for (const wanted of ['auto', 'bzimage', 'raw', format] as const) {
      const file = readKernelFile(image, wanted, decompressors);
      assertIsTheKernel(file);
      assert.equal(file.release, '6.1.0-test');
      assert.equal(file.commandLineSize, 2048);
    }
  });

  test(
    `damage anywhere in a ${name} stream throws ERR_KERNEL_IMAGE or nothing, and a stream that is cut short always does`,
    options,
    () => {
      for (let step = 0; step < 60; step++) {
        const damaged = stream!.slice();
        const at = Math.floor((step / 60) * damaged.length);
        damaged[at] = damaged[at]! ^ (1 << (step % 8));
        try {
          readKernelFile(damaged, format, decompressors);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'ERR_KERNEL_IMAGE', String((error as Error).stack));
        }
        assert.throws(() => readKernelFile(stream!.subarray(0, at), format, decompressors), {
          code: 'ERR_KERNEL_IMAGE',
        });
      }
    },
  );
}

test('an LZ4 payload, as Debian compresses its cloud kernel, gives its kernel', (t) => {
  const stream = tool('lz4', ['-l', '-c', '-z', '-q']);
  if (stream === undefined) return t.skip('lz4 is not installed');
  const sized = joined(stream, Uint8Array.of(0, 0, 4, 0));
  assertIsTheKernel(readKernelFile(syntheticBzImage(sized), 'bzimage', decompressors));
  for (let step = 0; step < 60; step++) {
    const damaged = sized.slice();
    damaged[Math.floor((step / 60) * damaged.length)]! ^= 0xff;
    try {
      readKernelFile(syntheticBzImage(damaged), 'bzimage', decompressors);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'ERR_KERNEL_IMAGE');
    }
  }
});

test('a zstd frame that claims more than a kernel may have is refused before anything is allocated', () => {
  // Single segment, eight bytes of content size.
  const frame = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0xff, 0, 0, 0, 1, 0, 0);
  assert.throws(() => readKernelFile(frame, 'image-zstd', decompressors), /claims too much/);
  const window = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 1, 0, 0);
  assert.throws(() => readKernelFile(window, 'image-zstd', decompressors), /claims too much/);
});

test('a file that is not there is ERR_KERNEL_NOT_FOUND and says which one', async () => {
  const kernel = join(directory, 'vmlinux');
  await assert.rejects(openKernelFile({ path: kernel, format: 'elf' }), {
    code: 'ERR_KERNEL_NOT_FOUND',
    stage: 'resources',
    message: `Cannot read the kernel, ${kernel}: ENOENT`,
  });
  writeFileSync(kernel, elf);
  await assert.rejects(openKernelFile({ path: kernel, format: 'elf', initramfs: '/nonexistent' }), /the initramfs/);
  const { kernel: file, initramfs } = await openKernelFile({ path: kernel, format: 'elf', initramfs: kernel });
  assertIsTheKernel(file);
  assert.equal(initramfs?.length, elf.length);
});
