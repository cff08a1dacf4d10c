import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceHarness } from '../../testing/device-harness.ts';
import { ALL_FEATURES, FakeDriver, readable, writable } from '../../testing/fake-driver.ts';
import { createMmioTransport } from '../../virtio/mmio-transport.ts';
import type { NetBackend, NetEvents } from './backend.ts';
import { virtioNet } from './index.ts';

const RX = 0;
const TX = 1;
const HEADER = 12;

/** A network in arrays, whose room and peer the test decides on. */
class ArrayNet implements NetBackend {
  readonly mac = Uint8Array.of(0x5a, 0x94, 0xef, 1, 2, 3);
  features = 0n;
  hasHeaders = false;
  isTrusted = false;
  isUp = true;
  /** Frames that may still be sent before there is no room. */
  room = Number.POSITIVE_INFINITY;
  readonly waiting: Uint8Array[] = [];
  readonly sent: string[] = [];
  flushes = 0;
  events: NetEvents | undefined;
  agreed: bigint | undefined;
  #reserved = new Uint8Array(0);

  attach(events: NetEvents | undefined, features: bigint) {
    this.events = events;
    this.agreed = features;
  }
  peek() {
    return this.waiting[0];
  }
  drop() {
    this.waiting.shift();
  }
  reserve(length: number) {
    this.#reserved = new Uint8Array(length);
    return this.sent.length < this.room ? this.#reserved : undefined;
  }
  commit() {
    this.sent.push(Buffer.from(this.#reserved).toString());
  }
  flush() {
    this.flushes += 1;
  }
  arrive(...frames: string[]) {
    this.waiting.push(...frames.map((frame) => Buffer.from(frame)));
    this.events?.onReadable();
  }
}

function net(change: (net: ArrayNet) => void = () => {}, features = ALL_FEATURES) {
  const backend = new ArrayNet();
  change(backend);
  return { backend, ...deviceHarness(virtioNet, backend, { features }) };
}

const frame = (text: string): Uint8Array => Buffer.concat([new Uint8Array(HEADER), Buffer.from(text)]);
const FIRST = 'the first frame';
const SECOND = 'the second frame';

function received({ driver }: ReturnType<typeof net>, head: number, length: number): [header: number[], frame: string] {
  const bytes = driver.written(RX, head).subarray(0, length);
  return [Array.from(bytes.subarray(0, HEADER)), Buffer.from(bytes.subarray(HEADER)).toString()];
}

test('configuration space tells the MAC address, and whether there is a peer', () => {
  const { backend, driver } = net();
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((at) => driver.config(at, 1)),
    [...backend.mac],
  );
  assert.equal(driver.config(6, 2), 1);
  backend.isUp = false;
  backend.events?.onLinkChange();
  assert.equal(driver.config(6, 2), 0);
  assert.equal(driver.read('InterruptStatus') & 2, 2);
});

test('only offloads of the backend are offered, besides MAC, STATUS and EVENT_IDX', () => {
  const { driver } = net((backend) => {
    backend.features = 0xffff_ffffn;
  });
  driver.write('DeviceFeaturesSel', 0);
  assert.equal(driver.read('DeviceFeatures') >>> 0, 0x5d83 | (1 << 5) | (1 << 16) | (1 << 29));
});

test('a frame leaves without its header, and several with one flush', () => {
  const { backend, driver, notify, used } = net();
  driver.add(TX, [readable(HEADER), readable(Buffer.from(FIRST))]);
  driver.add(TX, [readable(frame(SECOND))]);
  notify(TX);
  assert.deepEqual([backend.sent, backend.flushes], [[FIRST, SECOND], 1]);
  assert.deepEqual(
    used(TX).map(({ len }) => len),
    [0, 0],
  );
});

test('what has no room stays in the transmitq, in order, until there is some', () => {
  const { backend, driver, notify, used } = net((one) => {
    one.room = 1;
  });
  for (const text of [FIRST, SECOND, 'a third frame..']) driver.add(TX, [readable(frame(text))]);
  notify(TX);
  assert.deepEqual([backend.sent, used(TX).length], [[FIRST], 1]);
  backend.room = Number.POSITIVE_INFINITY;
  backend.events?.onWritable();
  assert.deepEqual([backend.sent, used(TX).length], [[FIRST, SECOND, 'a third frame..'], 2]);
});

test('chains that hold no frame, or more than any frame, are given back unsent', () => {
  const { backend, driver, notify, used } = net();
  driver.add(TX, [readable(3)]);
  driver.add(TX, [readable(HEADER + 13)]);
  driver.add(TX, [readable(HEADER + 65551)]);
  driver.add(TX, [writable(100)]);
  notify(TX);
  assert.deepEqual([backend.sent, used(TX).length], [[], 4]);
});

test('frames vanish while there is no peer, also those that waited for room', () => {
  const { backend, driver, notify, used } = net((one) => {
    one.room = 0;
  });
  driver.add(TX, [readable(frame(FIRST))]);
  notify(TX);
  assert.equal(used(TX).length, 0);
  backend.isUp = false;
  backend.events?.onLinkChange();
  assert.deepEqual([backend.sent, used(TX).length], [[], 1]);
});

test('a frame arrives behind a header that says it is one buffer', () => {
  const harness = net();
  const head = harness.driver.add(RX, [writable(20), writable(100)]);
  harness.backend.arrive(FIRST);
  const [element] = harness.used(RX);
  assert.deepEqual(element, { id: head, len: HEADER + FIRST.length });
  assert.deepEqual(received(harness, head, HEADER + FIRST.length), [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], FIRST]);
  assert.equal(harness.backend.waiting.length, 0);
});

test('checksums count as checked only for a trusted peer and a driver that agreed to it', () => {
  const trusted = (one: ArrayNet): void => {
    one.features = 2n;
    one.isTrusted = true;
  };
  for (const [change, features, flags] of [
    [trusted, ALL_FEATURES, 2],
    [trusted, ALL_FEATURES & ~2n, 0],
    [() => {}, ALL_FEATURES, 0],
  ] as const) {
    const harness = net(change, features);
    const head = harness.driver.add(RX, [writable(100)]);
    harness.backend.arrive(FIRST);
    assert.equal(received(harness, head, HEADER)[0][0], flags);
  }
});

test('without buffers frames wait in the backend, and come in order when there are some', () => {
  const harness = net();
  harness.backend.arrive(FIRST, SECOND);
  assert.equal(harness.backend.waiting.length, 2);
  const heads = [1, 2].map(() => harness.driver.add(RX, [writable(100)]));
  harness.notify(RX);
  assert.deepEqual(
    harness.used(RX).map(({ id, len }) => [id, received(harness, id, len)[1]]),
    [
      [heads[0], FIRST],
      [heads[1], SECOND],
    ],
  );
});

test('a frame that does not fit its buffer is lost, and the buffer serves the next one', () => {
  const harness = net();
  harness.driver.add(RX, [writable(HEADER + FIRST.length)]);
  harness.backend.arrive(SECOND, FIRST);
  const [element] = harness.used(RX);
  assert.equal(received(harness, element?.id ?? -1, element?.len ?? 0)[1], FIRST);
});

test('headers of a backend that has them go through, apart from the number of buffers', () => {
  const harness = net((one) => {
    one.hasHeaders = true;
  });
  const head = harness.driver.add(RX, [writable(100)]);
  const header = Uint8Array.of(1, 1, 54, 0, 100, 5, 34, 0, 16, 0, 0, 0);
  harness.backend.waiting.push(Buffer.concat([header, Buffer.from(FIRST)]));
  harness.backend.events?.onReadable();
  header[10] = 1;
  assert.deepEqual(received(harness, head, HEADER + FIRST.length), [[...header], FIRST]);
  harness.driver.add(TX, [readable(frame(SECOND))]);
  harness.notify(TX);
  assert.deepEqual(harness.backend.sent, ['\0'.repeat(HEADER) + SECOND]);
});

test('reset lets go of the backend, and the next driver gets the frames that waited', () => {
  const { backend, driver, used, notify } = net();
  backend.arrive(FIRST);
  driver.write('Status', 0);
  assert.equal(backend.events, undefined);
  driver.start();
  assert.notEqual(backend.events, undefined);
  driver.add(RX, [writable(100)]);
  notify(RX);
  assert.equal(used(RX).length, 1);
});

test('a saved device goes on elsewhere: what the driver had sent leaves, buffers it had posted are filled', async () => {
  const { backend, driver, notify, transport, memory, irq } = net((one) => {
    one.room = 0;
  });
  driver.add(TX, [readable(frame(FIRST))]);
  const head = driver.add(RX, [writable(100)]);
  notify(TX);
  notify(RX);
  const state = structuredClone(transport.save());
  transport.reset();
  const other = new ArrayNet();
  other.waiting.push(Buffer.from(SECOND));
  const restored = createMmioTransport({ device: virtioNet, backend: other, memory, irq });
  restored.restore(state);
  await Promise.resolve();
  const next = new FakeDriver(restored, memory);
  next.adopt(driver);
  assert.deepEqual([backend.sent, other.sent], [[], [FIRST]]);
  assert.deepEqual(next.used(RX), [{ id: head, len: HEADER + SECOND.length }]);
});
