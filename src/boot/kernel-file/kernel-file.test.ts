import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Decompressors, KERNEL_FORMATS, readKernelFile } from './kernel-file.ts';
import { pvhNote, syntheticBzImage, syntheticElf } from './synthetic-elf-harness.ts';

const NONE: Decompressors = {
  gunzip: () => {
    throw new Error('gzip is broken');
  },
  unzstd: () => {
    throw new Error('zstd is broken');
  },
};

const IMAGE = { code: 'ERR_KERNEL_IMAGE' };
const code = Uint8Array.of(0xf4, 1, 2, 3);

test('an ELF kernel lies at its physical addresses, with zeros between and behind its segments', () => {
  const elf = syntheticElf(0x100001, [
    { address: 0x102000, bytes: Uint8Array.of(9), memoryBytes: 0x5000 },
    { address: 0x100000, bytes: code },
  ]);
  const { bytes, loadAddress, entry, memoryBytes, protocol, counted } = readKernelFile(elf, 'elf', NONE);
  assert.deepEqual([loadAddress, entry, memoryBytes, protocol, counted], [0x100000, 0x100001, 0x7000, undefined, true]);
  assert.equal(bytes.length, 0x2001);
  assert.deepEqual([bytes[0], bytes[3], bytes[4], bytes[0x2000]], [0xf4, 3, 0, 9]);
});

test('an ELF kernel with a PVH note is entered there, unless it comes out of a compressed image', () => {
  const elf = syntheticElf(0x100000, [
    { address: 0x100000, bytes: code },
    { type: 4, address: 0, bytes: pvhNote(0x100002) },
  ]);
  const direct = readKernelFile(elf, 'elf', NONE);
  assert.deepEqual([direct.entry, direct.protocol], [0x100002, 'pvh']);
  const packed = Uint8Array.of(0x1f, 0x8b, 0x08, 0);
  const unpacked = readKernelFile(packed, 'image-gz', { ...NONE, gunzip: () => elf });
  assert.deepEqual([unpacked.entry, unpacked.protocol], [0x100000, undefined]);
});

test('a note without an end, of absurd size, or repeated for ever does not keep the reader', () => {
  const huge = new Uint8Array(4096);
  new DataView(huge.buffer).setUint32(0, 0xffff_fff0, true);
  new DataView(huge.buffer).setUint32(4, 0xffff_fff0, true);
  for (const note of [huge, new Uint8Array(1 << 16), pvhNote(1).subarray(0, 18)]) {
    const elf = syntheticElf(0x100000, [
      { address: 0x100000, bytes: code },
      { type: 4, address: 0, bytes: note },
    ]);
    assert.equal(readKernelFile(elf, 'elf', NONE).protocol, undefined);
  }
});

test('ELF files that cannot be a kernel are refused by name', () => {
  const good = syntheticElf(0x100000, [{ address: 0x100000, bytes: code }]);
  const patched = (at: number, value: number, bits: 8 | 16 | 64): Uint8Array => {
    const copy = good.slice();
    const view = new DataView(copy.buffer);
    if (bits === 8) view.setUint8(at, value);
    else if (bits === 16) view.setUint16(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    return copy;
  };
  const bad: Readonly<Record<string, Uint8Array>> = {
    'no ELF file': new Uint8Array(100),
    'not a little-endian': patched(4, 1, 8),
    'ELF machine 183': patched(0x12, 183, 16),
    'program headers have 32': patched(0x36, 32, 16),
    'it has 65535 segments': patched(0x38, 0xffff, 16),
    'nothing to load': patched(0x38, 0, 16),
    'outside its segments': patched(0x18, 0x200000, 64),
    'cut short': patched(64 + 8, 0x1000, 64),
    'offset or address of': patched(64 + 0x18, 2 ** 62, 64),
    'a segment is at 0x1000': patched(64 + 0x18, 0x1000, 64),
    'more bytes in the file than in memory': patched(64 + 0x28, 1, 64),
    'a segment of 4 bytes is at': patched(64 + 0x18, 0x2_0000_0000, 64),
    'a segment of 1099511627776 bytes': patched(64 + 0x28, 2 ** 40, 64),
  };
  for (const [state, file] of Object.entries(bad)) {
    assert.throws(
      () => readKernelFile(file, 'elf', NONE),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_KERNEL_IMAGE');
        assert.match(error.message, new RegExp(state));
        return true;
      },
    );
  }
});

test('a raw image is loaded and entered at 2 GiB', () => {
  const { loadAddress, entry, bytes } = readKernelFile(code, 'raw', NONE);
  assert.deepEqual([loadAddress, entry, bytes.length], [0x8000_0000, 0x8000_0000, 4]);
  assert.throws(() => readKernelFile(new Uint8Array(0), 'raw', NONE), IMAGE);
});

test('a bzImage that nobody here can unpack is loaded where it unpacks itself', () => {
  const image = syntheticBzImage(Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)); // xz
  const file = readKernelFile(image, 'auto', NONE);
  assert.deepEqual([file.loadAddress, file.entry, file.memoryBytes], [0x1000000, 0x1000200, 0x400000]);
  assert.deepEqual([file.commandLineSize, file.release], [2048, '6.1.0-test']);
  assert.equal(file.setupHeader?.[0], 1, 'setup_sects is the first field of the header');
  assert.equal(file.setupHeader?.length, 0x268 - 0x1f1);
});

test('bzImages with an absurd header are refused', () => {
  const patches: readonly (readonly [number, number, string])[] = [
    [0x206, 0x0100, 'boot protocol is 1.0'],
    [0x236, 0, 'no 64-bit kernel'],
    [0x211, 0, 'zImage'],
    [0x1f1, 0xff, 'cut short'],
    [0x24c, 0xffff_ffff, 'cut short'],
    [0x248, 0xffff_ffff, 'cut short'],
    [0x260, 0xffff_ffff, 'wants 4294967295 bytes'],
  ];
  for (const [at, value, state] of patches) {
    const image = syntheticBzImage(Uint8Array.of(0xfd, 0x37));
    const view = new DataView(image.buffer);
    if (value > 0xffff) view.setUint32(at, value, true);
    else if (at === 0x1f1 || at === 0x211) view.setUint8(at, value);
    else view.setUint16(at, value, true);
    assert.throws(() => readKernelFile(image, 'bzimage', NONE), new RegExp(state));
  }
});

test('a host decoder that fails, a stream that is missing, and a format of other machines are typed errors', () => {
  assert.throws(() => readKernelFile(Uint8Array.of(0x1f, 0x8b, 8), 'image-gz', NONE), /gzip is broken/);
  assert.throws(() => readKernelFile(code, 'image-zstd', NONE), /no zstd stream/);
  assert.throws(() => readKernelFile(code, 'pe-gz', NONE), /arm64 or riscv64/);
  assert.throws(() => readKernelFile(code, 'auto', NONE), /neither an ELF file nor a bzImage/);
  for (const format of KERNEL_FORMATS) {
    if (format !== 'raw') assert.throws(() => readKernelFile(new Uint8Array(0), format, NONE), IMAGE, format);
  }
});

test('a magic number in front of the stream does not hide the stream', () => {
  const elf = syntheticElf(0x100000, [{ address: 0x100000, bytes: code }]);
  const file = new Uint8Array(64);
  file.set([0x1f, 0x8b, 0x08], 3);
  file.set([0x1f, 0x8b, 0x08, 0x77], 40);
  const gunzip = (data: Uint8Array): Uint8Array => {
    if (data[3] !== 0x77) throw new Error('no header');
    return elf;
  };
  assert.equal(readKernelFile(file, 'image-gz', { ...NONE, gunzip }).entry, 0x100000);
});
