import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestMemory } from '../../memory/guest-memory.ts';
import * as aml from './aml.ts';
import { type AcpiMachine, writeAcpiTables } from './tables.ts';

const BYTES = 0x10_0000;

function written(machine: AcpiMachine): GuestMemory {
  const memory = new GuestMemory(new ArrayBuffer(BYTES), [{ gpa: 0, length: BYTES, offset: 0 }]);
  writeAcpiTables(memory, machine);
  return memory;
}

function sum(memory: GuestMemory, at: number, length: number): number {
  return memory.bytes(at, length).reduce((total, byte) => (total + byte) & 0xff, 0);
}

const text = (memory: GuestMemory, at: number, length: number): string =>
  String.fromCharCode(...memory.bytes(at, length));

/** The tables that the root pointer leads to, by signature; each has a right checksum. */
function tables(memory: GuestMemory): Map<string, { at: number; bytes: Uint8Array }> {
  assert.equal(text(memory, 0xe0000, 8), 'RSD PTR ');
  assert.deepEqual([sum(memory, 0xe0000, 20), sum(memory, 0xe0000, 36), memory.readU8(0xe0000 + 15)], [0, 0, 2]);
  const found = new Map<string, { at: number; bytes: Uint8Array }>();
  const add = (at: number): void => {
    const length = memory.readU32(at + 4);
    assert.equal(sum(memory, at, length), 0, text(memory, at, 4));
    found.set(text(memory, at, 4), { at, bytes: memory.bytes(at, length) });
  };
  const xsdt = Number(memory.readU64(0xe0000 + 24));
  add(xsdt);
  for (let at = xsdt + 36; at < xsdt + memory.readU32(xsdt + 4); at += 8) add(Number(memory.readU64(at)));
  const fadt = found.get('FACP');
  assert(fadt !== undefined);
  add(Number(memory.readU64(fadt.at + 140)));
  assert.equal(memory.readU32(fadt.at + 40), Number(memory.readU64(fadt.at + 140)), 'both pointers to the DSDT');
  return found;
}

const MACHINE: AcpiMachine = {
  vcpus: 2,
  virtio: [
    { gpa: 0xd000_0000, bytes: 0x1000, irq: 5 },
    { gpa: 0xd000_1000, bytes: 0x1000, irq: 6 },
  ],
  serials: [{ port: 0x3f8, ports: 8, irq: 4 }],
};

test('the root pointer leads to tables with right checksums, below the SMBIOS tables', () => {
  const found = tables(written(MACHINE));
  assert.deepEqual([...found.keys()].sort(), ['APIC', 'DSDT', 'FACP', 'XSDT']);
  const many = {
    ...MACHINE,
    virtio: Array.from({ length: 11 }, (_, i) => ({ gpa: 0xd000_0000 + i * 4096, bytes: 4096, irq: 5 + i })),
    vcpus: 254,
  };
  for (const { at, bytes } of tables(written(many)).values()) assert(at + bytes.length <= 0xf0000);
});

test('the machine is hardware-reduced and resets through the keyboard controller', () => {
  const { bytes } = tables(written(MACHINE)).get('FACP')!;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  assert.equal(bytes.length, 276);
  assert.equal((view.getUint32(112, true) >> 20) & 1, 1, 'HW_REDUCED_ACPI');
  assert.equal((view.getUint32(112, true) >> 10) & 1, 1, 'RESET_REG_SUP');
  assert.deepEqual([view.getUint8(116), view.getBigUint64(120, true), view.getUint8(128)], [1, 0x64n, 0xfe]);
});

test('the MADT lists each CPU, the IO-APIC at interrupt 0, and NMI on LINT1', () => {
  const { bytes } = tables(written(MACHINE)).get('APIC')!;
  const entries: number[][] = [];
  for (let at = 44; at < bytes.length; at += bytes[at + 1]!) entries.push([...bytes.subarray(at, at + bytes[at + 1]!)]);
  assert.deepEqual(entries, [
    [0, 8, 0, 0, 1, 0, 0, 0],
    [0, 8, 1, 1, 1, 0, 0, 0],
    [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
    [4, 6, 0xff, 0, 0, 1],
  ]);
});

test('the DSDT has a device for each virtio window and connected serial port', () => {
  const { bytes } = tables(written(MACHINE)).get('DSDT')!;
  const body = String.fromCharCode(...bytes.subarray(36));
  assert.equal(body.slice(0, 1), '\x10', 'a scope');
  assert.equal(body.split('LNRO0005\0').length - 1, 2);
  assert.equal(body.split('PNP0501\0').length - 1, 1);
  // _CRS of the second window: memory at 0xd0001000, interrupt 6.
  assert(body.includes('\x86\x09\x00\x01\x00\x10\x00\xd0\x00\x10\x00\x00\x89\x06\x00\x03\x01\x06\x00\x00\x00\x79\x00'));
});

test('lengths of AML terms count their own bytes, in one, two or three', () => {
  const lead = (bytes: number): number[] => aml.device('ABCD', new Array<number>(bytes).fill(0x5a)).slice(0, 5);
  assert.deepEqual(lead(1), [0x5b, 0x82, 6, 0x41, 0x42]);
  assert.deepEqual(lead(58), [0x5b, 0x82, 63, 0x41, 0x42]);
  assert.deepEqual(lead(59), [0x5b, 0x82, 0x41, 0x04, 0x41]); // 65 = 0x041
  assert.deepEqual(lead(4089), [0x5b, 0x82, 0x4f, 0xff, 0x41]); // 4095
  assert.deepEqual(lead(4090), [0x5b, 0x82, 0x81, 0x00, 0x01]); // 4097 = 0x1001, three bytes
});

test('integers take the shortest form', () => {
  const encoded = [0, 1, 2, 0x100, 0x1_0000].map((value) => aml.integer(value));
  assert.deepEqual(encoded, [[0], [1], [0x0a, 2], [0x0b, 0, 1], [0x0c, 0, 0, 1, 0]]);
});
