import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { EROFS } from '../fuse/errno.ts';
import { Overlay } from '../fuse/overlay.ts';
import { overlayFs } from '../fuse/overlay-fs.ts';
import * as op from '../fuse/protocol.ts';
import { readOnlyFs } from '../fuse/read-only-fs.ts';
import { FuseServer } from '../fuse/server.ts';
import { cname, FuseClient, fhOf, fields, nodeidOf } from '../testing/fuse-client.ts';
import { openPassthrough } from './passthrough-fs.ts';

const skip = process.platform !== 'linux' && 'needs Linux';

function readOnlyShare(context: TestContext): { root: string; guest: FuseClient } {
  const root = fs.mkdtempSync(join(tmpdir(), 'krun-share-'));
  fs.writeFileSync(join(root, 'file'), 'host');
  fs.mkdirSync(join(root, 'dir'));
  const overlay = new Overlay();
  overlay.add({ path: 'file', mode: 0o644, data: Buffer.from('virtual') });
  const shared = overlayFs(readOnlyFs(openPassthrough(root)), overlay);
  const guest = new FuseClient(new FuseServer(shared));
  guest.init();
  context.after(() => {
    shared.close();
    fs.rmSync(root, { recursive: true });
  });
  return { root, guest };
}

test('every way to change a read-only share answers EROFS and changes nothing', { skip }, (context) => {
  const { root, guest } = readOnlyShare(context);
  fs.writeFileSync(join(root, 'other'), 'other');
  const before = fs.statSync(join(root, 'other'), { bigint: true });
  const file = guest.walk('other');
  const fh = fhOf(guest.open(file));
  const answers = {
    write: guest.write(file, fh, 0, Buffer.from('x')),
    setattr: guest.setattr(file, op.FATTR_SIZE, { size: 0 }),
    openWrite: guest.open(file, 1),
    openTruncate: guest.open(file, 0o1000),
    create: guest.create(1, 'new'),
    mkdir: guest.mkdir(1, 'new'),
    symlink: guest.symlink(1, 'new', 'x'),
    mknod: guest.call(op.FUSE_MKNOD, 1, [fields([4, 0o100644], [4, 0], [4, 0], [4, 0]), cname('new')]),
    link: guest.link(file, 1, 'new'),
    unlink: guest.unlink(1, 'other'),
    rmdir: guest.unlink(1, 'dir', op.FUSE_RMDIR),
    rename: guest.rename(1, 'other', 1, 'new'),
    tmpfile: guest.call(op.FUSE_TMPFILE, 1, [fields([4, 2], [4, 0o600], [4, 0], [4, 0]), cname('')]),
    fallocate: guest.call(op.FUSE_FALLOCATE, file, [fields([8, fh], [8, 0], [8, 1], [4, 0], [4, 0])]),
    setxattr: guest.call(op.FUSE_SETXATTR, file, [fields([4, 1], [4, 0]), cname('user.a'), Buffer.from('x')]),
    removexattr: guest.call(op.FUSE_REMOVEXATTR, file, [cname('user.a')]),
    copy: guest.call(op.FUSE_COPY_FILE_RANGE, file, [
      fields([8, fh], [8, 0], [8, file], [8, fh], [8, 9], [8, 1], [8, 0]),
    ]),
    access: guest.call(op.FUSE_ACCESS, file, [fields([4, 2], [4, 0])]),
    opendir: guest.call(op.FUSE_OPENDIR, 1, [fields([4, 1], [4, 0])]),
  };
  for (const [operation, { error }] of Object.entries(answers)) assert.equal(error, -EROFS, operation);
  assert.deepEqual(fs.readdirSync(root).sort(), ['dir', 'file', 'other']);
  assert.equal(fs.statSync(join(root, 'other'), { bigint: true }).ctimeNs, before.ctimeNs);
});

test('a virtual name hides the host file for LOOKUP and for READDIRPLUS', { skip }, (context) => {
  const { guest } = readOnlyShare(context);
  const nodeid = guest.walk('file');
  assert.equal(Buffer.from(guest.read(nodeid, 0n, 0, 10).payload).toString(), 'virtual');
  const listed = guest.list(1, { plus: true });
  assert.equal(listed.find(({ name }) => name === 'file')?.nodeid, 0);
  assert.equal(listed.find(({ name }) => name === 'dir')?.nodeid, nodeidOf(guest.lookup(1, 'dir')));
});
