import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestMemory } from '../memory/guest-memory.ts';
import { firmwareBytes, loadFirmware } from './firmware-image.ts';
import type { KernelImage } from './kernel-image.ts';
import { type LinuxBoot, loadLinux } from './load-linux.ts';
import { computeMemoryLayout, plainMemoryLayout } from './memory-layout.ts';
import { smbiosTable } from './smbios.ts';

const MIB = 1048576;
const RAM = 64 * MIB;
const KERNEL: KernelImage = {
  bytes: Uint8Array.of(0xf4),
  loadAddress: 0x1000000,
  entry: 0x1000000,
  memoryBytes: 2 * MIB,
  counted: true,
};

function memory(bytes = RAM): GuestMemory {
  return new GuestMemory(new ArrayBuffer(bytes), [{ gpa: 0, length: bytes, offset: 0 }]);
}

function boot(change: Partial<LinuxBoot> = {}): LinuxBoot {
  const kernel = change.kernel ?? KERNEL;
  return {
    kernel,
    layout: computeMemoryLayout(RAM, kernel),
    commandLine: 'quiet',
    initramfs: undefined,
    acpi: { vcpus: 1, virtio: [], serials: [] },
    oemStrings: [],
    ...change,
  };
}

test('memory that is counted is what the user asked for, the kernel and what it needs in it', () => {
  assert.equal(computeMemoryLayout(RAM, KERNEL).lowBytes, RAM);
  assert.throws(() => computeMemoryLayout(17 * MIB, KERNEL), { code: 'ERR_MEMORY_SIZE' });
  assert.equal(computeMemoryLayout(18 * MIB, KERNEL).lowBytes, 18 * MIB);
  assert.equal(plainMemoryLayout(RAM).lowBytes, RAM);
  assert.throws(() => plainMemoryLayout(4096), { code: 'ERR_MEMORY_SIZE' });
});

test('an initramfs is at the top of RAM, on a page, and the zero page says where', () => {
  const ram = memory();
  loadLinux(ram, boot({ initramfs: new Uint8Array(5000).fill(7) }));
  assert.deepEqual([ram.readU32(0x7218), ram.readU32(0x721c)], [RAM - 8192, 5000]);
  assert.deepEqual([ram.readU8(RAM - 8192), ram.readU8(RAM - 8192 + 4999), ram.readU8(RAM - 8192 + 5000)], [7, 7, 0]);
});

test('an initramfs that would touch the memory a kernel starts in is ERR_MEMORY_SIZE', () => {
  const room = RAM - 0x1000000 - 2 * MIB;
  loadLinux(memory(), boot({ initramfs: new Uint8Array(room) }));
  assert.throws(() => loadLinux(memory(), boot({ initramfs: new Uint8Array(room + 1) })), { code: 'ERR_MEMORY_SIZE' });
  assert.throws(() => loadLinux(memory(), boot({ initramfs: new Uint8Array(RAM * 2) })), { code: 'ERR_MEMORY_SIZE' });
});

test("a kernel's own setup header is kept, but for what a loader says", () => {
  const ram = memory();
  const setupHeader = new Uint8Array(0x77).fill(0x11);
  loadLinux(ram, boot({ kernel: { ...KERNEL, setupHeader } }));
  assert.deepEqual([ram.readU8(0x71f1), ram.readU16(0x7206), ram.readU32(0x7230)], [0x11, 0x1111, 0x11111111]);
  assert.deepEqual([ram.readU8(0x7210), ram.readU32(0x7228), ram.readU32(0x7238)], [0xff, 0x20000, 6]);
  assert.equal(ram.readU64(0x7070), 0xe0000n, 'acpi_rsdp_addr');
});

test('a PVH kernel is entered in flat protected mode with EBX at hvm_start_info', () => {
  const ram = memory();
  const entry = loadLinux(ram, boot({ kernel: { ...KERNEL, protocol: 'pvh' }, initramfs: Uint8Array.of(1, 2) }));
  assert.deepEqual([entry.rip, entry.rbx, entry.cr0, entry.cr4, entry.efer], [0x1000000, 0x6000, 0x11, 0, 0]);
  assert.deepEqual([entry.cs.attributes, entry.cs.limit, entry.data.selector], [0xc09b, 0xffffffff, 0x10]);
  assert.deepEqual([ram.readU32(0x6000), ram.readU32(0x6004), ram.readU32(0x600c)], [0x336ec578, 1, 1]);
  assert.deepEqual([ram.readU64(0x6010), ram.readU64(0x6018), ram.readU64(0x6020)], [0x6040n, 0x20000n, 0xe0000n]);
  assert.deepEqual([ram.readU64(0x6028), ram.readU32(0x6030)], [0x7000n, 2]);
  assert.deepEqual([ram.readU64(0x6040), ram.readU64(0x6048)], [BigInt(RAM - 4096), 2n]);
  assert.deepEqual([ram.readU64(0x7018), ram.readU64(0x7020), ram.readU32(0x7028)], [0x100000n, BigInt(RAM - MIB), 1]);
});

test('SMBIOS: entry point, then types 0, 1, 11 and 127 with their strings', () => {
  const ram = memory();
  loadLinux(ram, boot({ oemStrings: ['a', '', 'ü'] }));
  assert.equal(String.fromCharCode(...ram.bytes(0xf0000, 5)), '_SM3_');
  assert.equal(
    ram.bytes(0xf0000, 24).reduce((total, byte) => (total + byte) & 0xff, 0),
    0,
  );
  const table = ram.bytes(Number(ram.readU64(0xf0010)), ram.readU32(0xf000c));
  const types: number[] = [];
  const sets: string[][] = [];
  for (let at = 0; at < table.length; ) {
    types.push(table[at]!);
    let end = at + table[at + 1]!;
    const from = end;
    while (table[end] !== 0 || table[end + 1] !== 0) end++;
    sets.push(new TextDecoder().decode(table.subarray(from, end)).split('\0'));
    at = end + 2;
  }
  assert.deepEqual(types, [0, 1, 11, 127]);
  assert.deepEqual(sets[0], ['libkrun', '0', '01/05/2024']);
  assert.deepEqual(sets[2], ['a', ' ', 'ü']);
});

test('OEM strings without a number, or without room, are ERR_OEM_STRINGS', () => {
  smbiosTable(new Array<string>(255).fill('x'));
  assert.throws(() => smbiosTable(new Array<string>(256).fill('x')), { code: 'ERR_OEM_STRINGS' });
  assert.throws(() => loadLinux(memory(), boot({ oemStrings: ['x'.repeat(65536)] })), { code: 'ERR_OEM_STRINGS' });
});

test('firmware ends at 4 GiB, and its end at 1 MiB', () => {
  const firmware = Uint8Array.from({ length: 300 * 1024 }, (_, index) => (index >> 12) & 0xff);
  assert.equal(firmwareBytes({ firmware }), 300 * 1024);
  const length = 300 * 1024;
  const ram = new GuestMemory(new ArrayBuffer(2 * MIB), [
    { gpa: 0, length: MIB, offset: 0 },
    { gpa: 2 ** 32 - length, length, offset: MIB },
  ]);
  loadFirmware(ram, { firmware });
  assert.deepEqual([ram.readU8(2 ** 32 - length), ram.readU8(2 ** 32 - 1)], [0, 74]);
  assert.deepEqual([ram.readU8(0xfffff), ram.readU8(0xc0000), ram.readU8(0xbffff)], [74, 11, 0]);
  for (const bytes of [0, 15, 16 * MIB + 1]) {
    assert.throws(() => firmwareBytes({ firmware: new Uint8Array(bytes) }), { code: 'ERR_FIRMWARE_IMAGE' });
  }
});

test('a kernel that reboots through the reset vector of real mode finds code there', () => {
  const ram = memory();
  loadLinux(ram, boot());
  assert.deepEqual([...ram.bytes(0xffff0, 5)], [0xb0, 0xfe, 0xe6, 0x64, 0xf4]);
});
