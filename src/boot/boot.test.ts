import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestMemory } from '../memory/guest-memory.ts';
import { writeBootParams } from './boot-params.ts';
import { bootTuning } from './boot-tuning.ts';
import {
  buildCommandLine,
  DEFAULT_COMMAND_LINE,
  isQuotable,
  quoteWord,
  replaceConsole,
  writeCommandLine,
} from './command-line.ts';
import { linux64EntryState } from './entry-state.ts';
import { writeDescriptorTables } from './gdt.ts';
import { type KernelImage, loadKernel } from './kernel-image.ts';
import { computeMemoryLayout } from './memory-layout.ts';
import { mpTable, writeMpTable } from './mp-table.ts';
import { writePageTables } from './page-tables.ts';

const MIB = 1048576;

function ram(bytes = 2 * MIB): GuestMemory {
  return new GuestMemory(new ArrayBuffer(bytes), [{ gpa: 0, length: bytes, offset: 0 }]);
}

const kernel: KernelImage = { bytes: new Uint8Array(0x1490000), loadAddress: 0x1000000, entry: 0x1000123 };

test('RAM is what the user asked for plus the kernel and what lies below it', () => {
  const expected = 0x1000000 + 0x1490000 + 512 * MIB;
  assert.deepEqual(computeMemoryLayout(512 * MIB, kernel), { lowBytes: expected, highBytes: 0, ramEnd: expected });
});

test('RAM that would reach the device window at 0xd0000000 continues at 4 GiB', () => {
  assert.deepEqual(computeMemoryLayout(4096 * MIB, kernel), {
    lowBytes: 0xd0000000,
    highBytes: 0x30000000,
    ramEnd: 0x130000000,
  });
  assert.equal(computeMemoryLayout(3328 * MIB, kernel).lowBytes, 0xd0000000);
  assert.equal(computeMemoryLayout(512 * MIB + 1, kernel).lowBytes, 0x2490000 + 512 * MIB + 0x1000, 'whole pages');
});

test('a guest smaller than its kernel is refused with ERR_MEMORY_SIZE', () => {
  assert.throws(() => computeMemoryLayout(16 * MIB, kernel), { code: 'ERR_MEMORY_SIZE' });
  assert.throws(() => computeMemoryLayout(0, kernel), { code: 'ERR_MEMORY_SIZE' });
  assert.throws(() => computeMemoryLayout(1.5, kernel), { code: 'ERR_MEMORY_SIZE' });
});

test('a kernel image must be page-aligned, above 1 MiB, not empty, and hold its entry', () => {
  const bad: Partial<KernelImage>[] = [
    { loadAddress: 0x1000001 },
    { loadAddress: 0x1000 },
    { entry: 0xfff },
    { entry: 0x1000000 + 0x1490000 },
    { bytes: new Uint8Array(0) },
    { loadAddress: Number.NaN },
  ];
  for (const change of bad) {
    assert.throws(() => computeMemoryLayout(512 * MIB, { ...kernel, ...change }), { code: 'ERR_KERNEL_IMAGE' });
  }
});

test('the kernel image lies at its load address', () => {
  const memory = ram(0x300000);
  loadKernel(memory, { bytes: Uint8Array.of(0x90, 0xf4), loadAddress: 0x200000, entry: 0x200001 });
  assert.equal(memory.readU16(0x200000), 0xf490);
  assert.equal(memory.readU8(0x200002), 0);
});

test('the zero page carries the setup header and the e820 map at the offsets of the boot protocol', () => {
  const memory = ram();
  memory.writeU32(0x7000, 0xdeadbeef);
  writeBootParams(memory, {
    layout: { lowBytes: 0x20000000, highBytes: 0x1000000, ramEnd: 0x101000000 },
    commandLineLength: 99,
  });
  assert.equal(memory.readU32(0x7000), 0, 'old bytes are gone');
  assert.equal(memory.readU16(0x71fe), 0xaa55);
  assert.equal(memory.readU32(0x7202), 0x53726448);
  assert.equal(memory.readU8(0x7210), 0xff);
  assert.equal(memory.readU8(0x7211), 1);
  assert.equal(memory.readU32(0x7230), 0x1000000);
  assert.equal(memory.readU32(0x7228), 0x20000);
  assert.equal(memory.readU32(0x7238), 100);
  assert.equal(memory.readU8(0x71e8), 3);
  const entry = (i: number) => {
    const at = 0x72d0 + 20 * i;
    return [memory.readU64(at), memory.readU64(at + 8), memory.readU32(at + 16)];
  };
  assert.deepEqual(entry(0), [0n, 0x9fc00n, 1]);
  assert.deepEqual(entry(1), [0x100000n, 0x1ff00000n, 1]);
  assert.deepEqual(entry(2), [0x100000000n, 0x1000000n, 1]);
});

test('the boot page tables map the first 4 GiB onto themselves in 2 MiB pages', () => {
  const memory = ram();
  writePageTables(memory);
  assert.equal(memory.readU64(0x9000), 0xa003n);
  assert.equal(memory.readU64(0xa000), 0xb003n);
  assert.equal(memory.readU64(0xb000), 0x83n);
  assert.equal(memory.readU64(0xb000 + 511 * 8), 0x3fe00083n);
  assert.deepEqual([memory.readU64(0xa008), memory.readU64(0xa018), memory.readU64(0xa020)], [0xc003n, 0xe003n, 0n]);
  assert.equal(memory.readU64(0xe000 + 511 * 8), 0xffe00083n);
});

test('the GDT at 0x500 holds null, 64-bit code, data and TSS descriptors', () => {
  const memory = ram();
  writeDescriptorTables(memory);
  const gdt = [0, 1, 2, 3].map((i) => memory.readU64(0x500 + 8 * i));
  assert.deepEqual(gdt, [0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn, 0x008f8b000000ffffn]);
});

test('a 64-bit boot enters the kernel in long mode with RSI at the zero page', () => {
  const state = linux64EntryState(0x1000123);
  assert.equal(state.rip, 0x1000123);
  assert.deepEqual([state.rsp, state.rbp, state.rsi], [0x8ff0, 0x8ff0, 0x7000]);
  assert.deepEqual([state.cr0, state.cr3, state.cr4, state.efer], [0x80000011, 0x9000, 0x20, 0x500]);
  assert.deepEqual([state.cs.selector, state.data.selector, state.tr.selector], [8, 16, 24]);
  assert.deepEqual(
    [state.gdt, state.idt],
    [
      { base: 0x500, limit: 31 },
      { base: 0x520, limit: 7 },
    ],
  );
  assert.equal(state.cs.limit, 0xffffffff);
});

const sum8 = (bytes: Uint8Array) => bytes.reduce((a, b) => (a + b) & 0xff, 0);
const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

test('the MP floating pointer is at 0x9fc00, 16 bytes that sum to zero, and points behind itself', () => {
  const memory = ram();
  writeMpTable(memory, 1);
  const mpf = memory.bytes(0x9fc00, 16);
  assert.equal(text(mpf.subarray(0, 4)), '_MP_');
  assert.equal(memory.readU32(0x9fc04), 0x9fc10);
  assert.deepEqual([...mpf.subarray(8, 10)], [1, 4]);
  assert.deepEqual([...mpf.subarray(11, 16)], [0, 0, 0, 0, 0]);
  assert.equal(sum8(mpf), 0);
});

test('the MP table of two CPUs lists CPUs, ISA bus, IOAPIC 3, sixteen IRQs, ExtINT and NMI, and sums to zero', () => {
  const table = mpTable(2).subarray(16);
  const view = new DataView(table.buffer, table.byteOffset);
  assert.equal(text(table.subarray(0, 4)), 'PCMP');
  const length = 44 + 2 * 20 + 8 + 8 + 16 * 8 + 2 * 8;
  assert.equal(table.length, length);
  assert.equal(view.getUint16(4, true), length);
  assert.equal(table[6], 4);
  assert.equal(sum8(table), 0);
  assert.equal(text(table.subarray(8, 28)), 'FC      000000000000');
  assert.equal(view.getUint16(34, true), 22);
  assert.equal(view.getUint32(36, true), 0xfee00000);
  assert.deepEqual([...table.subarray(44, 56)], [0, 0, 0x14, 3, 0, 6, 0, 0, 1, 2, 0, 0]);
  assert.deepEqual([...table.subarray(64, 68)], [0, 1, 0x14, 1]);
  assert.deepEqual([...table.subarray(84, 92)], [1, 0, 0x49, 0x53, 0x41, 0x20, 0x20, 0x20]);
  assert.deepEqual([...table.subarray(92, 100)], [2, 3, 0x14, 1, 0, 0, 0xc0, 0xfe]);
  assert.deepEqual([...table.subarray(100, 108)], [3, 0, 0, 0, 0, 0, 3, 0]);
  assert.deepEqual([...table.subarray(220, 228)], [3, 0, 0, 0, 0, 15, 3, 15]);
  assert.deepEqual([...table.subarray(228, 236)], [4, 3, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...table.subarray(236, 244)], [4, 1, 0, 0, 0, 0, 0xff, 1]);
});

test('the default command line is the one libkrun passes', () => {
  assert.equal(
    DEFAULT_COMMAND_LINE,
    'reboot=k panic=-1 panic_print=0 nomodule console=hvc0 rootfstype=virtiofs rw quiet no-kvmapf init=/init.krun',
  );
});

test('the command line joins parts with one space and drops empty ones', () => {
  assert.equal(buildCommandLine(['a=1', '', 'b c', '-- "x"']), 'a=1 b c -- "x"');
});

test('a command line with an unprintable byte is refused, not changed', () => {
  for (const part of ['a\nb', 'caf\u00e9', '\u{1f600}', 'a\0']) {
    assert.throws(() => buildCommandLine([part]), { code: 'ERR_COMMAND_LINE' });
  }
});

test('a command line one byte longer than the kernel keeps is refused, not cut', () => {
  assert.equal(buildCommandLine(['x'.repeat(2047)]).length, 2047);
  assert.throws(() => buildCommandLine(['x'.repeat(2048)]), { code: 'ERR_COMMAND_LINE' });
  assert.throws(() => buildCommandLine(['x'.repeat(0x10000)], 0x20000), { code: 'ERR_COMMAND_LINE' });
});

test('a word with spaces is quoted, one with a quote or a newline cannot be', () => {
  assert.equal(quoteWord('A=b c'), '"A=b c"');
  assert.equal(isQuotable('back\\slash'), true);
  assert.throws(() => quoteWord('say "hi"'), { code: 'ERR_COMMAND_LINE' });
  assert.throws(() => quoteWord('two\nlines'), { code: 'ERR_COMMAND_LINE' });
});

test('the kernel console replaces the first console= and nothing else', () => {
  assert.equal(replaceConsole('a console=hvc0 b', 'ttyS0'), 'a console=ttyS0 b');
  assert.equal(replaceConsole('noconsole=1 console=hvc0', 'ttyS0'), 'noconsole=1 console=ttyS0');
  assert.equal(replaceConsole('a', '$&'), 'a console=$&');
});

test('the command line lies at 0x20000 and ends with NUL', () => {
  const memory = ram();
  memory.writeU32(0x20000, 0xffffffff);
  writeCommandLine(memory, 'ab');
  assert.deepEqual([...memory.bytes(0x20000, 4)], [0x61, 0x62, 0, 0xff]);
});

test('boot tuning tells the kernel the TSC frequency and loops per jiffy at 250 Hz', () => {
  const words = bootTuning({ tscKHz: 1_000_000 });
  assert.ok(words.includes('tsc_early_khz=1000000'));
  assert.ok(words.includes('lpj=4000000'));
});
