import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { EBADF, ESTALE } from '../../fuse/errno.ts';
import { type FileSystem, NO_FH } from '../../fuse/file-system.ts';
import { FUSE_ROOT_ID } from '../../fuse/protocol.ts';
import { newAttrReply, newEntry, newOpenReply } from '../../fuse/records.ts';
import { openPassthrough } from '../passthrough-fs.ts';

const O_RDWR = 2;
const O_APPEND = 0o2000;
const bytes = (text: string) => new TextEncoder().encode(text);
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'krun-saved-'));
  mkdirSync(join(folder, 'a/b'), { recursive: true });
  writeFileSync(join(folder, 'a/b/file'), 'content');
  writeFileSync(join(folder, 'a/other'), 'other');
});
afterEach(() => rmSync(folder, { recursive: true }));

function lookup(fs: FileSystem, path: string): number {
  let nodeid = FUSE_ROOT_ID;
  const entry = newEntry();
  for (const name of path.split('/')) {
    assert.equal(fs.lookup(nodeid, bytes(name), entry), 0, path);
    nodeid = entry.nodeid;
  }
  return nodeid;
}

function open(fs: FileSystem, nodeid: number, flags: number): number {
  const reply = newOpenReply();
  assert.equal(fs.open(nodeid, flags, false, reply), 0);
  return reply.fh;
}

function read(fs: FileSystem, nodeid: number, fh: number): string | number {
  const into = new Uint8Array(100);
  const count = fs.read(nodeid, fh, [into], 0);
  return count < 0 ? count : new TextDecoder().decode(into.subarray(0, count));
}

/** Another share of the same folder that goes on where the first one stopped. */
function moved(fs: FileSystem, between: () => void = () => {}): FileSystem {
  const state = structuredClone(fs.save?.());
  fs.close();
  between();
  const next = openPassthrough(folder);
  next.restore?.(state);
  return next;
}

test('nodes and open files go on in another share of the same directory', () => {
  const before = openPassthrough(folder);
  const file = lookup(before, 'a/b/file');
  const fh = open(before, file, O_RDWR | O_APPEND);
  const fs = moved(before);
  assert.equal(read(fs, file, fh), 'content');
  assert.equal(fs.write(file, fh, [bytes(' and more')], 0, 0), 9);
  assert.equal(readFileSync(join(folder, 'a/b/file'), 'utf8'), 'content and more');
  assert.equal(lookup(fs, 'a/b/file'), file, 'a known node keeps its number');
  const entry = newEntry();
  assert.equal(fs.lookup(FUSE_ROOT_ID, bytes('a'), entry), 0);
  const directory = newOpenReply();
  assert.equal(fs.opendir(entry.nodeid, 0, directory), 0);
  assert.ok(directory.fh > fh, 'no number is used twice');
  fs.close();
});

test('a file that is gone, or is another one now, is stale, and a handle to it finds nothing; the rest goes on', () => {
  const before = openPassthrough(folder);
  const [file, other] = [lookup(before, 'a/b/file'), lookup(before, 'a/other')];
  const fh = open(before, file, O_RDWR);
  const fs = moved(before, () => {
    writeFileSync(join(folder, 'new'), 'another inode');
    renameSync(join(folder, 'new'), join(folder, 'a/b/file'));
    appendFileSync(join(folder, 'a/other'), '!');
  });
  assert.equal(fs.getattr(file, NO_FH, newAttrReply()), -ESTALE);
  assert.equal(read(fs, file, fh), -EBADF);
  assert.equal(read(fs, other, open(fs, other, O_RDWR)), 'other!');
  fs.close();
});

test('a file without a name does not survive, and forgotten nodes are not saved', () => {
  const before = openPassthrough(folder);
  const [file, other] = [lookup(before, 'a/b/file'), lookup(before, 'a/other')];
  const fh = open(before, file, O_RDWR);
  const parent = lookup(before, 'a/b');
  assert.equal(before.unlink(parent, bytes('file')), 0);
  before.forget(other, 1);
  const fs = moved(before);
  assert.equal(read(fs, file, fh), -EBADF);
  assert.ok(fs.getattr(other, NO_FH, newAttrReply()) < 0);
  fs.close();
});

test('a state that was tampered with leads nowhere outside the directory', () => {
  const outside = join(folder, 'outside');
  writeFileSync(outside, 'secret');
  const inner = join(folder, 'a');
  const whole = openPassthrough(folder);
  const secret = lookup(whole, 'outside');
  const state = structuredClone(whole.save?.()) as { inodes: { inodes: { nodeid: number; name: Uint8Array }[] } };
  whole.close();
  for (const name of ['../outside', '..', 'b/../../outside', '']) {
    const [inode] = state.inodes.inodes.filter(({ nodeid }) => nodeid === secret);
    assert.ok(inode);
    inode.name = bytes(name);
    const fs = openPassthrough(inner);
    fs.restore?.(structuredClone(state));
    assert.equal(fs.getattr(secret, NO_FH, newAttrReply()), -ESTALE, name);
    fs.close();
  }
  unlinkSync(outside);
});
