import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../../testing/random.ts';
import {
  at,
  check,
  exercise,
  open,
  pattern,
  qemuContents,
  qemuImg,
  qemuIo,
  readAll,
  skipQemu,
  writeRaw,
} from '../disk-fixture.test.ts';

const options = { skip: skipQemu };
const SIZE = 6 * 1024 * 1024;

/** Name, and what `qemu-img create -o` is told. */
const PLAIN: readonly [name: string, settings: string][] = [
  ['v2', 'compat=0.10'],
  ['v3', 'compat=1.1'],
  ['clusters of 512 bytes', 'cluster_size=512'],
  ['clusters of 4 KiB', 'cluster_size=4096'],
  ['clusters of 2 MiB', 'cluster_size=2M'],
  ['v2, clusters of 512 bytes', 'compat=0.10,cluster_size=512'],
  ['counts of 1 bit', 'refcount_bits=1'],
  ['counts of 2 bits, clusters of 1 KiB', 'refcount_bits=2,cluster_size=1024'],
  ['counts of 8 bits', 'refcount_bits=8'],
  ['counts of 32 bits', 'refcount_bits=32'],
  ['counts of 64 bits, clusters of 512 bytes', 'refcount_bits=64,cluster_size=512'],
  ['metadata allocated beforehand', 'preallocation=metadata'],
  ['everything allocated beforehand', 'preallocation=full'],
  ['lazy reference counts, clean', 'lazy_refcounts=on'],
];

function sound(path: string, model: Uint8Array): void {
  const { corruptions, leaks, output } = check(path);
  assert.deepEqual({ corruptions, leaks }, { corruptions: 0, leaks: 0 }, output);
  assert.ok(Buffer.from(model).equals(qemuContents(path, 'qcow2')), 'QEMU reads what was written');
}

PLAIN.forEach(([name, settings], index) => {
  test(`random writes: ${name}`, options, async () => {
    const path = at(`plain-${index}.qcow2`);
    qemuImg('create', '-q', '-f', 'qcow2', '-o', settings, path, String(SIZE + 512));
    const model = new Uint8Array(SIZE + 512);
    const random = new Random(index);
    for (let session = 0; session < 2; session++) {
      const disk = open(path);
      await exercise(disk, model, random, 60);
      assert.ok(Buffer.from(await readAll(disk)).equals(model));
      disk.close();
      sound(path, model);
    }
  });
});

/** Guest offset and length in KiB, the byte there, and how QEMU is told to put it there. */
const QEMU_WRITES: readonly [from: number, length: number, byte: number, command: string][] = [
  [0, 256, 0x11, 'write -P 0x11'],
  [320, 64, 0x22, 'write -c -P 0x22'],
  [100, 40, 0, 'write -z'],
  [192, 64, 0, 'write -z -u'],
  [1000, 3, 0x33, 'write -P 0x33'],
  [512, 128, 0x44, 'write -P 0x44'],
  [512, 64, 0, 'discard'],
];

test('what qemu-io wrote is read, and what is written over it qemu-io reads', options, async () => {
  for (const settings of ['compat=1.1', 'compat=1.1,cluster_size=4096', 'compat=0.10']) {
    const path = at('qemu-io.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', settings, path, String(SIZE));
    const model = new Uint8Array(SIZE);
    const commands = QEMU_WRITES.filter(([, , , command]) => !(settings.includes('4096') && command.includes('-c')));
    for (const [from, length, byte, command] of commands) {
      qemuIo(path, `${command} ${from}k ${length}k`);
      model.fill(byte, from * 1024, (from + length) * 1024);
    }
    const disk = open(path);
    assert.ok(Buffer.from(await readAll(disk)).equals(model), settings);
    await disk.write(90 * 1024, [new Uint8Array(20 * 1024).fill(0x55)]);
    await disk.write(330 * 1024, [new Uint8Array(512).fill(0x66)]);
    disk.close();
    for (const part of ['0x55 90k 20k', '0 110k 30k', '0x11 140k 52k', '0x66 330k 512', '0 540k 4k']) {
      const pattern = qemuIo(path, `read -P ${part}`);
      assert.doesNotMatch(pattern, /verification failed/i, `${settings}: ${part}`);
    }
    model.fill(0x55, 90 * 1024, 110 * 1024).fill(0x66, 330 * 1024, 330 * 1024 + 512);
    sound(path, model);
  }
});

test('random writes over compressed clusters, which stay readable', options, async () => {
  const model = pattern(new Random(1), SIZE);
  const raw = writeRaw('compressed.raw', model);
  for (const settings of ['compat=0.10', 'cluster_size=4096', 'cluster_size=2M', 'compat=1.1']) {
    const path = at('compressed.qcow2');
    qemuImg('convert', '-q', '-c', '-f', 'raw', '-O', 'qcow2', '-o', settings, raw, path);
    const disk = open(path);
    assert.ok(Buffer.from(await readAll(disk)).equals(model), settings);
    const changed = model.slice();
    await exercise(disk, changed, new Random(2), 60);
    disk.close();
    sound(path, changed);
  }
});

for (const format of ['raw', 'qcow2'] as const) {
  for (const settings of ['compat=0.10', 'compat=1.1', 'cluster_size=4096']) {
    test(`random writes over a ${format} backing file that is shorter: ${settings}`, options, async () => {
      const model = new Uint8Array(SIZE);
      const below = pattern(new Random(3), 4 * 1024 * 1024 + (format === 'raw' ? 700 : 512));
      model.set(below);
      const raw = writeRaw('below.raw', below);
      if (format === 'qcow2') qemuImg('convert', '-q', '-f', 'raw', '-O', 'qcow2', '-c', raw, at('below.qcow2'));
      const path = at('above.qcow2');
      qemuImg('create', '-q', '-f', 'qcow2', '-b', `below.${format}`, '-F', format, '-o', settings, path, String(SIZE));
      const disk = open(path);
      assert.ok(Buffer.from(await readAll(disk)).equals(model));
      await exercise(disk, model, new Random(4), 80);
      disk.close();
      sound(path, model);
    });
  }
}

test('clusters that an internal snapshot shares are copied, and the snapshot stays as it was', options, async () => {
  for (const settings of ['compat=1.1', 'compat=0.10,cluster_size=4096']) {
    const path = at('snapshots.qcow2');
    const model = pattern(new Random(5), SIZE);
    qemuImg('convert', '-q', '-f', 'raw', '-O', 'qcow2', '-o', settings, writeRaw('s.raw', model), path);
    qemuImg('snapshot', '-c', 'first', path);
    const before = model.slice();
    const disk = open(path);
    await exercise(disk, model, new Random(6), 60);
    disk.close();
    sound(path, model);
    qemuImg('snapshot', '-c', 'second', path);
    const again = open(path);
    const after = model.slice();
    await exercise(again, after, new Random(7), 60);
    again.close();
    sound(path, after);
    qemuImg('snapshot', '-a', 'first', path);
    sound(path, before);
    qemuImg('snapshot', '-a', 'second', path);
    sound(path, model);
    qemuImg('snapshot', '-d', 'first', path);
    qemuImg('snapshot', '-d', 'second', path);
    sound(path, model);
  }
});
