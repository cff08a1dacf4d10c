import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attrOf, cname, FuseClient, fields, nodeidOf } from '../testing/fuse-client.ts';
import { EINVAL, EIO, ENOENT, ENOMEM, ENOSYS, EOPNOTSUPP, EOVERFLOW, EPROTO } from './errno.ts';
import { type AttrChange, type DirentSink, type Entry, type Name, UnimplementedFileSystem } from './file-system.ts';
import * as op from './protocol.ts';
import { FuseServer } from './server.ts';

/** Remembers what it was asked; knows one file, number 2, named "file". */
class ProbeFs extends UnimplementedFileSystem {
  override readonly wants = op.FUSE_DO_READDIRPLUS;
  readonly calls: unknown[][] = [];
  readonly content = Uint8Array.from({ length: 10000 }, (_, index) => index & 0xff);
  destroyed = 0;

  override destroy(): void {
    this.destroyed++;
  }
  override lookup(parent: number, name: Name, entry: Entry): number {
    this.calls.push(['lookup', parent, Buffer.from(name).toString('latin1')]);
    if (Buffer.from(name).toString() !== 'file') return -ENOENT;
    entry.nodeid = 2;
    entry.entryValidS = 5;
    entry.attrValidS = 5;
    entry.attr.inoLow = 0xffff_fffe;
    entry.attr.inoHigh = 0x8000_0001;
    entry.attr.size = 2 ** 40 + 7;
    entry.attr.mtime = -1;
    entry.attr.mtimeNs = 999_999_999;
    entry.attr.mode = 0o100644;
    return 0;
  }
  override forget(nodeid: number, nlookup: number): void {
    this.calls.push(['forget', nodeid, nlookup]);
  }
  override setattr(_nodeid: number, _fh: number, change: AttrChange): number {
    this.calls.push(['setattr', change]);
    return -ENOENT;
  }
  override read(_nodeid: number, fh: number, into: readonly Uint8Array[], offset: number): number {
    this.calls.push(['read', fh, into.length, offset]);
    let at = offset;
    for (const buffer of into) {
      const part = this.content.subarray(at, at + buffer.length);
      buffer.set(part);
      at += part.length;
    }
    return Math.max(at - offset, 0);
  }
  override write(_nodeid: number, _fh: number, from: readonly Uint8Array[], offset: number, flags: number): number {
    this.calls.push(['write', Buffer.concat(from).toString(), offset, flags]);
    return from.reduce((sum, part) => sum + part.length, 0);
  }
  override readdir(_nodeid: number, _fh: number, _offset: unknown, sink: DirentSink): number {
    const name = Buffer.from('entry');
    for (let off = 1; sink.fits(name.length); off++) {
      sink.add({ inoLow: 9, inoHigh: 0, offLow: off, offHigh: 0, type: 8, name }, null);
    }
    return 0;
  }
  override getxattr(_nodeid: number, _name: Name, into: Uint8Array): number {
    if (into.length > 0) into.set(Buffer.from('value'));
    return 5;
  }
}

function setUp(onExitCode?: (code: number) => void): { fs: ProbeFs; server: FuseServer; client: FuseClient } {
  const fs = new ProbeFs();
  const server = new FuseServer(fs, onExitCode === undefined ? {} : { onExitCode });
  return { fs, server, client: new FuseClient(server) };
}

test('INIT answers version 7.27, the limits, and only capabilities that both sides have', () => {
  const { view, error } = setUp().client.init(0xffff_ffff, 0xffff_ffff);
  assert.equal(error, 0);
  assert.deepEqual([view.getUint32(0, true), view.getUint32(4, true)], [7, 27]);
  assert.equal(view.getUint32(op.fuse_init_out.max_readahead, true), 131072);
  assert.equal(view.getUint16(op.fuse_init_out.max_background, true), 65535);
  assert.equal(view.getUint16(op.fuse_init_out.congestion_threshold, true), 49149);
  assert.equal(view.getUint32(op.fuse_init_out.max_write, true), 0x100000);
  assert.equal(view.getUint32(op.fuse_init_out.time_gran, true), 1);
  assert.equal(view.getUint16(op.fuse_init_out.max_pages, true), 256);
  const bits = [0, 3, 5, 11, 12, 13, 15, 18, 22, 27, 28, 30].reduce((sum, bit) => sum + 2 ** bit, 0);
  assert.equal(view.getUint32(op.fuse_init_out.flags, true), bits);
  assert.equal(view.getUint32(op.fuse_init_out.flags2, true), 1 << 8);
});

test('INIT ignores the upper flags of a guest without FUSE_INIT_EXT', () => {
  const { view } = setUp().client.init(0xbfff_ffff, 0xffff_ffff);
  assert.equal(view.getUint32(op.fuse_init_out.flags2, true), 0);
});

test('INIT refuses a guest older than 7.27 and asks a newer major version to come back', () => {
  const { client } = setUp();
  assert.equal(client.init(0, 0, [7, 26]).error, -EPROTO);
  assert.equal(client.init(0, 0, [6, 99]).error, -EPROTO);
  const newer = client.init(0xffff_ffff, 0, [8, 0]);
  assert.deepEqual([newer.error, newer.view.getUint32(0, true), newer.view.getUint32(12, true)], [0, 7, 0]);
});

test('LOOKUP carries 64-bit inode numbers, large sizes and times before 1970 exactly', () => {
  const reply = setUp().client.lookup(1, 'file');
  assert.equal(reply.payload.length, 128);
  assert.equal(nodeidOf(reply), 2);
  assert.equal(reply.view.getBigUint64(40, true), 0x8000_0001_ffff_fffen);
  assert.equal(attrOf(reply, 'size'), 2 ** 40 + 7);
  assert.equal(attrOf(reply, 'mtime'), -1);
  assert.equal(attrOf(reply, 'mtimensec'), 999_999_999);
});

test('a name that is not one path component never reaches the file system', () => {
  const { client, fs } = setUp();
  for (const name of ['', '.', '..', 'a/b', '/', '../file', 'x'.repeat(1025)]) {
    assert.equal(client.lookup(1, name).error, -EINVAL, JSON.stringify(name));
    assert.equal(client.unlink(1, name).error, -EINVAL);
    assert.equal(client.rename(1, 'file', 1, name).error, -EINVAL);
    assert.equal(client.mkdir(1, name).error, -EINVAL);
  }
  const noTerminator = client.call(op.FUSE_LOOKUP, 1, [Buffer.from('file')]);
  assert.equal(noTerminator.error, -EINVAL);
  assert.deepEqual(fs.calls, []);
});

test('READ fills scattered buffers in place and answers what there was', () => {
  const { client, fs } = setUp();
  client.segmentBytes = 1000;
  const reply = client.read(2, 7n, 5000, 8000);
  assert.deepEqual(Buffer.from(reply.payload), Buffer.from(fs.content.subarray(5000)));
  assert.deepEqual(fs.calls, [['read', 7, 8, 5000]]);
});

test('WRITE hands scattered data over in order', () => {
  const { client, fs } = setUp();
  client.segmentBytes = 3;
  const reply = client.write(2, 7n, 99, Buffer.from('hello, world'), op.FUSE_WRITE_KILL_SUIDGID);
  assert.equal(reply.view.getUint32(0, true), 12);
  assert.deepEqual(fs.calls, [['write', 'hello, world', 99, op.FUSE_WRITE_KILL_SUIDGID]]);
});

test('WRITE of more bytes than the request holds is refused', () => {
  const { client, fs } = setUp();
  const body = fields([8, 7], [8, 0], [4, 100], [4, 0], [8, 0], [4, 0], [4, 0]);
  assert.equal(client.call(op.FUSE_WRITE, 2, [body, new Uint8Array(99)]).error, -EINVAL);
  assert.deepEqual(fs.calls, []);
});

test('READ, WRITE and READDIR of more than 1 MiB are refused with ENOMEM', () => {
  const { client } = setUp();
  const body = fields([8, 7], [8, 0], [4, 0x100001], [4, 0], [8, 0], [4, 0], [4, 0]);
  for (const opcode of [op.FUSE_READ, op.FUSE_WRITE, op.FUSE_READDIR, op.FUSE_READDIRPLUS]) {
    assert.equal(client.call(opcode, 2, [body]).error, -ENOMEM);
  }
});

test('a negative or absurd offset is refused', () => {
  const { client, fs } = setUp();
  assert.equal(client.read(2, 7n, -1n, 10).error, -EINVAL);
  assert.equal(client.read(2, 7n, 2n ** 60n, 10).error, -EINVAL);
  assert.equal(client.write(2, 7n, 2n ** 63n, new Uint8Array(1)).error, -EINVAL);
  assert.deepEqual(fs.calls, []);
});

test('READDIR fills the reply with whole entries only', () => {
  const { client } = setUp();
  const { payload } = client.readdir(1, 0n, 0n, { plus: false, size: 100 });
  assert.equal(payload.length, 96);
  const plus = client.readdir(1, 0n, 0n, { plus: true, size: 100 });
  assert.equal(plus.payload.length, 0);
});

test('GETXATTR of size 0 answers the length, otherwise the value', () => {
  const { client } = setUp();
  const ask = (size: number) => client.call(op.FUSE_GETXATTR, 2, [fields([4, size], [4, 0]), cname('user.a')]);
  assert.equal(ask(0).view.getUint32(0, true), 5);
  assert.equal(Buffer.from(ask(100).payload).toString(), 'value');
});

test('FORGET and BATCH_FORGET are not answered, and a batch counts only what it holds', () => {
  const { client, fs } = setUp();
  client.forget(2, 3);
  const two = [fields([8, 4], [8, 1]), fields([8, 5], [8, 2])];
  const reply = client.call(op.FUSE_BATCH_FORGET, 0, [fields([4, 1_000_000], [4, 0]), ...two]);
  assert.equal(reply.payload.length, 0);
  assert.deepEqual(fs.calls, [
    ['forget', 2, 3],
    ['forget', 4, 1],
    ['forget', 5, 2],
  ]);
});

test('the exit status arrives by ioctl 0x7602 and is a signed number; other ioctls are not supported', () => {
  const codes: number[] = [];
  const { client } = setUp((code) => codes.push(code));
  const ioctl = (cmd: number, arg: number) =>
    client.call(op.FUSE_IOCTL, 1, [fields([8, 0], [4, 0], [4, cmd], [8, arg], [4, 0], [4, 0])]);
  assert.equal(ioctl(0x7602, 7).payload.length, 16);
  ioctl(0x7602, 0xffff_ffff);
  assert.equal(ioctl(0x5401, 1).error, -EOPNOTSUPP);
  assert.deepEqual(codes, [7, -1]);
});

test('unknown operations and those not offered answer ENOSYS', () => {
  const { client } = setUp();
  const notServed = [0, 7, 19, 31, 32, 33, 37, 40, 41, op.FUSE_SETUPMAPPING, op.FUSE_REMOVEMAPPING, 63, 64, 4096];
  for (const opcode of notServed) assert.equal(client.call(opcode, 1, [new Uint8Array(128)]).error, -ENOSYS);
});

test('every operation refuses a request shorter than its own structure', () => {
  const { client } = setUp();
  const bare: number[] = [op.FUSE_READLINK, op.FUSE_STATFS, op.FUSE_INTERRUPT, op.FUSE_DESTROY];
  const unanswered: number[] = [op.FUSE_FORGET, op.FUSE_BATCH_FORGET];
  for (let opcode = 1; opcode < 53; opcode++) {
    const { error } = client.call(opcode, 2, []);
    if (unanswered.includes(opcode)) assert.equal(error, 0);
    else if (!bare.includes(opcode)) assert.ok(error === -EINVAL || error === -ENOSYS, `opcode ${opcode}: ${error}`);
  }
});

test('a header that claims more or less than there is gets an error, a cut header nothing', () => {
  const { server } = setUp();
  const header = (len: number) => fields([4, len], [4, 1], [8, 1], [8, 1], [4, 0], [4, 0], [4, 0], [4, 0]);
  const room = new Uint8Array(64);
  const errorFor = (request: Uint8Array[]): number => {
    assert.equal(server.handle(request, [room]), 16);
    return new DataView(room.buffer).getInt32(4, true);
  };
  assert.equal(errorFor([header(41)]), -EIO);
  assert.equal(errorFor([header(39)]), -EIO);
  assert.equal(errorFor([header(0)]), -EIO);
  assert.equal(errorFor([header(0x101001)]), -ENOMEM);
  assert.equal(server.handle([header(40).subarray(0, 39)], [room]), 0);
  assert.equal(server.handle([], [room]), 0);
});

test('a reply that does not fit becomes an error, and no room at all is survived', () => {
  const { server } = setUp();
  const request = [fields([4, 45], [4, 1], [8, 1], [8, 1], [4, 0], [4, 0], [4, 0], [4, 0]), cname('file')];
  const room = new Uint8Array(143);
  assert.equal(server.handle(request, [room]), 16);
  assert.equal(new DataView(room.buffer).getInt32(4, true), -EOVERFLOW);
  assert.equal(server.handle(request, [new Uint8Array(15)]), 0);
  assert.equal(server.handle(request, []), 0);
});

test('a request is read once: what the guest changes while it is served has no effect', () => {
  const { fs, server } = setUp();
  const name = cname('file');
  const request = [fields([4, 45], [4, 1], [8, 1], [8, 1], [4, 0], [4, 0], [4, 0], [4, 0]), name];
  fs.lookup = (_parent, seen, _entry) => {
    name.set(Buffer.from('../x'));
    fs.calls.push([Buffer.from(seen).toString()]);
    return -ENOENT;
  };
  server.handle(request, [new Uint8Array(16)]);
  assert.deepEqual(fs.calls, [['file']]);
});

test('DESTROY reaches the file system and is answered', () => {
  const { client, fs } = setUp();
  assert.equal(client.call(op.FUSE_DESTROY, 0, []).error, 0);
  assert.equal(fs.destroyed, 1);
});

test('SETATTR hands over sizes, signed times and bounded nanoseconds', () => {
  const { client, fs } = setUp();
  client.setattr(2, op.FATTR_SIZE | op.FATTR_MTIME, { size: 2 ** 33, mtime: -5, mtimensec: 2_000_000_001 });
  const change = fs.calls[0]?.[1] as AttrChange;
  assert.deepEqual([change.size, change.mtime, change.mtimeNs], [2 ** 33, -5, 1]);
});
