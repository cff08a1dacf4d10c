import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { EEXIST, ENODATA, ENXIO, EOPNOTSUPP, ERANGE } from '../../fuse/errno.ts';
import * as op from '../../fuse/protocol.ts';
import {
  ATTR_OUT,
  attrOf,
  cname,
  type FuseClient,
  fhOf,
  fields,
  nodeidOf,
  type Reply,
} from '../../testing/fuse-client.ts';
import { shareFixture, testNative } from './share-fixture.test.ts';

const CREATED = 128;
const [RENAME_NOREPLACE, RENAME_EXCHANGE] = [1, 2];

testNative('RENAME_NOREPLACE keeps the target, RENAME_EXCHANGE swaps two names', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  fs.writeFileSync(path('a'), 'a');
  fs.writeFileSync(path('b'), 'b');
  const [a, b] = [guest.walk('a'), guest.walk('b')];
  assert.equal(guest.rename(1, 'a', 1, 'b', RENAME_NOREPLACE).error, -EEXIST);
  assert.equal(guest.rename(1, 'a', 1, 'b', RENAME_EXCHANGE).error, 0);
  assert.deepEqual([guest.walk('a'), guest.walk('b')], [b, a]);
  assert.equal(fs.readFileSync(path('a'), 'utf8'), 'b');
});

testNative('an unnamed file can be written and given a name', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  const O_RDWR_TMPFILE = 0o20200002;
  const made = guest.call(op.FUSE_TMPFILE, 1, [fields([4, O_RDWR_TMPFILE], [4, 0o640], [4, 0], [4, 0]), cname('')]);
  if (made.error === -EOPNOTSUPP) return context.skip('the file system has no O_TMPFILE');
  assert.equal(made.error, 0);
  assert.equal(attrOf(made, 'nlink'), 0);
  guest.write(nodeidOf(made), fhOf(made, CREATED), 0, Buffer.from('named'));
  assert.equal(guest.link(nodeidOf(made), 1, 'name').error, 0);
  assert.equal(fs.readFileSync(path('name'), 'utf8'), 'named');
  assert.equal(fs.statSync(path('name')).mode & 0o777, 0o640);
});

testNative('holes are found, made and filled', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  const made = guest.create(1, 'sparse');
  const [nodeid, fh] = [nodeidOf(made), fhOf(made, CREATED)];
  guest.setattr(nodeid, op.FATTR_SIZE, { size: 1 << 20 });
  guest.write(nodeid, fh, 512 << 10, new Uint8Array(4096).fill(1));
  const seek = (offset: number, whence: number): Reply =>
    guest.call(op.FUSE_LSEEK, nodeid, [fields([8, fh], [8, offset], [4, whence], [4, 0])]);
  assert.equal(Number(seek(0, 3).view.getBigUint64(0, true)), 512 << 10);
  assert.equal(Number(seek(512 << 10, 4).view.getBigUint64(0, true)), (512 << 10) + 4096);
  assert.equal(seek(1 << 21, 3).error, -ENXIO);
  const fallocate = (mode: number, offset: number, length: number): number =>
    guest.call(op.FUSE_FALLOCATE, nodeid, [fields([8, fh], [8, offset], [8, length], [4, mode], [4, 0])]).error;
  const PUNCH_HOLE_KEEP_SIZE = 3;
  assert.equal(fallocate(PUNCH_HOLE_KEEP_SIZE, 512 << 10, 4096), 0);
  assert.equal(seek(0, 3).error, -ENXIO);
  assert.equal(fallocate(0, 0, 2 << 20), 0);
  assert.equal(fs.statSync(path('sparse')).size, 2 << 20);
});

testNative('COPY_FILE_RANGE copies between files on the host', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  fs.writeFileSync(path('from'), '0123456789');
  const from = guest.walk('from');
  const fromFh = fhOf(guest.open(from));
  const to = guest.create(1, 'to');
  const body = fields([8, fromFh], [8, 2], [8, nodeidOf(to)], [8, fhOf(to, CREATED)], [8, 1], [8, 5], [8, 0]);
  const reply = guest.call(op.FUSE_COPY_FILE_RANGE, from, [body]);
  assert.equal(reply.error, 0);
  assert.equal(reply.view.getUint32(0, true), 5);
  assert.equal(fs.readFileSync(path('to'), 'latin1'), '\x0023456');
});

testNative('extended attributes are set, listed, read and removed', (context, options) => {
  const { guest } = shareFixture(context, options);
  const nodeid = nodeidOf(guest.create(1, 'file'));
  const set = setxattr(guest, nodeid, 'user.krun', 'value');
  if (set === -EOPNOTSUPP) return context.skip('the file system has no extended attributes');
  assert.equal(set, 0);
  const XATTR_CREATE = 1;
  assert.equal(setxattr(guest, nodeid, 'user.krun', 'again', XATTR_CREATE), -EEXIST);
  const get = (size: number, name = 'user.krun'): Reply =>
    guest.call(op.FUSE_GETXATTR, nodeid, [fields([4, size], [4, 0]), cname(name)]);
  assert.equal(get(0).view.getUint32(0, true), 5);
  assert.equal(Buffer.from(get(64).payload).toString(), 'value');
  assert.equal(get(2).error, -ERANGE);
  assert.equal(get(64, 'user.none').error, -ENODATA);
  const list = guest.call(op.FUSE_LISTXATTR, nodeid, [fields([4, 1000], [4, 0])]);
  assert.ok(Buffer.from(list.payload).toString().split('\0').includes('user.krun'));
  assert.equal(guest.call(op.FUSE_REMOVEXATTR, nodeid, [cname('user.krun')]).error, 0);
  assert.equal(get(64).error, -ENODATA);
});

testNative('times are kept to the nanosecond, on links too', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  guest.symlink(1, 'link', 'nowhere');
  guest.setattr(guest.walk('link'), op.FATTR_MTIME, { mtime: 1_500_000_000, mtimensec: 123_456_789 });
  assert.equal(fs.lstatSync(path('link'), { bigint: true }).mtimeNs, 1_500_000_000_123_456_789n);
  const before = guest.setattr(guest.walk('link'), op.FATTR_MTIME, { mtime: -1_000, mtimensec: 5 });
  assert.equal(attrOf(before, 'mtime', ATTR_OUT), -1_000);
});

testNative('STATX answers like GETATTR and adds the time of birth', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  fs.writeFileSync(path('file'), 'hello', { mode: 0o640 });
  const reply = guest.call(op.FUSE_STATX, guest.walk('file'), [fields([8, 0], [8, 0], [4, 0], [4, 0xfff])]);
  const at = op.fuse_statx_out.sizeof;
  const stat = fs.statSync(path('file'), { bigint: true });
  assert.equal(reply.payload.length, at + 256);
  assert.equal(reply.view.getUint16(at + op.fuse_statx.mode, true), 0o100640);
  assert.equal(reply.view.getBigUint64(at + op.fuse_statx.ino, true), stat.ino);
  assert.equal(reply.view.getBigUint64(at + op.fuse_statx.mtime, true), stat.mtimeNs / 1_000_000_000n);
  assert.equal(reply.view.getUint32(at + op.fuse_statx.mtime_nsec, true), Number(stat.mtimeNs % 1_000_000_000n));
  const hasBirth = (reply.view.getUint32(at, true) & op.STATX_BTIME) !== 0;
  const birth = reply.view.getBigUint64(at + op.fuse_statx.btime, true);
  assert.equal(birth, hasBirth ? stat.birthtimeNs / 1_000_000_000n : 0n);
});

testNative('SYNCFS reaches the host', (context, options) => {
  const { guest } = shareFixture(context, options);
  assert.equal(guest.call(op.FUSE_SYNCFS, 1, [new Uint8Array(8)]).error, 0);
});

function setxattr(guest: FuseClient, nodeid: number, name: string, value: string, flags = 0): number {
  const body = [fields([4, value.length], [4, flags]), cname(name), Buffer.from(value)];
  return guest.call(op.FUSE_SETXATTR, nodeid, body).error;
}
