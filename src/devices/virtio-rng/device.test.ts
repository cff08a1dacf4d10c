import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceHarness } from '../../testing/device-harness.ts';
import { readable, writable } from '../../testing/fake-driver.ts';
import { virtioRng } from './index.ts';

const pattern = { fill: (into: Uint8Array) => void into.fill(0xa5) };

test('virtioRng fills every device-writable byte of a chain', () => {
  const rng = deviceHarness(virtioRng, pattern);
  const head = rng.driver.add(0, [writable(3), writable(5)]);
  rng.notify(0);
  assert.deepEqual(rng.used(0), [{ id: head, len: 8 }]);
  assert.deepEqual(rng.driver.written(0, head), new Uint8Array(8).fill(0xa5));
});

test('virtioRng writes nothing into a buffer the driver marked device-readable', () => {
  // A driver MUST NOT do this (VIRTIO-1.2 §5.4.6.1); a hostile guest will.
  const rng = deviceHarness(virtioRng, pattern);
  rng.driver.add(0, [readable(64)]);
  rng.notify(0);
  assert.deepEqual(rng.used(0), [{ id: 0, len: 0 }]);
});

test('virtioRng stops at 64 KiB per chain', () => {
  const rng = deviceHarness(virtioRng, pattern);
  rng.driver.addRaw(0, [
    { addr: 0x10000, len: 0xc000, flags: 3, next: 1 },
    { addr: 0x10000, len: 0xc000, flags: 2, next: 0 },
  ]);
  rng.notify(0);
  assert.deepEqual(rng.used(0), [{ id: 0, len: 0x10000 }]);
});

test('virtioRng has no configuration space', () => {
  const rng = deviceHarness(virtioRng, pattern);
  assert.deepEqual([rng.driver.config(0, 4), rng.driver.config(0xefc, 4)], [0, 0]);
});
