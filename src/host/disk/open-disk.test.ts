import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import * as zlib from 'node:zlib';
import { KrunError } from '../../base/krun-error.ts';
import { Random } from '../../testing/random.ts';
import {
  at,
  check,
  exercise,
  LEASE,
  open,
  pattern,
  qemuContents,
  qemuImg,
  readAll,
  skipQemu,
  writeRaw,
} from './disk-fixture.test.ts';
import { backingPath } from './open-disk.ts';

const options = { skip: skipQemu };
const SIZE = 2 * 1024 * 1024;

/** Opening fails with this code, and the text names the file and the reason. */
function refused(path: string, code: string, reason: RegExp, how: Parameters<typeof open>[1] = {}): void {
  assert.throws(
    () => open(path, how).close(),
    (error) => {
      assert.ok(error instanceof KrunError, String(error));
      assert.deepEqual([error.code, error.stage], [code, 'resources'], error.message);
      assert.match(error.message, reason);
      return true;
    },
  );
}

function patch(path: string, offset: number, bytes: number[]): void {
  const file = readFileSync(path);
  file.set(bytes, offset);
  writeFileSync(path, file);
}

function create(name: string, settings: string, ...more: string[]): string {
  qemuImg('create', '-q', '-f', 'qcow2', ...(settings === '' ? [] : ['-o', settings]), ...more, name, String(SIZE));
  return at(name);
}

test('a raw disk is the file’s whole sectors, and requests go to their place in it', async () => {
  const path = writeRaw('odd.raw', pattern(new Random(1), 3 * 512 + 100));
  const disk = open(path, { format: 'raw' });
  assert.equal(disk.length, 3 * 512);
  await disk.write(512, [new Uint8Array(512).fill(9)]);
  await disk.flush();
  disk.close();
  const expected = pattern(new Random(1), 3 * 512 + 100).fill(9, 512, 1024);
  assert.ok(readFileSync(path).equals(Buffer.from(expected)));
});

for (const direct of [false, true]) {
  test(`random requests against a raw disk${direct ? ' past the page cache' : ''}`, async () => {
    const model = pattern(new Random(2), SIZE);
    const path = writeRaw('random.raw', model);
    const disk = open(path, { format: 'raw', direct });
    await exercise(disk, model, new Random(3), 100);
    assert.ok(Buffer.from(await readAll(disk)).equals(model));
    disk.close();
    assert.ok(readFileSync(path).equals(Buffer.from(model)));
  });
}

test('random requests against a qcow2 past the page cache, several under way at once', options, async () => {
  const path = create('direct.qcow2', 'cluster_size=4096');
  const model = new Uint8Array(SIZE);
  const disk = open(path, { direct: true });
  await exercise(disk, model, new Random(4), 150);
  disk.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual({ ...check(path), output: '' }, { corruptions: 0, leaks: 0, output: '' });
  assert.ok(Buffer.from(model).equals(qemuContents(path, 'qcow2')));
});

test(
  'without a sync mode there is no volatile cache, and an orderly end still writes everything',
  options,
  async () => {
    const path = create('none.qcow2', '');
    const disk = open(path, { sync: 'none' });
    assert.equal(disk.volatileCache, false);
    await disk.write(0, [new Uint8Array(512).fill(5)]);
    disk.close();
    assert.equal(qemuContents(path, 'qcow2')[511], 5);
  },
);

test('the format is what the user says: an image opened as raw is its bytes', options, async () => {
  const path = create('image.qcow2', '');
  const disk = open(path, { format: 'raw', readOnly: true });
  const bytes = new Uint8Array(512);
  await disk.read(0, [bytes], LEASE);
  assert.equal(Buffer.from(bytes.subarray(0, 3)).toString(), 'QFI');
  disk.close();
  refused(writeRaw('plain', new Uint8Array(4096)), 'ERR_DISK_MALFORMED', /does not begin as qcow2/);
  refused(writeRaw('plain', new Uint8Array(4096)), 'ERR_DISK_MALFORMED', /VMDK descriptor/, { format: 'vmdk' });
});

test('the serial is the user’s, or the numbers of the file, at most 20 bytes of them', () => {
  const path = writeRaw('serial.raw', new Uint8Array(512));
  const text = (how: Parameters<typeof open>[1]) => {
    const disk = open(path, { format: 'raw', ...how });
    disk.close();
    return Buffer.from(disk.id).toString();
  };
  assert.equal(text({ serial: 'mine' }), 'mine');
  const stat = execFileSync('stat', ['-c', '%d0%i', path], { encoding: 'utf8' }).trim();
  assert.equal(text({}), stat.slice(0, 20));
});

test('what cannot be a disk is refused, and a FIFO does not hang', () => {
  execFileSync('mkfifo', [at('fifo')]);
  refused(at('absent'), 'ERR_DISK', /absent.*ENOENT/, { format: 'raw' });
  refused(at('fifo'), 'ERR_DISK', /neither a file nor a block device/, { format: 'raw', readOnly: true });
  refused(at('.'), 'ERR_DISK', /neither a file nor a block device/, { format: 'raw', readOnly: true });
  refused(writeRaw('short', Buffer.from('QFI\xfb')), 'ERR_DISK_MALFORMED', /shorter/);
});

test('parts of qcow2 that are not implemented are refused by name', options, () => {
  refused(create('ext.qcow2', 'extended_l2=on'), 'ERR_DISK_UNSUPPORTED', /subclusters/);
  refused(create('data.qcow2', `data_file=${at('data.raw')}`), 'ERR_DISK_UNSUPPORTED', /external file/);
  const luks = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10';
  refused(create('luks.qcow2', luks, '--object', 'secret,id=s,data=x'), 'ERR_DISK_UNSUPPORTED', /encrypted/);
  const path = create('bits.qcow2', '');
  patch(path, 4, [0, 0, 0, 4]);
  refused(path, 'ERR_DISK_UNSUPPORTED', /version 4/);
  patch(path, 4, [0, 0, 0, 3]);
  patch(path, 72, [0x80]);
  refused(path, 'ERR_DISK_UNSUPPORTED', /0x8000000000000000/);
});

test('an image that is marked dirty or corrupt can be read and not written', options, () => {
  for (const [bit, reason] of [
    [1, /marked dirty/],
    [2, /marked corrupt/],
  ] as const) {
    const path = create('marked.qcow2', '');
    patch(path, 79, [bit]);
    refused(path, 'ERR_DISK_UNSUPPORTED', reason);
    open(path, { readOnly: true }).close();
  }
});

test('clusters compressed with zstd are read where Node can, and refused by name where not', options, async () => {
  const model = pattern(new Random(5), SIZE);
  const raw = writeRaw('zstd.raw', model);
  qemuImg('convert', '-q', '-c', '-f', 'raw', '-O', 'qcow2', '-o', 'compression_type=zstd', raw, at('zstd.qcow2'));
  if (!('zstdDecompressSync' in zlib)) return refused(at('zstd.qcow2'), 'ERR_DISK_UNSUPPORTED', /zstd/);
  const disk = open(at('zstd.qcow2'), { readOnly: true });
  assert.ok(Buffer.from(await readAll(disk)).equals(model));
  disk.close();
});

test('backing files: a chain, names relative to each image, and the format that each one says', options, async () => {
  mkdirSync(at('base'));
  mkdirSync(at('mid'));
  const model = pattern(new Random(6), SIZE);
  writeRaw('base/base.raw', model);
  qemuImg('create', '-q', '-f', 'qcow2', '-b', '../base/base.raw', '-F', 'raw', at('mid/mid.qcow2'));
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'mid/mid.qcow2', '-F', 'qcow2', at('top.qcow2'));
  const disk = open(at('top.qcow2'));
  assert.ok(Buffer.from(await readAll(disk)).equals(model));
  await exercise(disk, model, new Random(7), 40);
  disk.close();
  assert.ok(Buffer.from(model).equals(qemuContents(at('top.qcow2'), 'qcow2')));
  const [base, mid] = [readFileSync(at('base/base.raw')), readFileSync(at('mid/mid.qcow2'))];
  assert.ok(base.equals(Buffer.from(pattern(new Random(6), SIZE))), 'what is below is only read');
  assert.ok(mid.length > 0);
  symlinkSync(at('top.qcow2'), at('base/link.qcow2'));
  refused(at('base/link.qcow2'), 'ERR_DISK', /base\/mid\/mid\.qcow2/);
});

test('backing files that loop, say no format, or are no paths are refused', options, () => {
  const path = create('a.qcow2', '');
  create('b.qcow2', '', '-b', 'a.qcow2', '-F', 'qcow2');
  qemuImg('rebase', '-u', '-f', 'qcow2', '-b', 'b.qcow2', '-F', 'qcow2', path);
  refused(path, 'ERR_DISK_MALFORMED', /among its own backing files/);
  qemuImg('rebase', '-u', '-f', 'qcow2', '-b', 'a.qcow2', '-F', 'qcow2', path);
  refused(path, 'ERR_DISK_MALFORMED', /among its own backing files/);
  qemuImg('rebase', '-u', '-f', 'qcow2', '-b', 'nbd://localhost/x', '-F', 'raw', path);
  refused(path, 'ERR_DISK_UNSUPPORTED', /not named by a path/);
  qemuImg('rebase', '-u', '-f', 'qcow2', '-b', 'plain', '-F', 'vpc', path);
  refused(path, 'ERR_DISK_UNSUPPORTED', /format "vpc"/);
  const file = readFileSync(path);
  const extension = file.indexOf(Buffer.from('e2792aca', 'hex'));
  patch(path, extension, [0x11, 0x22, 0x33, 0x44]);
  refused(path, 'ERR_DISK_UNSUPPORTED', /which format its backing file has/);
});

test('a name of a backing file is a path beside the overlay, or absolute', () => {
  assert.equal(backingPath('/x/y/a.qcow2', 'b'), '/x/y/b');
  assert.equal(backingPath('/x/y/a.qcow2', '../b'), '/x/b');
  assert.equal(backingPath('a.qcow2', 'b'), 'b');
  assert.equal(backingPath('/x/a', '/b'), '/b');
  assert.equal(backingPath('/x/a', 'file:/b'), '/b');
  assert.equal(backingPath('/x/a', './b:c'), '/x/b:c');
  assert.throws(() => backingPath('/x/a', 'json:{}'), /not named by a path/);
});

for (const subformat of ['monolithicFlat', 'twoGbMaxExtentFlat']) {
  test(`a VMDK from QEMU: ${subformat}`, options, async () => {
    const name = `${subformat}.vmdk`;
    qemuImg('create', '-q', '-f', 'vmdk', '-o', `subformat=${subformat}`, name, String(SIZE));
    const model = new Uint8Array(SIZE);
    const disk = open(at(name), { format: 'vmdk' });
    await exercise(disk, model, new Random(8), 60);
    disk.close();
    assert.ok(Buffer.from(model).equals(qemuContents(at(name), 'vmdk')));
  });
}

test('a VMDK of several extents: flat at an offset, zeros, read-only', async () => {
  const model = pattern(new Random(9), 8 * 512);
  writeRaw('one.flat', Buffer.concat([new Uint8Array(512), model.subarray(0, 4 * 512)]));
  writeRaw('two.flat', model.subarray(4 * 512));
  const lines = ['RW 4 FLAT "one.flat" 1', 'RW 2 ZERO', `RDONLY 4 FLAT "${at('two.flat')}" 0`];
  const text = ['# Disk DescriptorFile', 'version=1', 'parentCID=ffffffff', 'createType="custom"', ...lines, ''];
  const disk = open(writeRaw('parts.vmdk', Buffer.from(text.join('\r\n'))), { format: 'vmdk' });
  const expected = Buffer.concat([model.subarray(0, 4 * 512), new Uint8Array(1024), model.subarray(4 * 512)]);
  assert.ok(Buffer.from(await readAll(disk)).equals(expected));
  await disk.write(3 * 512, [new Uint8Array(512).fill(1)]);
  await disk.writeZeroes(4 * 512, 1024, true);
  assert.throws(() => disk.write(4 * 512, [new Uint8Array(512)]), /read-only/);
  assert.throws(() => disk.write(6 * 512, [new Uint8Array(512)]), /read-only/);
  disk.close();
  assert.deepEqual(readFileSync(at('one.flat')).subarray(4 * 512), Buffer.alloc(512, 1));
  assert.ok(readFileSync(at('two.flat')).equals(Buffer.from(model.subarray(4 * 512))));
});

test('VMDKs of other kinds are refused by name', options, () => {
  qemuImg('create', '-q', '-f', 'vmdk', 'sparse.vmdk', String(SIZE));
  refused(at('sparse.vmdk'), 'ERR_DISK_UNSUPPORTED', /sparse/, { format: 'vmdk' });
  const descriptor = (...lines: string[]) =>
    writeRaw('bad.vmdk', Buffer.from(`# Disk DescriptorFile\n${lines.join('\n')}\n`));
  const how = { format: 'vmdk' } as const;
  refused(descriptor('parentCID=12345678', 'RW 1 ZERO'), 'ERR_DISK_UNSUPPORTED', /delta/, how);
  refused(descriptor('RW 1 SPARSE "x"'), 'ERR_DISK_UNSUPPORTED', /type SPARSE/, how);
  refused(descriptor('NOACCESS 1 ZERO'), 'ERR_DISK_UNSUPPORTED', /without access/, how);
  refused(descriptor(''), 'ERR_DISK_MALFORMED', /no extents/, how);
  refused(descriptor('RW x FLAT "y"'), 'ERR_DISK_MALFORMED', /an extent that says/, how);
  refused(descriptor('RW 1 FLAT "bad.vmdk" 0'), 'ERR_DISK_MALFORMED', /the descriptor itself/, how);
  refused(descriptor('RW 1 FLAT "not-there" 0'), 'ERR_DISK', /not-there/, how);
});

test('closing while requests are under way waits for them before the descriptors go', async () => {
  const path = writeRaw('closing.raw', new Uint8Array(SIZE));
  const disk = open(path, { format: 'raw', direct: true });
  const write = disk.write(0, [new Uint8Array(4096).fill(3)]);
  const flush = disk.flush();
  disk.close();
  disk.close();
  await Promise.all([write, flush]);
  assert.equal(readFileSync(path)[4095], 3);
});

test('more than the bounce memory holds goes through all the same', async () => {
  const path = writeRaw('much.raw', new Uint8Array(0));
  truncateSync(path, 32 * 1024 * 1024);
  renameSync(path, at('much2.raw'));
  const disk = open(at('much2.raw'), { format: 'raw', direct: true });
  const piece = 1024 * 1024;
  const writes = Array.from({ length: 20 }, (_, index) =>
    disk.write(index * piece, [new Uint8Array(piece).fill(index + 1)]),
  );
  assert.ok(writes.some((done) => done !== undefined) && writes.some((done) => done === undefined));
  await Promise.all(writes);
  const bytes = await readAll(disk);
  for (let index = 0; index < 20; index++) assert.equal(bytes[(index + 1) * piece - 1], index + 1);
  disk.close();
});
