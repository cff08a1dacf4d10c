import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuid, cpuModel } from './cpuid.ts';

const STATE = { osxsave: false, xsaveBytes: 576 };
const bit = (word: number, n: number): number => (word >>> n) & 1;

test('the vendor string runs through EBX, EDX, ECX', () => {
  const [, ebx, ecx, edx] = cpuid(cpuModel(), STATE, 0, 0);
  const text = [ebx, edx, ecx]
    .map((w) => String.fromCharCode(w & 0xff, (w >> 8) & 0xff, (w >> 16) & 0xff, w >>> 24))
    .join('');
  assert.equal(text, 'GenuineIntel');
});

test('family 6 model 0x6a stepping 6 has its signature', () => {
  assert.equal(cpuid(cpuModel(), STATE, 1, 0)[0], 0x606a6);
});

test('AVX, MONITOR and VMX are not claimed', () => {
  const ecx = cpuid(cpuModel(), STATE, 1, 0)[2];
  assert.deepEqual([bit(ecx, 28), bit(ecx, 3), bit(ecx, 5)], [0, 0, 0]);
});

test('x86-64-v2 is claimed', () => {
  const ecx = cpuid(cpuModel(), STATE, 1, 0)[2];
  const lahf = cpuid(cpuModel(), STATE, 0x8000_0001, 0)[2];
  assert.deepEqual(
    [0, 9, 13, 19, 20, 23].map((n) => bit(ecx, n)),
    [1, 1, 1, 1, 1, 1],
  );
  assert.equal(bit(lahf, 0), 1);
});

test('each feature can be switched off', () => {
  const model = cpuModel({ features: { smap: false, rdtscp: false } });
  assert.equal(bit(cpuid(model, STATE, 7, 0)[1], 20), 0);
  assert.equal(bit(cpuid(model, STATE, 0x8000_0001, 0)[3], 27), 0);
});

test('leaf 15h multiplies the crystal to the TSC rate', () => {
  const [denominator, numerator, crystal] = cpuid(cpuModel({ tscHz: 2_600_000_000 }), STATE, 0x15, 0);
  assert.equal((crystal * numerator) / denominator, 2_600_000_000);
});

test('the hypervisor leaf says KVM with its clock, and goes with the feature', () => {
  const [max, ebx, ecx, edx] = cpuid(cpuModel(), STATE, 0x4000_0000, 0);
  assert.deepEqual([max, ebx, ecx, edx], [0x4000_0001, 0x4b4d564b, 0x564b4d56, 0x4d]);
  assert.equal(cpuid(cpuModel(), STATE, 0x4000_0001, 0)[0], (1 << 0) | (1 << 1) | (1 << 3) | (1 << 24));
  assert.notEqual(cpuid(cpuModel({ features: { hypervisor: false } }), STATE, 0x4000_0000, 0)[1], 0x4b4d564b);
});

test('the brand string is in the three leaves and ends with zero', () => {
  const words = [2, 3, 4].flatMap((n) => [...cpuid(cpuModel({ brand: 'krun test' }), STATE, 0x8000_0000 + n, 0)]);
  const text = words.map((w) => String.fromCharCode(w & 0xff, (w >> 8) & 0xff, (w >> 16) & 0xff, w >>> 24)).join('');
  assert.equal(text, 'krun test'.padEnd(48, '\0'));
});

test('topology has one thread per core and all cores in a package', () => {
  const model = cpuModel({ vcpus: 3, apicId: 2 });
  assert.deepEqual(
    [cpuid(model, STATE, 0xb, 0), cpuid(model, STATE, 0xb, 1), cpuid(model, STATE, 0xb, 2)],
    [
      [0, 1, 0x100, 2],
      [2, 3, 0x201, 2],
      [0, 0, 2, 2],
    ],
  );
});

test('caches of leaf 4 multiply out to their sizes', () => {
  const sizes = [0, 1, 2, 3].map((i) => {
    const [, ebx, ecx] = cpuid(cpuModel(), STATE, 4, i);
    return ((ebx >>> 22) + 1) * ((ebx & 0xfff) + 1) * (ecx + 1);
  });
  assert.deepEqual(sizes, [32768, 32768, 1048576, 16777216]);
});
