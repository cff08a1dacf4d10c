import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionFailure } from '../base/assert.ts';
import { deviceHarness, type HarnessOptions } from '../testing/device-harness.ts';
import { EchoProbe, echoDevice } from '../testing/echo-device.ts';
import { type RawDescriptor, readable, writable } from '../testing/fake-driver.ts';
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_VERSION_1 } from './protocol.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const NEEDS_RESET = 64;
const PLAIN = VIRTIO_F_VERSION_1;

function echoRig(options: HarnessOptions = {}) {
  const probe = new EchoProbe();
  return { probe, ...deviceHarness(echoDevice, probe, { features: PLAIN, ...options }) };
}

/** The reason in the one log line, after a hostile chain on queue 0. */
function faultOf(descriptors: readonly RawDescriptor[], features = PLAIN): string | undefined {
  const lines: string[] = [];
  const rig = echoRig({ features, log: (_level, line) => lines.push(line) });
  rig.driver.addRaw(0, descriptors);
  rig.notify(0);
  assert.equal((rig.driver.read('Status') & NEEDS_RESET) !== 0, lines.length === 1);
  assert.equal(rig.driver.read('InterruptStatus'), lines.length === 1 ? 2 : 1);
  return lines[0]?.split(': ').at(-1);
}

test('a chain comes back with the number of bytes written', () => {
  const rig = echoRig();
  const head = rig.driver.add(0, [readable(Uint8Array.of(1, 2, 3)), writable(2), writable(8)]);
  rig.notify(0);
  assert.deepEqual(rig.used(0), [{ id: head, len: 3 }]);
  assert.deepEqual([...rig.driver.written(0, head).subarray(0, 3)], [1, 2, 3]);
});

test('a queue goes on when its 16-bit indexes wrap', () => {
  const rig = echoRig();
  for (let turn = 0; turn < 65536 + 10; turn++) {
    rig.driver.add(0, [readable(1), writable(1)]);
    rig.driver.notify(0);
    assert.equal(rig.used(0).length, 1);
  }
  assert.equal(rig.transport.faults, 0);
});

test('a drained queue interrupts once', () => {
  const rig = echoRig();
  for (let added = 0; added < 4; added++) rig.driver.add(0, [readable(1), writable(1)]);
  rig.notify(0);
  assert.equal(rig.used(0).length, 4);
  assert.equal(rig.irq.take(), 1);
});

test('VIRTQ_AVAIL_F_NO_INTERRUPT is honoured', () => {
  const rig = echoRig();
  rig.driver.setAvailFlags(0, 1);
  rig.driver.add(0, [writable(1)]);
  rig.notify(0);
  assert.equal(rig.irq.take(), 0);
  assert.equal(rig.driver.read('InterruptStatus'), 0);
});

test('with VIRTIO_F_EVENT_IDX the interrupt comes when the used index passes used_event', () => {
  const rig = echoRig({ features: PLAIN | VIRTIO_F_EVENT_IDX });
  const once = (): number => {
    rig.driver.add(0, [writable(1)]);
    rig.notify(0);
    rig.used(0);
    return rig.irq.take();
  };
  once(); // the first one is always sent
  rig.driver.setUsedEvent(0, 3);
  assert.deepEqual([once(), once(), once(), once()], [0, 0, 1, 0]);
});

test('with VIRTIO_F_EVENT_IDX avail_event says where the next notification is wanted', () => {
  const rig = echoRig({ features: PLAIN | VIRTIO_F_EVENT_IDX });
  rig.driver.add(0, [writable(1)]);
  rig.driver.add(0, [writable(1)]);
  rig.notify(0);
  assert.equal(rig.driver.availEvent(0), 2);
});

test('chains may be completed later and in any order', () => {
  const rig = echoRig();
  const first = rig.driver.add(1, [writable(4)]);
  const second = rig.driver.add(1, [writable(4)]);
  rig.notify(1);
  assert.deepEqual(rig.used(1), []);
  rig.probe.held[1]?.complete(0);
  rig.probe.held[0]?.complete(4);
  assert.deepEqual(rig.used(1), [
    { id: second, len: 0 },
    { id: first, len: 4 },
  ]);
  assert.equal(rig.irq.take(), 2);
});

test('completing a chain twice is our own mistake', () => {
  const rig = echoRig();
  rig.driver.add(1, [writable(4)]);
  rig.notify(1);
  rig.probe.held[0]?.complete(0);
  assert.throws(() => rig.probe.held[0]?.complete(0), AssertionFailure);
});

test('claiming to have written more than there was room for is our own mistake', () => {
  const rig = echoRig();
  rig.driver.add(1, [writable(4)]);
  rig.notify(1);
  assert.throws(() => rig.probe.held[0]?.complete(5), AssertionFailure);
});

test('a completion after a reset touches neither memory nor the interrupt', () => {
  const rig = echoRig();
  rig.driver.add(1, [writable(4)]);
  rig.notify(1);
  const [late] = rig.probe.held;
  rig.driver.start({ features: PLAIN });
  const before = rig.memory.bytes(0, rig.memory.buffer.byteLength).slice();
  late?.writable.write(Uint8Array.of(9, 9, 9, 9));
  late?.complete(4);
  assert.deepEqual(rig.memory.bytes(0, rig.memory.buffer.byteLength), before);
  assert.equal(rig.irq.take(), 0);
});

test('the malformed chains', async (t) => {
  const inMemory = { addr: 0x80000, len: 16 };
  const cases: [string, string, RawDescriptor[], bigint?][] = [
    ['a loop', 'chain-too-long', [{ ...inMemory, flags: NEXT, next: 0 }]],
    ['a next beyond the table', 'next-out-of-range', [{ ...inMemory, flags: NEXT, next: 8 }]],
    ['a buffer beyond memory', 'buffer-outside-memory', [{ addr: 0xffff8, len: 16, flags: 0, next: 0 }]],
    ['an address near 2**64', 'buffer-outside-memory', [{ addr: 2n ** 64n - 1n, len: 1, flags: 0, next: 0 }]],
    ['a length of 4 GiB - 1', 'buffer-outside-memory', [{ addr: 0, len: 0xffff_ffff, flags: 2, next: 0 }]],
    [
      'readable after writable',
      'readable-after-writable',
      [
        { ...inMemory, flags: NEXT | WRITE, next: 1 },
        { ...inMemory, flags: 0, next: 0 },
      ],
    ],
    ['indirect without the feature', 'indirect-not-negotiated', [{ ...inMemory, flags: INDIRECT, next: 0 }]],
    [
      'indirect with next',
      'indirect-with-next',
      [{ ...inMemory, flags: INDIRECT | NEXT, next: 0 }],
      VIRTIO_F_INDIRECT_DESC,
    ],
    [
      'an empty indirect table',
      'indirect-bad-length',
      [{ addr: 0x80000, len: 0, flags: INDIRECT, next: 0 }],
      VIRTIO_F_INDIRECT_DESC,
    ],
    [
      'an odd indirect table',
      'indirect-bad-length',
      [{ addr: 0x80000, len: 17, flags: INDIRECT, next: 0 }],
      VIRTIO_F_INDIRECT_DESC,
    ],
    [
      'an indirect table beyond memory',
      'buffer-outside-memory',
      [{ addr: 0xffff8, len: 16, flags: INDIRECT, next: 0 }],
      VIRTIO_F_INDIRECT_DESC,
    ],
  ];
  for (const [title, fault, descriptors, features] of cases) {
    await t.test(title, () => assert.equal(faultOf(descriptors, PLAIN | (features ?? 0n)), fault));
  }
});

test('an indirect chain is read, and one inside another is refused', () => {
  const rig = echoRig({ features: PLAIN | VIRTIO_F_INDIRECT_DESC });
  rig.memory.write(0x90000, Uint8Array.of(5, 6));
  rig.driver.writeDescriptorAt(0x80000, { addr: 0x90000, len: 2, flags: NEXT, next: 1 });
  rig.driver.writeDescriptorAt(0x80010, { addr: 0x91000, len: 2, flags: WRITE, next: 0 });
  rig.driver.addRaw(0, [{ addr: 0x80000, len: 32, flags: INDIRECT, next: 0 }]);
  rig.notify(0);
  assert.deepEqual([...rig.memory.bytes(0x91000, 2)], [5, 6]);
  rig.driver.writeDescriptorAt(0x80000, { addr: 0x80000, len: 32, flags: INDIRECT, next: 0 });
  rig.driver.publish(0, 0);
  rig.notify(0);
  assert.equal(rig.transport.faults, 1);
});

test('a head beyond the table breaks the queue', () => {
  const rig = echoRig();
  rig.driver.publish(0, 8);
  rig.notify(0);
  assert.equal(rig.driver.read('Status') & NEEDS_RESET, NEEDS_RESET);
});

test('an available index that ran too far breaks the queue', () => {
  const rig = echoRig();
  rig.driver.setAvailIdx(0, 9);
  rig.notify(0);
  assert.equal(rig.driver.read('Status') & NEEDS_RESET, NEEDS_RESET);
});

test('more chains in flight than descriptors break the queue', () => {
  const rig = echoRig();
  rig.driver.addRaw(1, [{ addr: 0, len: 1, flags: 0, next: 0 }]);
  for (let again = 0; again < 9; again++) {
    rig.notify(1);
    rig.driver.publish(1, 0);
  }
  assert.equal(rig.probe.held.length, 4);
  assert.equal(rig.driver.read('Status') & NEEDS_RESET, NEEDS_RESET);
});

test('one broken queue stops the other until a reset', () => {
  const rig = echoRig();
  rig.driver.publish(0, 8);
  rig.notify(0);
  rig.driver.add(1, [writable(1)]);
  rig.notify(1);
  assert.deepEqual(rig.probe.held, []);
  rig.driver.start({ features: PLAIN });
  rig.driver.add(0, [writable(1)]);
  rig.notify(0);
  assert.equal(rig.used(0).length, 1);
});

test('an available index that follows the used index cannot keep the device busy', () => {
  // As when the guest lays the two rings over each other: every completion looks like more work.
  const later: (() => void)[] = [];
  const rig = echoRig({ schedule: (task) => void later.push(task) });
  for (let at = 0; at < 8; at++) rig.driver.addRaw(0, [{ addr: 0x80000, len: 2, flags: WRITE, next: 0 }]);
  const { used } = rig.driver.rings(0);
  rig.memory.setWriteHook((gpa) => {
    if (gpa === used + 2) rig.driver.setAvailIdx(0, (rig.memory.readU16(used + 2) + 4) & 0xffff);
  });
  rig.notify(0);
  assert.equal(rig.used(0).length, 8);
  assert.equal(later.length, 1);
  later[0]?.();
  assert.equal(rig.used(0).length, 8);
});
