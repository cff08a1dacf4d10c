import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CpuidOptions, guestCpuid, vendorOf } from './cpuid.ts';
import { type CpuidEntry, readCpuid, writeCpuid } from './cpuid-table.ts';

const ALL = 0xffff_ffff;
const ONE: CpuidOptions = { index: 0, vcpus: 1, nested: false, tscDeadline: true };

function leaf(number: number, values: Partial<CpuidEntry> = {}): CpuidEntry {
  return { function: number, index: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, ...values };
}

const INTEL = leaf(0, { ebx: 0x756e_6547, edx: 0x4965_6e69, ecx: 0x6c65_746e });
const AMD = leaf(0, { ebx: 0x6874_7541, edx: 0x6974_6e65, ecx: 0x444d_4163 });

function find(entries: readonly CpuidEntry[], number: number, index = 0): CpuidEntry {
  const found = entries.find((entry) => entry.function === number && entry.index === index);
  assert.ok(found, `leaf ${number.toString(16)}.${index}`);
  return found;
}

test('the maker is read from leaf 0', () => {
  assert.deepEqual(
    [vendorOf([INTEL]), vendorOf([AMD]), vendorOf([leaf(0)]), vendorOf([])],
    ['intel', 'amd', 'other', 'other'],
  );
});

test('a guest knows that it is one, and which of its processors runs', () => {
  const { ebx, ecx, edx } = find(guestCpuid([AMD, leaf(1)], { ...ONE, index: 2, vcpus: 3 }), 1);
  assert.deepEqual([ebx >>> 24, (ebx >>> 16) & 0xff, (ebx >>> 8) & 0xff], [2, 4, 8]);
  assert.deepEqual([ecx >>> 31, (ecx >>> 24) & 1, (edx >>> 28) & 1], [1, 1, 1]);
});

test('a single processor has no threads, and TSC-deadline follows the local APIC', () => {
  const { ecx, edx } = find(guestCpuid([INTEL, leaf(1, { ecx: ALL, edx: ALL })], { ...ONE, tscDeadline: false }), 1);
  assert.deepEqual([(edx >>> 28) & 1, (ecx >>> 24) & 1], [0, 0]);
});

test('virtualisation inside the guest is there only when it was asked for', () => {
  const full = [leaf(1, { ecx: ALL }), leaf(0x8000_0001, { ecx: ALL })];
  const vmx = (nested: boolean): number => (find(guestCpuid([INTEL, ...full], { ...ONE, nested }), 1).ecx >>> 5) & 1;
  const svm = (nested: boolean): number =>
    (find(guestCpuid([AMD, ...full], { ...ONE, nested }), 0x8000_0001).ecx >>> 2) & 1;
  assert.deepEqual([vmx(false), vmx(true), svm(false), svm(true)], [0, 1, 0, 1]);
});

test('Intel: topology of one package with a core per processor, no performance counters, a plain name', () => {
  const host = [
    leaf(10, { eax: 7, edx: 9 }),
    leaf(0xb, { ebx: 64 }),
    leaf(0x1f, { ebx: 64 }),
    leaf(4, { eax: 0xffff_c143 }),
  ];
  const guest = guestCpuid([INTEL, leaf(1), ...host], { ...ONE, index: 1, vcpus: 4 });
  assert.deepEqual(find(guest, 10), leaf(10));
  assert.equal(
    guest.some((entry) => entry.function === 0x1f),
    false,
  );
  assert.deepEqual([find(guest, 0xb, 0).ebx, find(guest, 0xb, 0).ecx, find(guest, 0xb, 0).edx], [1, 0x100, 1]);
  assert.deepEqual([find(guest, 0xb, 1).eax, find(guest, 0xb, 1).ebx, find(guest, 0xb, 1).ecx], [6, 4, 0x201]);
  assert.deepEqual([(find(guest, 4).eax >>> 14) & 0xfff, find(guest, 4).eax >>> 26], [0, 3]);
  assert.match(name(guest), /^Intel\(R\) Xeon\(R\) Processor/);
});

test('AMD: extended topology, no ARCH_CAPABILITIES, a plain name', () => {
  const host = [leaf(7, { edx: ALL }), leaf(0x8000_0000, { eax: 0x8000_0028 }), leaf(0x8000_0001)];
  const more = [leaf(0x8000_0008), leaf(0x8000_001d, { eax: 0x163 }), leaf(0x8000_001e)];
  const guest = guestCpuid([AMD, ...host, ...more], { ...ONE, index: 1, vcpus: 2 });
  assert.equal((find(guest, 7).edx >>> 29) & 1, 0);
  assert.equal(find(guest, 0x8000_0000).eax, 0x8000_001f);
  assert.equal((find(guest, 0x8000_0001).ecx >>> 22) & 1, 1);
  assert.equal(find(guest, 0x8000_0008).ecx, 0x6001);
  assert.equal((find(guest, 0x8000_001d).eax >>> 14) & 0xfff, 1);
  assert.deepEqual([find(guest, 0x8000_001e).eax, find(guest, 0x8000_001e).ebx], [1, 1]);
  assert.equal(name(guest), 'AMD EPYC');
});

test('leaves of other makers stay as they are, but for leaf 1', () => {
  const other = [leaf(0), leaf(0xb, { ebx: 64 }), leaf(0x8000_0002, { eax: 5 })];
  assert.deepEqual(guestCpuid(other, ONE), other);
});

test('a table survives being written and read', () => {
  const entries = [INTEL, leaf(0xb, { index: 1, flags: 1, eax: ALL, edx: 7 })];
  assert.deepEqual(readCpuid(writeCpuid(entries)), entries);
});

function name(entries: readonly CpuidEntry[]): string {
  const words = [2, 3, 4].flatMap((n) => {
    const { eax, ebx, ecx, edx } = find(entries, 0x8000_0000 + n);
    return [eax, ebx, ecx, edx];
  });
  return Buffer.from(Uint32Array.from(words).buffer).toString('latin1').replace(/\0.*$/s, '');
}
