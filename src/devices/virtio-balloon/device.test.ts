import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceHarness } from '../../testing/device-harness.ts';
import { readable } from '../../testing/fake-driver.ts';
import { VIRTIO_F_VERSION_1 } from '../../virtio/protocol.ts';
import { virtioBalloon } from './index.ts';
import { queueIndexes, VIRTIO_BALLOON_F_PAGE_REPORTING, VIRTIO_BALLOON_F_STATS_VQ } from './protocol.ts';

const REPORTING_VQ = 4;
const VIRTQ_DESC_F_WRITE = 2;
const VIRTQ_DESC_F_NEXT = 1;

function recorder() {
  const ranges: [number, number][] = [];
  return { ranges, discard: (gpa: number, length: number) => void ranges.push([gpa, length]) };
}

function pfns(...numbers: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(numbers).buffer);
}

test('virtioBalloon asks for no pages', () => {
  const rig = deviceHarness(virtioBalloon, recorder());
  assert.deepEqual(
    [0, 4, 8, 12].map((at) => rig.driver.config(at, 4)),
    [0, 0, 0, 0],
  );
});

test('virtioBalloon keeps what the driver reports in actual, and nothing it writes elsewhere', () => {
  const rig = deviceHarness(virtioBalloon, recorder());
  rig.transport.write(0x104, 4, 7);
  rig.transport.write(0x100, 4, 9);
  assert.deepEqual([rig.driver.config(4, 4), rig.driver.config(0, 4)], [7, 0]);
});

test('virtioBalloon discards reported ranges', () => {
  const host = recorder();
  const rig = deviceHarness(virtioBalloon, host);
  rig.driver.addRaw(REPORTING_VQ, [
    { addr: 0x80000, len: 0x4000, flags: VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT, next: 1 },
    { addr: 0xa0000, len: 0x1000, flags: VIRTQ_DESC_F_WRITE, next: 0 },
  ]);
  rig.notify(REPORTING_VQ);
  assert.deepEqual(host.ranges, [
    [0x80000, 0x4000],
    [0xa0000, 0x1000],
  ]);
  assert.deepEqual(rig.used(REPORTING_VQ), [{ id: 0, len: 0 }]);
});

test('virtioBalloon discards whole pages only', () => {
  const host = recorder();
  const rig = deviceHarness(virtioBalloon, host);
  rig.driver.addRaw(REPORTING_VQ, [{ addr: 0x80010, len: 0x2000, flags: VIRTQ_DESC_F_WRITE, next: 0 }]);
  rig.notify(REPORTING_VQ);
  assert.deepEqual(host.ranges, [[0x81000, 0x1000]]);
});

test('virtioBalloon joins neighbouring inflated pages and ignores those outside memory', () => {
  const host = recorder();
  const rig = deviceHarness(virtioBalloon, host);
  rig.driver.add(0, [readable(pfns(0x90, 0x91, 0x92, 0xffff_ffff, 0xa0))]);
  rig.notify(0);
  assert.deepEqual(host.ranges, [
    [0x90000, 0x3000],
    [0xa0000, 0x1000],
  ]);
});

test('virtioBalloon discards no more in one turn than the guest has memory', () => {
  const host = recorder();
  const rig = deviceHarness(virtioBalloon, host);
  const whole = { addr: 0, len: 0x100000, flags: VIRTQ_DESC_F_WRITE };
  rig.driver.addRaw(REPORTING_VQ, [
    { ...whole, flags: 3, next: 1 },
    { ...whole, next: 0 },
  ]);
  rig.notify(REPORTING_VQ);
  assert.deepEqual(host.ranges, [[0, 0x100000]]);
});

test('virtioBalloon keeps the statistics buffer', () => {
  const rig = deviceHarness(virtioBalloon, recorder());
  rig.driver.add(2, [readable(10)]);
  rig.notify(2);
  assert.deepEqual(rig.used(2), []);
});

test('the engine hears of discarded pages', () => {
  // It may hold code translated from them.
  const rig = deviceHarness(virtioBalloon, recorder());
  const heard: number[] = [];
  rig.memory.setWriteHook((gpa, length) => length === 0x1000 && heard.push(gpa));
  rig.driver.addRaw(REPORTING_VQ, [{ addr: 0x80000, len: 0x1000, flags: VIRTQ_DESC_F_WRITE, next: 0 }]);
  rig.notify(REPORTING_VQ);
  assert.deepEqual(heard, [0x80000]);
});

test('a driver without all features counts its queues as Linux does or as the spec does', () => {
  const features = VIRTIO_BALLOON_F_STATS_VQ | VIRTIO_BALLOON_F_PAGE_REPORTING | VIRTIO_F_VERSION_1;
  assert.equal(queueIndexes(features, (index) => index <= 3).reporting_vq, 3);
  assert.equal(queueIndexes(features, (index) => index !== 3).reporting_vq, 4);
});

test('a restored balloon remembers its configuration', () => {
  const rig = deviceHarness(virtioBalloon, recorder());
  rig.transport.write(0x104, 4, 7);
  const next = deviceHarness(virtioBalloon, recorder(), { memory: rig.memory, start: false });
  next.transport.restore(structuredClone(rig.transport.save()));
  assert.equal(next.driver.config(4, 4), 7);
});
