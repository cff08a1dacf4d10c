import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceHarness } from '../../testing/device-harness.ts';
import { FakeDriver, readable, writable } from '../../testing/fake-driver.ts';
import { createMmioTransport } from '../../virtio/mmio-transport.ts';
import type { BlockBackend, Lease } from './backend.ts';
import { virtioBlk } from './index.ts';

const FLUSH = 1n << 9n;
const OK = 0;
const IOERR = 1;
const UNSUPP = 2;
const UNTOUCHED = 0xee;

/** A disk in an array that notes what was asked of it. */
class ArrayDisk implements BlockBackend {
  readonly bytes = new Uint8Array(64 * 512);
  readonly length = this.bytes.length;
  readOnly = false;
  volatileCache = true;
  readonly id = new TextEncoder().encode('serial-of-twenty-and-more');
  readonly discardAlignment = 4096;
  readonly calls: string[] = [];
  /** Requests that wait for `finish`. */
  waiting: (() => void)[] | undefined;

  read(offset: number, into: readonly Uint8Array[], lease: Lease) {
    return this.#do(`read ${offset}`, () => {
      let at = offset;
      if (!lease.alive) return;
      for (const view of into) {
        view.set(this.bytes.subarray(at, at + view.length));
        at += view.length;
      }
    });
  }

  write(offset: number, from: readonly Uint8Array[]) {
    const data = Buffer.concat(from);
    return this.#do(`write ${offset}`, () => this.bytes.set(data, offset));
  }

  flush() {
    return this.#do('flush', () => {});
  }

  discard(offset: number, length: number) {
    return this.#do(`discard ${offset} ${length}`, () => {});
  }

  writeZeroes(offset: number, length: number, unmap: boolean) {
    return this.#do(`zero ${offset} ${length} ${unmap}`, () => this.bytes.fill(0, offset, offset + length));
  }

  #do(call: string, work: () => unknown): undefined | Promise<void> {
    this.calls.push(call);
    if (this.waiting === undefined) return void work();
    return new Promise((resolve) => {
      this.waiting?.push(() => {
        work();
        resolve();
      });
    });
  }
}

function disk(change: (disk: ArrayDisk) => void = () => {}, features?: bigint) {
  const backend = new ArrayDisk();
  backend.bytes.forEach((_, index, bytes) => {
    bytes[index] = index >> 9;
  });
  change(backend);
  const harness = deviceHarness(virtioBlk, backend, features === undefined ? {} : { features });
  return { backend, ...harness };
}

type Disk = ReturnType<typeof disk>;

function header(type: number, sector: number | bigint): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt(sector), true);
  return bytes;
}

function range(sector: number | bigint, sectors: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(sector), true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return bytes;
}

/** One request to its end: what the driver finds in its buffers, and the length in the used ring. */
function request({ driver, notify, used }: Disk, sent: Uint8Array[], room: number) {
  const pieces = [...sent.map(readable), ...(room > 0 ? [writable(room)] : []), writable(1)];
  const head = driver.add(0, pieces);
  notify(0);
  const [element] = used(0);
  const written = driver.written(0, head);
  return { len: element?.len, status: written[written.length - 1], data: written.slice(0, -1) };
}

test('a read gives the sectors, then the status, and the length counts both', () => {
  const { len, status, data } = request(disk(), [header(0, 3)], 1024);
  assert.deepEqual([len, status, data[0], data[511], data[512], data[1023]], [1025, OK, 3, 3, 4, 4]);
});

test('a write reaches the disk from wherever its bytes are, also from behind the header in one buffer', () => {
  const blk = disk();
  const bytes = new Uint8Array(1024).fill(7);
  const whole = Buffer.concat([header(1, 62), bytes]);
  assert.deepEqual(request(blk, [whole.subarray(0, 9), whole.subarray(9, 100), whole.subarray(100)], 0), {
    len: 1,
    status: OK,
    data: new Uint8Array(0),
  });
  assert.equal(blk.backend.bytes[62 * 512], 7);
  assert.equal(blk.backend.bytes[64 * 512 - 1], 7);
  assert.equal(blk.backend.bytes[62 * 512 - 1], 61);
});

test('requests that reach beyond the end, or begin there, or are no whole sectors, are errors and change nothing', () => {
  const blk = disk();
  const sector = new Uint8Array(512);
  for (const [start, room] of [
    [64, 512],
    [63, 1024],
    [2n ** 64n - 1n, 512],
    [2n ** 55n, 512],
    [2n ** 53n + 1n, 512],
    [0, 511],
    [0, 65 * 512],
  ] as const) {
    assert.equal(request(blk, [header(0, start)], room).status, IOERR, `read of ${room} at ${start}`);
  }
  for (const start of [64, 2n ** 63n]) assert.equal(request(blk, [header(1, start), sector], 0).status, IOERR);
  assert.equal(request(blk, [header(1, 0), sector.subarray(1)], 0).status, IOERR);
  assert.deepEqual(blk.backend.calls, []);
});

test('the status byte is the last of the chain also when a read fails, and the data is left alone', () => {
  const blk = disk();
  blk.backend.read = () => {
    throw new Error('no');
  };
  const head = blk.driver.add(0, [readable(header(0, 0)), writable(512), writable(1)]);
  const before = blk.driver.written(0, head);
  blk.notify(0);
  const after = blk.driver.written(0, head);
  assert.deepEqual([after[512], after.subarray(0, 512)], [IOERR, before.subarray(0, 512)]);
  assert.equal(blk.used(0)[0]?.len, 513);
});

test('a request without a whole header is an error; one without room for a status is given back', () => {
  const blk = disk();
  assert.equal(request(blk, [header(0, 0).subarray(0, 15)], 512).status, IOERR);
  assert.equal(request(blk, [], 512).status, IOERR);
  blk.driver.add(0, [readable(header(1, 0)), readable(512)]);
  blk.notify(0);
  assert.deepEqual(
    blk.used(0).map(({ len }) => len),
    [0],
  );
  assert.deepEqual(blk.backend.calls, []);
});

test('types that do not exist are unsupported', () => {
  for (const type of [2, 3, 5, 7, 9, 14, 0x8000_0000])
    assert.equal(request(disk(), [header(type, 0)], 20).status, UNSUPP);
});

test('the serial has 20 bytes and wants room for all of them', () => {
  const { status, data } = request(disk(), [header(8, 0)], 20);
  assert.deepEqual([status, Buffer.from(data).toString()], [OK, 'serial-of-twenty-and']);
  assert.equal(request(disk(), [header(8, 0)], 19).status, IOERR);
});

test('a read-only disk says so and refuses every change', () => {
  const blk = disk((backend) => {
    backend.readOnly = true;
  });
  blk.driver.write('DeviceFeaturesSel', 0);
  assert.equal(blk.driver.read('DeviceFeatures') & (1 << 5), 1 << 5);
  assert.equal(request(blk, [header(1, 0), new Uint8Array(512)], 0).status, IOERR);
  assert.equal(request(blk, [header(11, 0), range(0, 1, 0)], 0).status, IOERR);
  assert.equal(request(blk, [header(13, 0), range(0, 1, 0)], 0).status, IOERR);
  assert.deepEqual([request(blk, [header(0, 1)], 512).status, blk.backend.calls], [OK, ['read 512']]);
});

test('discard and write zeroes name one range, inside the disk, with flags that exist', () => {
  const blk = disk();
  assert.equal(request(blk, [header(11, 0), range(1, 2, 0)], 0).status, OK);
  assert.equal(request(blk, [header(13, 0), range(3, 4, 0)], 0).status, OK);
  assert.equal(request(blk, [header(13, 0), range(5, 59, 1)], 0).status, OK);
  assert.deepEqual(blk.backend.calls, ['discard 512 1024', 'zero 1536 2048 false', 'zero 2560 30208 true']);
  assert.equal(request(blk, [header(11, 0), range(0, 1, 1)], 0).status, UNSUPP);
  assert.equal(request(blk, [header(13, 0), range(0, 1, 2)], 0).status, UNSUPP);
  for (const bad of [range(64, 1, 0), range(0, 65, 0), range(2n ** 62n, 1, 0), range(1, 0xffff_ffff, 0)]) {
    assert.equal(request(blk, [header(11, 0), bad], 0).status, IOERR);
    assert.equal(request(blk, [header(13, 0), bad], 0).status, IOERR);
  }
  const two = Buffer.concat([range(0, 1, 0), range(1, 1, 0)]);
  assert.equal(request(blk, [header(11, 0), two], 0).status, IOERR);
  assert.equal(request(blk, [header(11, 0), two.subarray(0, 8)], 0).status, IOERR);
  assert.equal(blk.backend.calls.length, 3);
});

test('a flush is the backend’s; without a volatile cache it is not offered and does nothing', () => {
  const blk = disk();
  assert.equal(request(blk, [header(4, 0)], 0).status, OK);
  assert.deepEqual(blk.backend.calls, ['flush']);
  const unsafe = disk((backend) => {
    backend.volatileCache = false;
  });
  unsafe.driver.write('DeviceFeaturesSel', 0);
  assert.equal(unsafe.driver.read('DeviceFeatures') & Number(FLUSH), 0);
  assert.equal(request(unsafe, [header(4, 0)], 0).status, OK);
  assert.deepEqual(unsafe.backend.calls, []);
});

test('for a driver that cannot flush every write is durable when it is completed', () => {
  const blk = disk(() => {}, (1n << 32n) | (1n << 14n));
  request(blk, [header(1, 0), new Uint8Array(512)], 0);
  request(blk, [header(13, 0), range(0, 1, 0)], 0);
  assert.deepEqual(blk.backend.calls, ['write 0', 'flush', 'zero 0 512 false', 'flush']);
});

test('requests are under way together and end in any order, each with its own data', async () => {
  const blk = disk((backend) => {
    backend.waiting = [];
  });
  const heads = [5, 9, 1].map((sector) => blk.driver.add(0, [readable(header(0, sector)), writable(512), writable(1)]));
  blk.notify(0);
  assert.deepEqual([blk.used(0), blk.backend.calls.length], [[], 3]);
  const [first, second, third] = blk.backend.waiting ?? [];
  third?.();
  first?.();
  await new Promise(setImmediate);
  assert.deepEqual(
    blk.used(0).map(({ id }) => id),
    [heads[2], heads[0]],
  );
  assert.equal(blk.driver.written(0, heads[0] ?? -1)[0], 5);
  second?.();
  await new Promise(setImmediate);
  assert.deepEqual(
    blk.used(0).map(({ id, len }) => [id, len]),
    [[heads[1], 513]],
  );
});

test('a backend that fails later is an error of that request alone', async () => {
  const blk = disk();
  blk.backend.flush = () => Promise.reject(new Error('disk is gone'));
  const head = blk.driver.add(0, [readable(header(4, 0)), writable(1)]);
  blk.notify(0);
  await new Promise(setImmediate);
  assert.deepEqual([blk.used(0).length, blk.driver.written(0, head)], [1, Uint8Array.of(IOERR)]);
  assert.equal(request(blk, [header(0, 0)], 512).status, OK);
});

test('after a reset what was under way touches nothing of the guest', async () => {
  const blk = disk((backend) => {
    backend.waiting = [];
  });
  const head = blk.driver.add(0, [readable(header(0, 5)), writable(512), writable(1)]);
  blk.notify(0);
  const buffers = blk.driver.written(0, head).fill(UNTOUCHED);
  blk.memory.bytes(0, 1 << 20).fill(UNTOUCHED);
  blk.driver.write('Status', 0);
  for (const finish of blk.backend.waiting ?? []) finish();
  await new Promise(setImmediate);
  assert.ok(buffers.every((byte) => byte === UNTOUCHED));
  assert.ok(blk.memory.bytes(0, 1 << 20).every((byte) => byte === UNTOUCHED));
});

test('requests that were under way when the machine was saved are done after it is restored', async () => {
  const blk = disk((backend) => {
    backend.waiting = [];
  });
  const head = blk.driver.add(0, [readable(header(0, 5)), writable(512), writable(1)]);
  blk.notify(0);
  const state = structuredClone(blk.transport.save());
  blk.transport.reset();
  blk.backend.waiting = undefined;
  const { memory, irq } = blk;
  const restored = createMmioTransport({ device: virtioBlk, backend: blk.backend, memory, irq });
  restored.restore(state);
  const driver = new FakeDriver(restored, memory);
  driver.adopt(blk.driver);
  await new Promise(setImmediate);
  assert.deepEqual(driver.used(0), [{ id: head, len: 513 }]);
  assert.equal(driver.written(0, head)[0], 5);
});

test('longer transfers than a mebibyte reach the backend in pieces, in order', async () => {
  const backend = new ArrayDisk();
  Object.defineProperty(backend, 'length', { value: 8 << 20 });
  const calls: string[] = [];
  backend.read = (offset, into) => {
    calls.push(`${offset >> 20}: ${into.reduce((sum, view) => sum + view.length, 0) >> 10} KiB`);
    return undefined;
  };
  const blk = deviceHarness(virtioBlk, backend, { memoryBytes: 8 << 20 });
  blk.driver.add(0, [readable(header(0, 2048)), writable(2.5 * 1024 * 1024), writable(1)]);
  blk.notify(0);
  await new Promise(setImmediate);
  assert.deepEqual(calls, ['1: 1024 KiB', '2: 1024 KiB', '3: 512 KiB']);
  assert.equal(blk.used(0)[0]?.len, 2.5 * 1024 * 1024 + 1);
});

test('configuration space is as the spec lays it out', () => {
  const { driver } = disk();
  assert.deepEqual([driver.config(0, 4), driver.config(4, 4)], [64, 0], 'capacity');
  assert.deepEqual([driver.config(8, 4), driver.config(12, 4)], [0, 254], 'size_max, seg_max');
  assert.deepEqual([driver.config(36, 4), driver.config(40, 4), driver.config(44, 4)], [0xffff_ffff, 1, 8], 'discard');
  assert.deepEqual([driver.config(48, 4), driver.config(52, 4), driver.config(56, 1)], [0xffff_ffff, 1, 1], 'zeroes');
  for (let at = 16; at < 36; at++) assert.equal(driver.config(at, 1), 0);
  assert.equal(driver.rings(0).size, 256);
});

test('a read into the rings themselves ends: one notification hands out at most a queue of chains', () => {
  const blk = disk();
  const { avail, size } = blk.driver.rings(0);
  // The answer rewrites the available ring so that it always looks full.
  blk.backend.bytes.fill(0);
  blk.backend.bytes[2] = 0xff;
  for (let round = 0; round < 4; round++) {
    blk.driver.addRaw(0, [
      { addr: blk.driver.allocate(16), len: 16, flags: 1, next: 1 },
      { addr: avail, len: 512, flags: 3, next: 2 },
      { addr: blk.driver.allocate(1), len: 1, flags: 2, next: 0 },
    ]);
    blk.notify(0);
  }
  assert.ok(blk.backend.calls.length <= 4 * (size + 1));
});
