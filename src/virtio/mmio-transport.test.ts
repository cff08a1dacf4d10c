import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceHarness, type HarnessOptions } from '../testing/device-harness.ts';
import { EchoProbe, echoDevice } from '../testing/echo-device.ts';
import { ALL_FEATURES, readable, writable } from '../testing/fake-driver.ts';

function echoRig(options: HarnessOptions = {}) {
  const probe = new EchoProbe();
  return { probe, ...deviceHarness(echoDevice, probe, options) };
}

test('the window begins with magic, version, device and vendor', () => {
  const { transport } = echoRig({ start: false });
  assert.deepEqual(
    [0, 4, 8, 12].map((at) => transport.read(at, 4)),
    [0x7472_6976, 2, 42, 0],
  );
});

test('registers answer aligned 32-bit accesses only', () => {
  const { transport } = echoRig({ start: false });
  assert.deepEqual(
    [transport.read(0, 1), transport.read(0, 2), transport.read(2, 4), transport.read(0x18, 4)],
    [0, 0, 0, 0],
  );
  transport.write(0x70, 1, 1);
  assert.equal(transport.read(0x70, 4), 0);
});

test('features come in two halves, VERSION_1 among them, and nothing beyond', () => {
  const { driver } = echoRig({ start: false });
  const half = (select: number): number => {
    driver.write('DeviceFeaturesSel', select);
    return driver.read('DeviceFeatures');
  };
  assert.deepEqual([half(0), half(1), half(2), half(0xffff_ffff)], [0x3000_0001, 1, 0, 0]);
});

test('the device gets the features that both sides have', () => {
  const { probe } = echoRig({ features: ALL_FEATURES - 1n });
  assert.equal(probe.activation?.features, 0x1_3000_0000n);
});

test('FEATURES_OK stays clear for a driver that does not accept VERSION_1', () => {
  const { driver } = echoRig({ start: false });
  driver.negotiate(1n);
  assert.equal(driver.read('Status'), 3);
});

test('features cannot change after FEATURES_OK', () => {
  const { driver, probe } = echoRig({ start: false });
  driver.negotiate(ALL_FEATURES);
  driver.write('DriverFeaturesSel', 0);
  driver.write('DriverFeatures', 0);
  driver.write('Status', 15);
  assert.equal(probe.activation?.features, 0x1_3000_0001n);
});

test('a device is activated once', () => {
  const { driver, probe } = echoRig();
  driver.write('Status', 15);
  assert.equal(probe.activations, 1);
});

test('a step of initialisation that is left out changes nothing', () => {
  const { driver, probe } = echoRig({ start: false });
  driver.write('Status', 1);
  driver.write('Status', 15);
  assert.deepEqual([driver.read('Status'), probe.activations], [1, 0]);
});

test('a queue beyond the last has no size', () => {
  const { driver } = echoRig({ start: false });
  driver.write('QueueSel', 2);
  assert.deepEqual([driver.read('QueueNumMax'), driver.read('QueueReady')], [0, 0]);
});

test('queues can be laid out only between FEATURES_OK and DRIVER_OK', () => {
  const { driver } = echoRig({ start: false });
  driver.write('QueueNum', 4);
  driver.write('QueueReady', 1);
  assert.deepEqual([driver.read('QueueReady'), driver.read('Status')], [0, 0]);
});

test('bad ring placements', async (t) => {
  const good = { num: 8, desc: 0x1000, driver: 0x2000, device: 0x3000, high: 0 };
  const cases: [string, Partial<typeof good>][] = [
    ['size 0', { num: 0 }],
    ['size not a power of two', { num: 6 }],
    ['size above the maximum', { num: 16 }],
    ['descriptor table misaligned', { desc: 0x1008 }],
    ['available ring misaligned', { driver: 0x2001 }],
    ['used ring misaligned', { device: 0x3002 }],
    ['descriptor table across the end of memory', { desc: 0xffff0 }],
    ['available ring across the end of memory', { driver: 0xffffe }],
    ['used ring across the end of memory', { device: 0xffffc }],
    ['above 4 GiB', { high: 1 }],
    ['at the end of the address space', { high: 0xffff_ffff }],
  ];
  const layOut = (placement: typeof good): number[] => {
    const { driver } = echoRig({ start: false });
    driver.negotiate(ALL_FEATURES);
    driver.write('QueueSel', 0);
    driver.write('QueueNum', placement.num);
    driver.write('QueueDescLow', placement.desc);
    driver.write('QueueDescHigh', placement.high);
    driver.write('QueueDriverLow', placement.driver);
    driver.write('QueueDeviceLow', placement.device);
    driver.write('QueueReady', 1);
    return [driver.read('QueueReady'), driver.read('Status')];
  };
  assert.deepEqual(layOut(good), [1, 11]);
  for (const [title, bend] of cases) await t.test(title, () => assert.deepEqual(layOut({ ...good, ...bend }), [0, 75]));
});

test('a device that needs a reset is not activated', () => {
  const { driver, probe } = echoRig({ start: false });
  driver.negotiate(ALL_FEATURES);
  driver.write('QueueSel', 0);
  driver.write('QueueReady', 1);
  driver.write('Status', 75 | 4);
  assert.deepEqual([driver.read('Status'), probe.activations], [75, 0]);
});

test('a notification reaches the device only while it is active and for queues it has', () => {
  const { driver, probe, transport } = echoRig();
  driver.notify(0);
  driver.notify(2);
  driver.notify(0xffff_ffff);
  transport.reset();
  driver.notify(0);
  assert.deepEqual(probe.notified, [0]);
});

test('an interrupt stays pending until it is acknowledged', () => {
  const rig = echoRig();
  rig.driver.add(0, [writable(1)]);
  rig.notify(0);
  assert.equal(rig.driver.read('InterruptStatus'), 1);
  rig.driver.write('InterruptACK', 1);
  assert.equal(rig.driver.read('InterruptStatus'), 0);
});

test('changed configuration counts up and interrupts', () => {
  const { driver, probe, irq } = echoRig();
  probe.activation?.configChanged();
  assert.deepEqual([driver.read('ConfigGeneration'), driver.read('InterruptStatus'), irq.pulses], [1, 2, 1]);
});

test('configuration is read at any size and ends with zeros', () => {
  const { driver } = echoRig();
  assert.deepEqual(
    [driver.config(0, 4), driver.config(1, 2), driver.config(4, 1), driver.config(3, 4)],
    [0x0403_0201, 0x0302, 5, 0x0504],
  );
});

test('configuration writes reach the device inside its space and after DRIVER', () => {
  const { transport, probe } = echoRig();
  transport.write(0x104, 1, 9);
  transport.write(0x104, 2, 9);
  transport.reset();
  transport.write(0x100, 1, 7);
  assert.deepEqual([...probe.written], [4, 1, 9]);
});

test('a reset closes the device and clears every register', () => {
  const { driver, probe } = echoRig();
  driver.write('Status', 0);
  driver.write('QueueSel', 0);
  assert.deepEqual([probe.closed, driver.read('Status'), driver.read('QueueReady')], [1, 0, 0]);
});

test('a shared memory region is found by its number, and a missing one is all ones', () => {
  const { driver } = echoRig({ start: false, sharedMemory: [{ id: 1, gpa: 0x12_3456_7000, length: 0x1_8000_0000 }] });
  const registers = ['SHMLenLow', 'SHMLenHigh', 'SHMBaseLow', 'SHMBaseHigh'] as const;
  assert.deepEqual(
    registers.map((name) => driver.read(name)),
    [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff],
  );
  driver.write('SHMSel', 1);
  assert.deepEqual(
    registers.map((name) => driver.read(name)),
    [0x8000_0000, 1, 0x3456_7000, 0x12],
  );
});

test('a restored device goes on, and unfinished chains are delivered again', () => {
  const rig = echoRig();
  rig.driver.add(0, [readable(1), writable(1)]);
  rig.notify(0);
  rig.used(0);
  const held = rig.driver.add(1, [writable(4)]);
  rig.notify(1);
  const state = structuredClone(rig.transport.save());

  const next = echoRig({ memory: rig.memory, start: false });
  next.transport.restore(state);
  next.driver.adopt(rig.driver);
  assert.deepEqual(next.probe.activation?.saved, { notified: [0, 1] });
  next.notify(1);
  next.probe.held[0]?.complete(2);
  next.driver.add(0, [readable(1), writable(1)]);
  next.notify(0);
  assert.deepEqual([next.used(1), next.used(0).length], [[{ id: held, len: 2 }], 1]);
  assert.equal(next.driver.read('InterruptStatus'), 1);
});

test('a state of another version is refused', () => {
  const { transport } = echoRig();
  const state = { ...transport.save(), version: 2 as unknown as 1 };
  assert.throws(() => transport.restore(state), {
    name: 'RangeError',
    message: /^Cannot restore echo: state is version 2/,
  });
});
