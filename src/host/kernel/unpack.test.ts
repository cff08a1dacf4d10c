import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { tarEntry, tarFile } from '../../testing/tar.ts';
import { unpackPinned } from './unpack.ts';

const work = mkdtempSync(join(tmpdir(), 'krun-unpack-'));
const small = join(work, 'small-disk');
mkdirSync(small);
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'krun-test', small]).status === 0;
after(() => {
  if (mounted) spawnSync('umount', [small]);
  rmSync(work, { recursive: true, force: true });
});

const file = Buffer.alloc(300_000, 'content');
const tarball = gzipSync(tarFile(tarEntry('f', file)));
const pin = {
  ...{ name: 'n', version: '1', member: 'f', tarballBytes: tarball.length, fileBytes: file.length },
  tarballSha512: createHash('sha512').update(tarball).digest('base64'),
  fileSha256: createHash('sha256').update(file).digest('hex'),
};

async function* inChunksOf(size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < tarball.length; at += size) yield tarball.subarray(at, at + size);
}

test('unpackPinned writes the file, whatever the chunks', async () => {
  for (const size of [7, 512, 1_000_000]) {
    const received: number[] = [];
    await unpackPinned(inChunksOf(size), join(work, `f${size}`), pin, (bytes) => received.push(bytes));
    assert.deepEqual(readFileSync(join(work, `f${size}`)), file);
    assert.deepEqual(received.at(-1), tarball.length);
  }
});

test('a package without the file is ERR_KERNEL_INTEGRITY', async () => {
  await assert.rejects(
    unpackPinned(inChunksOf(512), join(work, 'none'), { ...pin, member: 'g' }, () => {}),
    { code: 'ERR_KERNEL_INTEGRITY', message: /g is not in it/ },
  );
});

test('a file larger than pinned is refused before it fills the disk', async () => {
  await assert.rejects(
    unpackPinned(inChunksOf(512), join(work, 'large'), { ...pin, fileBytes: 1000 }, () => {}),
    { code: 'ERR_KERNEL_INTEGRITY', message: /longer than 1000/ },
  );
  assert.ok(readFileSync(join(work, 'large')).length <= 1000);
});

test('a full disk is ERR_KERNEL_DISK_FULL', {
  skip: mounted ? false : 'needs the right to mount a tmpfs',
}, async () => {
  await assert.rejects(
    unpackPinned(inChunksOf(512), join(small, 'f'), pin, () => {}),
    { code: 'ERR_KERNEL_DISK_FULL', hint: /XDG_CACHE_HOME/ },
  );
});

test('a directory that is not there is ERR_KERNEL_CACHE', async () => {
  await assert.rejects(
    unpackPinned(inChunksOf(512), join(work, 'no/f'), pin, () => {}),
    { code: 'ERR_KERNEL_CACHE', message: /ENOENT/ },
  );
});
