import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ATTR_OUT, attrOf, cname, FuseClient, fhOf, fields, nodeidOf } from '../testing/fuse-client.ts';
import { EACCES, EEXIST, EINVAL, EISDIR, ENODATA, ENOENT, ENXIO, EPERM, EXDEV } from './errno.ts';
import { nullFs } from './null-fs.ts';
import { Overlay, type OverlayError, type OverlayItem } from './overlay.ts';
import { overlayFs } from './overlay-fs.ts';
import * as op from './protocol.ts';
import { FuseServer } from './server.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const INIT: OverlayItem = { path: '/init.krun', mode: 0o755, data: bytes('program'), oneShot: true };

function mounted(...items: OverlayItem[]): FuseClient {
  const overlay = new Overlay();
  for (const item of items) overlay.add(item);
  const guest = new FuseClient(new FuseServer(overlayFs(nullFs(), overlay)));
  guest.init();
  return guest;
}

test('a virtual file has the mode, size and content it was given, and belongs to root', () => {
  const guest = mounted({ path: 'file', mode: 0o140640, data: bytes('content') });
  const found = guest.lookup(1, 'file');
  assert.equal(attrOf(found, 'mode'), 0o100640);
  assert.deepEqual([attrOf(found, 'size'), attrOf(found, 'nlink'), attrOf(found, 'uid')], [7, 1, 0]);
  assert.equal(attrOf(found, 'blksize'), 4096);
  assert.equal(found.view.getBigUint64(op.fuse_entry_out.entry_valid, true), 0xffff_ffffn);
  const nodeid = nodeidOf(found);
  const opened = guest.open(nodeid);
  assert.equal(fhOf(opened), 0n);
  guest.segmentBytes = 2;
  assert.equal(Buffer.from(guest.read(nodeid, 0n, 2, 4).payload).toString(), 'nten');
  assert.equal(guest.read(nodeid, 0n, 7, 4).payload.length, 0);
  assert.equal(guest.read(nodeid, 0n, 2 ** 50, 4).payload.length, 0);
});

test('a one-shot name is found once per mount and its node stays', () => {
  const guest = mounted(INIT);
  const found = guest.lookup(1, 'init.krun');
  assert.equal(found.view.getBigUint64(op.fuse_entry_out.entry_valid, true), 0n);
  assert.equal(guest.lookup(1, 'init.krun').error, -ENOENT);
  const nodeid = nodeidOf(found);
  assert.equal(attrOf(guest.getattr(nodeid), 'mode', ATTR_OUT), 0o100755);
  assert.equal(Buffer.from(guest.read(nodeid, 0n, 0, 100).payload).toString(), 'program');
  guest.init();
  assert.equal(guest.lookup(1, 'init.krun').error, 0);
});

test('a one-shot file was modified at the moment the guest looks', () => {
  const overlay = new Overlay();
  overlay.add({ path: 'clock', mode: 0o444, data: new Uint8Array(), oneShot: true });
  const guest = new FuseClient(new FuseServer(overlayFs(nullFs(), overlay, () => 1_700_000_000_250)));
  guest.init();
  const found = guest.lookup(1, 'clock');
  assert.deepEqual([attrOf(found, 'mtime'), attrOf(found, 'mtimensec')], [1_700_000_000, 250_000_000]);
  assert.equal(attrOf(guest.getattr(nodeidOf(found)), 'mtime', ATTR_OUT), 1_700_000_000);
});

test('virtual directories nest, are listed, and take no new names', () => {
  const guest = mounted(
    { path: 'dir', mode: 0o755 },
    { path: '/dir/sub', mode: 0o700 },
    { path: 'dir/sub/file', mode: 0o600, data: bytes('x') },
  );
  const sub = guest.walk('dir/sub');
  assert.equal(attrOf(guest.getattr(sub), 'mode', ATTR_OUT), 0o040700);
  assert.deepEqual(
    guest.list(sub).map(({ name, type }) => [name, type]),
    [
      ['.', 4],
      ['..', 4],
      ['file', 8],
    ],
  );
  assert.deepEqual(
    guest.list(sub, { plus: true, size: 160 }).map(({ name }) => name),
    ['.', '..', 'file'],
  );
  assert.equal(guest.mkdir(sub, 'new').error, -EPERM);
  assert.equal(guest.create(sub, 'new').error, -EPERM);
  assert.equal(guest.lookup(sub, 'none').error, -ENOENT);
  assert.equal(guest.open(sub).error, -EISDIR);
});

test('what a guest may not do to a virtual file is refused as upstream refuses it', () => {
  const guest = mounted({ path: 'file', mode: 0o666, data: bytes('content') });
  const nodeid = guest.walk('file');
  assert.equal(guest.open(nodeid, 1).error, -EACCES);
  assert.equal(guest.write(nodeid, 0n, 0, bytes('x')).error, -EPERM);
  assert.equal(guest.setattr(nodeid, op.FATTR_MODE, { mode: 0 }).error, -EPERM);
  assert.equal(guest.link(nodeid, 1, 'other').error, -EPERM);
  assert.equal(guest.mkdir(1, 'file').error, -EEXIST);
  assert.equal(guest.unlink(1, 'file').error, -EPERM);
  assert.equal(guest.call(op.FUSE_ACCESS, nodeid, [fields([4, 2], [4, 0])]).error, -EACCES);
  assert.equal(guest.call(op.FUSE_ACCESS, nodeid, [fields([4, 5], [4, 0])]).error, 0);
  assert.equal(guest.call(op.FUSE_GETXATTR, nodeid, [fields([4, 9], [4, 0]), cname('user.x')]).error, -ENODATA);
  assert.equal(guest.call(op.FUSE_LISTXATTR, nodeid, [fields([4, 9], [4, 0])]).payload.length, 0);
  const copy = fields([8, 0], [8, 0], [8, nodeid], [8, 0], [8, 0], [8, 1], [8, 0]);
  assert.equal(guest.call(op.FUSE_COPY_FILE_RANGE, nodeid, [copy]).error, -EXDEV);
  const seek = (offset: number, whence: number) =>
    guest.call(op.FUSE_LSEEK, nodeid, [fields([8, 0], [8, offset], [4, whence], [4, 0])]);
  assert.equal(seek(3, 3).view.getUint32(0, true), 3);
  assert.equal(seek(3, 4).view.getUint32(0, true), 7);
  assert.equal(seek(7, 3).error, -ENXIO);
  assert.equal(seek(0, 0).error, -EINVAL);
});

test('items that cannot be placed are refused with the code of the C interface', () => {
  const overlay = new Overlay();
  overlay.add({ path: 'file', mode: 0o644, data: bytes('') });
  const codeOf = (path: string): string => {
    try {
      overlay.add({ path, mode: 0o644 });
      return 'added';
    } catch (error) {
      return (error as OverlayError).code;
    }
  };
  assert.deepEqual(['', '/', 'dir/', 'none/x', 'file/x', 'ok'].map(codeOf), [
    'EINVAL',
    'EINVAL',
    'EINVAL',
    'ENOENT',
    'ENOTDIR',
    'added',
  ]);
});

test('of two items with one name the later is found', () => {
  const guest = mounted(
    { path: 'file', mode: 0o600, data: bytes('one') },
    { path: 'file', mode: 0o600, data: bytes('second') },
  );
  assert.equal(attrOf(guest.lookup(1, 'file'), 'size'), 6);
});

test('the null file system has an empty root and nothing else', () => {
  const guest = mounted();
  assert.equal(attrOf(guest.getattr(1), 'mode', ATTR_OUT), 0o040755);
  assert.equal(attrOf(guest.getattr(1), 'nlink', ATTR_OUT), 2);
  assert.equal(guest.getattr(2).error, -ENOENT);
  assert.equal(guest.lookup(1, 'x').error, -ENOENT);
  assert.equal(guest.call(op.FUSE_STATFS, 1, []).payload.length, 80);
  assert.deepEqual(guest.list(1), []);
  assert.notEqual(guest.create(1, 'x').error, 0);
});
