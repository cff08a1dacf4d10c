import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { test } from 'node:test';
import { EBADF, EEXIST, EISDIR, ENAMETOOLONG, ENOENT, ENOSYS, ENOTDIR, ENOTEMPTY } from '../fuse/errno.ts';
import * as op from '../fuse/protocol.ts';
import { FuseServer } from '../fuse/server.ts';
import { ATTR_OUT, attrOf, FuseClient, fhOf, fields, nodeidOf, parseDirents } from '../testing/fuse-client.ts';
import { openDescriptors, shareFixture, testBoth } from './fs/share-fixture.test.ts';
import { openPassthrough, ShareError } from './passthrough-fs.ts';

const CREATED = 128;
const LINUX = { skip: process.platform !== 'linux' && 'needs Linux' };
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

testBoth('a file of the host is found, described, opened and read', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  fs.mkdirSync(path('sub'));
  fs.writeFileSync(path('sub/file'), 'hello', { mode: 0o640 });
  const stat = fs.statSync(path('sub/file'), { bigint: true });
  const nodeid = guest.walk('sub/file');
  const reply = guest.getattr(nodeid);
  assert.equal(attrOf(reply, 'mode', ATTR_OUT), 0o100640);
  assert.equal(reply.view.getBigUint64(ATTR_OUT + op.fuse_attr.ino, true), stat.ino);
  assert.equal(attrOf(reply, 'size', ATTR_OUT), 5);
  assert.equal(attrOf(reply, 'mtime', ATTR_OUT), Number(stat.mtimeNs / 1_000_000_000n));
  assert.equal(attrOf(reply, 'mtimensec', ATTR_OUT), Number(stat.mtimeNs % 1_000_000_000n));
  const fh = fhOf(guest.open(nodeid));
  assert.equal(text(guest.read(nodeid, fh, 1, 100).payload), 'ello');
  assert.equal(guest.read(nodeid, fh, 5, 100).payload.length, 0);
  assert.equal(guest.release(nodeid, fh).error, 0);
  assert.equal(guest.read(nodeid, fh, 0, 100).error, -EBADF);
});

testBoth('a megabyte written in scattered buffers is on the host and reads back the same', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  const data = Uint8Array.from({ length: 1 << 20 }, (_, index) => (index * 7919) >> 8);
  const made = guest.create(1, 'big');
  const [nodeid, fh] = [nodeidOf(made), fhOf(made, CREATED)];
  assert.equal(guest.write(nodeid, fh, 0, data).view.getUint32(0, true), data.length);
  assert.ok(fs.readFileSync(path('big')).equals(data));
  assert.ok(Buffer.from(guest.read(nodeid, fh, 0, data.length).payload).equals(data));
});

testBoth(
  'writes to a file opened to append go to its end, but mapped pages go where they belong',
  (context, options) => {
    const { guest, path } = shareFixture(context, options);
    fs.writeFileSync(path('file'), '0123456789');
    const nodeid = guest.walk('file');
    const O_RDWR_APPEND = 0o2002;
    const fh = fhOf(guest.open(nodeid, O_RDWR_APPEND));
    guest.write(nodeid, fh, 3, Buffer.from('end'));
    assert.equal(fs.readFileSync(path('file'), 'utf8'), '0123456789end');
    guest.write(nodeid, fh, 3, Buffer.from('abc'), op.FUSE_WRITE_CACHE);
    assert.equal(fs.readFileSync(path('file'), 'utf8'), '012abc6789end');
  },
);

testBoth('data goes straight between the file and shared memory', (context, options) => {
  const { guest, server, path } = shareFixture(context, options);
  const made = guest.create(1, 'file');
  const memory = new Uint8Array(new SharedArrayBuffer(16384)).fill(7);
  const [nodeid, fh] = [nodeidOf(made), fhOf(made, CREATED)];
  const range = fields([8, fh], [8, 0], [4, 8192], [4, 0], [8, 0], [4, 0], [4, 0]);
  const request = (opcode: number, length: number): Uint8Array =>
    fields([4, length], [4, opcode], [8, 1], [8, nodeid], [4, 0], [4, 0], [4, 1], [4, 0]);
  const pages = [memory.subarray(0, 4096), memory.subarray(4096, 8192)];
  server.handle([request(op.FUSE_WRITE, 80 + 8192), range, ...pages], [new Uint8Array(24)]);
  assert.ok(fs.readFileSync(path('file')).equals(Buffer.alloc(8192, 7)));
  fs.writeFileSync(path('file'), Buffer.alloc(5000, 9));
  const room = [new Uint8Array(16), memory.subarray(8192, 12288), memory.subarray(12288)];
  assert.equal(server.handle([request(op.FUSE_READ, 80), range], room), 16 + 5000);
  assert.deepEqual([memory[8192], memory[13191], memory[13192]], [9, 9, 7]);
});

testBoth(
  'new files have exactly the mode the guest asked for, whatever the umask of this process',
  (context, options) => {
    const { guest, path } = shareFixture(context, options);
    assert.equal(attrOf(guest.create(1, 'open', 0o666), 'mode'), 0o100666);
    assert.equal(attrOf(guest.create(1, 'masked', 0o666, 0o2, 0o077), 'mode'), 0o100600);
    assert.equal(attrOf(guest.mkdir(1, 'dir', 0o1777), 'mode'), 0o041777);
    assert.equal(attrOf(guest.create(1, 'setuid', 0o4755), 'mode'), 0o104755);
    assert.equal(fs.statSync(path('open')).mode, 0o100666);
    assert.equal(fs.statSync(path('dir')).mode, 0o041777);
  },
);

testBoth('creating an existing name opens it, unless asked to be exclusive', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  fs.writeFileSync(path('there'), 'old');
  const O_EXCL = 0o200;
  assert.equal(guest.create(1, 'there', 0o644, 0o2 | O_EXCL).error, -EEXIST);
  const opened = guest.create(1, 'there', 0o644, 0o2);
  assert.equal(text(guest.read(nodeidOf(opened), fhOf(opened, CREATED), 0, 10).payload), 'old');
  const O_TRUNC = 0o1000;
  guest.create(1, 'there', 0o644, 0o2 | O_TRUNC);
  assert.equal(fs.readFileSync(path('there'), 'utf8'), '');
});

testBoth('the guest keeps its cache of a file that has not changed since it was opened last', (context, options) => {
  let now = Date.now();
  const { guest, path } = shareFixture(context, { ...options, wallMs: () => now });
  fs.writeFileSync(path('file'), 'one');
  const nodeid = guest.walk('file');
  const flagsOfOpen = (): number => guest.open(nodeid).view.getUint32(op.fuse_open_out.open_flags, true);
  // A second change in the same instant would look like none: only files that have rested are trusted.
  assert.deepEqual([flagsOfOpen(), flagsOfOpen()], [0, 0]);
  now += 1000;
  assert.deepEqual([flagsOfOpen(), flagsOfOpen()], [0, op.FOPEN_KEEP_CACHE]);
  fs.writeFileSync(path('file'), 'longer');
  now += 2000;
  assert.deepEqual([flagsOfOpen(), flagsOfOpen()], [0, op.FOPEN_KEEP_CACHE]);
});

testBoth('a hard link is the same node, and outlives the first name', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  fs.writeFileSync(path('one'), 'x');
  const nodeid = guest.walk('one');
  const linked = guest.link(nodeid, 1, 'two');
  assert.equal(nodeidOf(linked), nodeid);
  assert.equal(attrOf(linked, 'nlink'), 2);
  assert.equal(guest.unlink(1, 'one').error, 0);
  assert.equal(guest.lookup(1, 'one').error, -ENOENT);
  assert.equal(attrOf(guest.getattr(nodeid), 'nlink', ATTR_OUT), 1);
  assert.equal(guest.link(nodeid, 1, 'two').error, -EEXIST);
});

testBoth('symbolic links are made and read as they are, and never followed', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  const target = `../../${'x'.repeat(300)}/etc/passwd`;
  const made = guest.symlink(1, 'link', target);
  assert.equal(attrOf(made, 'mode') & 0o170000, 0o120000);
  assert.equal(fs.readlinkSync(path('link')), target);
  assert.equal(text(guest.call(op.FUSE_READLINK, nodeidOf(made), []).payload), target);
});

testBoth('a rename moves, replaces and keeps the nodes of files and directories', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  fs.mkdirSync(path('from/deep'), { recursive: true });
  fs.writeFileSync(path('from/deep/file'), 'moved');
  fs.writeFileSync(path('victim'), 'replaced');
  const file = guest.walk('from/deep/file');
  const victim = guest.walk('victim');
  const dir = guest.walk('from');
  assert.equal(guest.rename(1, 'from', 1, 'to').error, 0);
  assert.equal(guest.walk('to'), dir);
  assert.equal(guest.rename(guest.walk('to/deep'), 'file', 1, 'victim').error, 0);
  assert.equal(guest.walk('victim'), file);
  assert.equal(fs.readFileSync(path('victim'), 'utf8'), 'moved');
  assert.equal(attrOf(guest.getattr(victim), 'nlink', ATTR_OUT), 0);
  assert.equal(guest.rename(1, 'missing', 1, 'x').error, -ENOENT);
  assert.equal(guest.rename(1, 'victim', 1, 'x'.repeat(256)).error, -ENAMETOOLONG);
});

testBoth('a removed file stays readable and writable while it is open', (context, options) => {
  const { guest } = shareFixture(context, options);
  const made = guest.create(1, 'gone');
  const [nodeid, fh] = [nodeidOf(made), fhOf(made, CREATED)];
  guest.unlink(1, 'gone');
  assert.equal(guest.write(nodeid, fh, 0, Buffer.from('still')).error, 0);
  assert.equal(text(guest.read(nodeid, fh, 0, 10).payload), 'still');
  assert.equal(attrOf(guest.getattr(nodeid), 'size', ATTR_OUT), 5);
});

testBoth('directories are removed only when empty, and are no files', (context, options) => {
  const { guest } = shareFixture(context, options);
  const dir = nodeidOf(guest.mkdir(1, 'dir'));
  guest.create(dir, 'file');
  assert.equal(guest.unlink(1, 'dir', op.FUSE_RMDIR).error, -ENOTEMPTY);
  assert.equal(guest.open(dir).error, -EISDIR);
  guest.unlink(dir, 'file');
  assert.equal(guest.unlink(1, 'dir', op.FUSE_RMDIR).error, 0);
  assert.equal(guest.lookup(nodeidOf(guest.create(1, 'plain')), 'x').error, -ENOTDIR);
});

testBoth('a listing is complete in small and large pieces, with and without attributes', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  const names = Array.from({ length: 300 }, (_, index) => `file-${index}${'x'.repeat(index % 60)}`);
  for (const name of names) fs.writeFileSync(path(name), '');
  const all = [...names, '.', '..'].sort();
  for (const size of [400, 4096, 65536]) {
    for (const plus of [false, true]) {
      assert.deepEqual(
        guest
          .list(1, { plus, size })
          .map(({ name }) => name)
          .sort(),
        all,
        `${size} ${plus}`,
      );
    }
  }
  const entry = guest.list(1, { plus: true }).find(({ name }) => name === 'file-0');
  assert.equal(entry?.nodeid, guest.walk('file-0'));
  assert.equal(entry?.type, 8);
});

testBoth('a listing goes on where it was although entries come and go', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  for (let index = 0; index < 100; index++) fs.writeFileSync(path(`f${index}`), '');
  const fh = fhOf(guest.call(op.FUSE_OPENDIR, 1, [fields([4, 0], [4, 0])]));
  const seen: string[] = [];
  for (let off = 0n; ; ) {
    const reply = guest.readdir(1, fh, off, { plus: false, size: 256 });
    const part = parseDirents(reply.payload, false);
    if (part.length === 0) break;
    for (const { name } of part) if (name.startsWith('f')) fs.rmSync(path(name));
    seen.push(...part.map(({ name }) => name));
    off = part.at(-1)?.off ?? 0n;
  }
  assert.equal(new Set(seen).size, 102);
  assert.equal(seen.length, 102);
});

testBoth('SETATTR changes mode, size and times of exactly that node', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  fs.writeFileSync(path('file'), 'hello world');
  const nodeid = guest.walk('file');
  const reply = guest.setattr(nodeid, op.FATTR_MODE | op.FATTR_SIZE | op.FATTR_MTIME | op.FATTR_ATIME, {
    mode: 0o100600,
    size: 5,
    mtime: 1_000_000_001,
    mtimensec: 500_000_000,
    atime: 7,
    atimensec: 0,
  });
  assert.equal(reply.error, 0);
  const stat = fs.statSync(path('file'));
  assert.deepEqual([stat.mode, stat.size, stat.mtimeMs, stat.atimeMs], [0o100600, 5, 1_000_000_001_500, 7000]);
  guest.setattr(nodeid, op.FATTR_MTIME_NOW, {});
  assert.ok(Math.abs(fs.statSync(path('file')).mtimeMs - Date.now()) < 60_000);
  assert.equal(fs.statSync(path('file')).atimeMs, 7000);
});

testBoth('new files belong to the caller when this process may give them away', (context, options) => {
  if (process.getuid?.() !== 0) return context.skip('needs root');
  const { guest, path } = shareFixture(context, options);
  guest.uid = 1234;
  guest.gid = 4321;
  assert.equal(attrOf(guest.create(1, 'file', 0o4755), 'uid'), 1234);
  assert.equal(attrOf(guest.mkdir(1, 'dir'), 'gid'), 4321);
  guest.symlink(1, 'link', 'x');
  for (const name of ['file', 'dir', 'link']) {
    const stat = fs.lstatSync(path(name));
    assert.deepEqual([stat.uid, stat.gid], [1234, 4321], name);
  }
  assert.equal(fs.statSync(path('file')).mode, 0o104755);
  assert.equal(guest.setattr(guest.walk('link'), op.FATTR_UID | op.FATTR_GID, { uid: 5, gid: 6 }).error, 0);
  assert.equal(fs.lstatSync(path('link')).uid, 5);
});

testBoth('a write with the kill flag clears set-user-id', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  const made = guest.create(1, 'suid', 0o6755);
  guest.write(nodeidOf(made), fhOf(made, CREATED), 0, Buffer.from('x'), op.FUSE_WRITE_KILL_SUIDGID);
  assert.equal(fs.statSync(path('suid')).mode & 0o7777, 0o755);
});

testBoth('names that are not UTF-8 come and go unchanged', (context, options) => {
  const { guest, root } = shareFixture(context, options);
  const name = '\xff\xfe-\xe9';
  assert.equal(guest.create(1, name).error, 0);
  const onHost = fs.readdirSync(root, { encoding: 'buffer' })[0] as Buffer;
  assert.equal(onHost.toString('latin1'), name);
  assert.ok(guest.list(1, { plus: true }).some((entry) => entry.name === name && entry.nodeid > 1));
});

testBoth('STATFS and FSYNC answer for real files, FLUSH says that it is not needed', (context, options) => {
  const { guest } = shareFixture(context, options);
  const made = guest.create(1, 'file');
  const [nodeid, fh] = [nodeidOf(made), fhOf(made, CREATED)];
  assert.ok(guest.call(op.FUSE_STATFS, 1, []).view.getBigUint64(0, true) > 0n);
  assert.equal(guest.call(op.FUSE_FSYNC, nodeid, [fields([8, fh], [4, 1], [4, 0])]).error, 0);
  assert.equal(guest.call(op.FUSE_FSYNC, nodeid, [fields([8, 99], [4, 1], [4, 0])]).error, -EBADF);
  assert.equal(guest.call(op.FUSE_FLUSH, nodeid, [fields([8, fh], [8, 0], [8, 0])]).error, -ENOSYS);
});

testBoth('a forgotten node is gone, and all descriptors are given back', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  const before = openDescriptors();
  for (let index = 0; index < 50; index++) fs.writeFileSync(path(`f${index}`), '');
  const nodes = Array.from({ length: 50 }, (_, index) => guest.walk(`f${index}`));
  guest.walk('f0');
  for (const nodeid of nodes) guest.forget(nodeid, 1);
  assert.equal(guest.getattr(nodes[1] as number).error, -ENOENT);
  assert.equal(guest.getattr(nodes[0] as number).error, 0);
  guest.forget(nodes[0] as number, 1);
  assert.equal(openDescriptors(), before);
});

testBoth('DESTROY and a new INIT give back what the last mount held', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  fs.writeFileSync(path('file'), '');
  const before = openDescriptors();
  for (const end of [() => guest.call(op.FUSE_DESTROY, 0, []), () => guest.init()]) {
    const nodeid = guest.walk('file');
    guest.open(nodeid);
    end();
    assert.equal(openDescriptors(), before);
    assert.equal(guest.getattr(nodeid).error, -ENOENT);
  }
});

testBoth('more files than descriptors are served, and open files keep working', (context, options) => {
  const { guest, path } = shareFixture(context, { ...options, descriptorsMax: 40 });
  const before = openDescriptors();
  fs.mkdirSync(path('a/b/c'), { recursive: true });
  for (let index = 0; index < 500; index++) fs.writeFileSync(path(`a/b/c/f${index}`), `${index}`);
  const dir = guest.walk('a/b/c');
  const nodes = Array.from({ length: 500 }, (_, index) => nodeidOf(guest.lookup(dir, `f${index}`)));
  assert.ok(openDescriptors() <= before + 40);
  for (const index of [0, 250, 499]) {
    const nodeid = nodes[index] as number;
    const opened = guest.open(nodeid);
    assert.equal(text(guest.read(nodeid, fhOf(opened), 0, 10).payload), `${index}`);
    guest.release(nodeid, fhOf(opened));
  }
  // Asking for attributes needs descriptors too, and never runs out of them.
  for (const nodeid of nodes) assert.equal(guest.getattr(nodeid).error, 0);
  assert.ok(openDescriptors() <= before + 40);
  guest.rename(dir, 'f3', 1, 'elsewhere');
  assert.equal(attrOf(guest.getattr(nodes[3] as number), 'size', ATTR_OUT), 1);
});

test(
  'a mount inside the share is marked for guests that know submounts, and has other inode numbers for the rest',
  LINUX,
  (context) => {
    const share = openPassthrough('/');
    context.after(() => share.close());
    const guest = new FuseClient(new FuseServer(share));
    guest.init();
    const marked = guest.lookup(1, 'proc');
    assert.equal(attrOf(marked, 'flags'), op.FUSE_ATTR_SUBMOUNT);
    assert.equal(attrOf(marked, 'ino'), fs.statSync('/proc').ino);
    guest.init(0xffff_ffff - Number(op.FUSE_SUBMOUNTS));
    const plain = guest.lookup(1, 'proc');
    assert.equal(attrOf(plain, 'flags'), 0);
    assert.notEqual(attrOf(plain, 'ino'), fs.statSync('/proc').ino);
  },
);

testBoth('a chain of directories longer than the descriptors allowed is reached again', (context, options) => {
  const { guest, path } = shareFixture(context, { ...options, descriptorsMax: 24 });
  const deep = Array.from({ length: 60 }, (_, depth) => `d${depth}`).join('/');
  fs.mkdirSync(path(deep), { recursive: true });
  fs.writeFileSync(path(`${deep}/file`), 'deep');
  const nodeid = guest.walk(`${deep}/file`);
  for (let index = 0; index < 50; index++) guest.symlink(1, `l${index}`, 'x');
  const opened = guest.open(nodeid);
  assert.equal(text(guest.read(nodeid, fhOf(opened), 0, 10).payload), 'deep');
});

test('sharing what is not a directory fails with a typed error', () => {
  assert.throws(() => openPassthrough('/dev/null'), ShareError);
  assert.throws(() => openPassthrough('/does/not/exist'), ShareError);
});
