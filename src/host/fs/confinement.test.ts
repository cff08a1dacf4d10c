import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { EACCES, EBADF, EINVAL, EISDIR, ENOENT, ENOTDIR, EOPNOTSUPP, ESTALE } from '../../fuse/errno.ts';
import * as op from '../../fuse/protocol.ts';
import { FuseServer } from '../../fuse/server.ts';
import { attrOf, FuseClient, fhOf, fields, nodeidOf } from '../../testing/fuse-client.ts';
import { openPassthrough } from '../passthrough-fs.ts';
import type { HostCalls } from './host-calls.ts';
import { shareFixture, testBoth, testNative } from './share-fixture.test.ts';

const S_IFLNK = 0o120000;

testBoth('a link that points outside is a link and nothing can be done through it', (context, options) => {
  const { guest, path, outside } = shareFixture(context, options);
  fs.writeFileSync(join(outside, 'secret'), 'secret', { mode: 0o600 });
  fs.symlinkSync(outside, path('dir'));
  fs.symlinkSync(join(outside, 'secret'), path('file'));
  fs.symlinkSync('/proc/self/fd', path('magic'));
  for (const name of ['dir', 'file', 'magic']) {
    const found = guest.lookup(1, name);
    const link = nodeidOf(found);
    assert.equal(attrOf(found, 'mode') & 0o170000, S_IFLNK);
    assert.ok([-ENOTDIR, -ENOENT].includes(guest.lookup(link, 'secret').error));
    assert.equal(guest.open(link).error, -EINVAL);
    assert.equal(guest.open(link, 0o1).error, -EINVAL);
    assert.ok(guest.create(link, 'new').error < 0);
    assert.ok(guest.mkdir(link, 'new').error < 0);
    assert.ok(guest.unlink(link, 'secret').error < 0);
    assert.ok(guest.rename(link, 'secret', 1, 'stolen').error < 0);
    assert.equal(guest.call(op.FUSE_OPENDIR, link, [fields([4, 0], [4, 0])]).error, -ENOTDIR);
    assert.ok(guest.setattr(link, op.FATTR_SIZE, { size: 0 }).error < 0);
    guest.setattr(link, op.FATTR_MODE, { mode: 0o777 });
  }
  assert.equal(fs.readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
  assert.equal(fs.statSync(join(outside, 'secret')).mode & 0o777, 0o600);
  assert.deepEqual(fs.readdirSync(outside), ['secret']);
});

testBoth('creating over a link does not create or open what it points to', (context, options) => {
  const { guest, path, outside } = shareFixture(context, options);
  fs.writeFileSync(join(outside, 'there'), 'old');
  fs.symlinkSync(join(outside, 'there'), path('there'));
  fs.symlinkSync(join(outside, 'new'), path('new'));
  assert.ok(guest.create(1, 'there', 0o644, 0o1001).error < 0);
  assert.ok(guest.create(1, 'new').error < 0);
  assert.equal(fs.readFileSync(join(outside, 'there'), 'utf8'), 'old');
  assert.deepEqual(fs.readdirSync(outside), ['there']);
});

testBoth('node ids that were never given out lead nowhere', (context, options) => {
  const { guest } = shareFixture(context, options);
  for (const nodeid of [0, 2, 3, 2 ** 32, 2 ** 48, Number.MAX_SAFE_INTEGER]) {
    assert.equal(guest.getattr(nodeid).error, -ENOENT);
    assert.equal(guest.lookup(nodeid, 'x').error, -ENOENT);
    assert.equal(guest.open(nodeid).error, -ENOENT);
  }
});

testBoth('a handle works only with the node it belongs to', (context, options) => {
  const { guest } = shareFixture(context, options);
  const one = guest.create(1, 'one');
  const two = guest.create(1, 'two');
  assert.equal(guest.read(nodeidOf(one), fhOf(two, 128), 0, 1).error, -EBADF);
  assert.equal(guest.release(nodeidOf(one), fhOf(two, 128)).error, -EBADF);
});

testBoth('a directory that is moved out of the share stays reachable only by who held it', (context, options) => {
  const { guest, path, outside } = shareFixture(context, options);
  fs.mkdirSync(path('dir'));
  fs.writeFileSync(path('dir/inner'), 'inner');
  fs.writeFileSync(join(outside, 'secret'), 'secret');
  const dir = guest.walk('dir');
  fs.renameSync(path('dir'), join(outside, 'dir'));
  assert.equal(guest.lookup(dir, 'inner').error, 0);
  assert.equal(guest.lookup(dir, '..').error, -EINVAL);
  assert.equal(guest.lookup(1, 'dir').error, -ENOENT);
});

testBoth('a directory swapped for a link while it is held does not redirect anything', (context, options) => {
  const { guest, path, outside } = shareFixture(context, options);
  fs.mkdirSync(path('dir'));
  const dir = guest.walk('dir');
  fs.renameSync(path('dir'), path('aside'));
  fs.symlinkSync(outside, path('dir'));
  assert.equal(guest.create(dir, 'file').error, 0);
  assert.deepEqual(fs.readdirSync(path('aside')), ['file']);
  assert.deepEqual(fs.readdirSync(outside), []);
});

testBoth('a node whose descriptor was closed is stale when its place holds something else', (context, options) => {
  const { guest, path, outside } = shareFixture(context, { ...options, descriptorsMax: 16 });
  fs.writeFileSync(join(outside, 'secret'), 'secret');
  fs.mkdirSync(path('dir'));
  fs.writeFileSync(path('dir/secret'), 'mine');
  const victim = guest.walk('dir/secret');
  for (let index = 0; index < 40; index++) fs.writeFileSync(path(`f${index}`), '');
  for (let round = 0; round < 3; round++) for (let index = 0; index < 40; index++) guest.walk(`f${index}`);
  fs.renameSync(path('dir'), path('aside'));
  fs.symlinkSync(outside, path('dir'));
  const opened = guest.open(victim);
  // Reached by descriptors alone it is still our file; by name the link stops it.
  if (opened.error === 0) assert.equal(guest.read(victim, fhOf(opened), 0, 9).payload.length, 4);
  else assert.ok([-ESTALE, -ENOTDIR].includes(opened.error), `${opened.error}`);
});

testBoth(
  'whenever a directory and a link change places, between any two calls, nothing outside is seen',
  (context, options) => {
    const outcomes = new Set<string>();
    for (let moment = 0; moment < 24; moment++) {
      const swap = new SwapAt(moment);
      const { guest, path, outside } = shareFixture(context, { ...options, intercept: swap.intercept });
      fs.writeFileSync(join(outside, 'canary'), 'outside');
      fs.mkdirSync(path('place'));
      fs.writeFileSync(path('place/canary'), 'inside');
      fs.symlinkSync(outside, path('link'));
      swap.arm(() => {
        fs.renameSync(path('place'), path('aside'));
        fs.renameSync(path('link'), path('place'));
      });
      outcomes.add(readThrough(guest));
      guest.create(guest.lookup(1, 'place').error === 0 ? guest.walk('place') : 1, 'made');
      assert.deepEqual(fs.readdirSync(outside), ['canary']);
    }
    // Both happen: what was held before the swap goes on, what comes after meets the link.
    assert.deepEqual([...outcomes].sort(), ['', 'inside']);
  },
);

/** Lets something happen on the host just before its nth file call. */
class SwapAt {
  #left: number;
  #act: (() => void) | null = null;

  constructor(moment: number) {
    this.#left = moment;
  }

  arm(act: () => void): void {
    this.#act = act;
  }

  readonly intercept = (calls: HostCalls): HostCalls =>
    new Proxy(calls, {
      get: (target, property: keyof HostCalls) => {
        if (this.#act !== null && this.#left-- === 0) this.#act();
        return target[property];
      },
    });
}

/** What place/canary holds, or nothing if it cannot be reached. */
function readThrough(guest: FuseClient): string {
  const dir = guest.lookup(1, 'place');
  if (dir.error !== 0) return '';
  const file = guest.lookup(nodeidOf(dir), 'canary');
  if (file.error !== 0) return '';
  const opened = guest.open(nodeidOf(file));
  if (opened.error !== 0) return '';
  return Buffer.from(guest.read(nodeidOf(file), fhOf(opened), 0, 20).payload).toString();
}

testNative('pipes, sockets and devices exist as nodes but are never opened on the host', (context, options) => {
  const { guest, path } = shareFixture(context, options);
  const mknod = (name: string, mode: number, rdev = 0) =>
    guest.call(op.FUSE_MKNOD, 1, [fields([4, mode], [4, rdev], [4, 0], [4, 0]), Buffer.from(`${name}\0`)]);
  const pipe = mknod('pipe', 0o010644);
  assert.equal(attrOf(pipe, 'mode'), 0o010644);
  assert.ok(fs.statSync(path('pipe')).isFIFO());
  assert.equal(guest.open(nodeidOf(pipe)).error, -EINVAL);
  assert.equal(guest.create(1, 'pipe', 0o644, 0o1).error, -EINVAL);
  assert.equal(guest.setattr(nodeidOf(pipe), op.FATTR_SIZE, { size: 0 }).error, -EINVAL);
  if (process.getuid?.() !== 0) return;
  const device = mknod('device', 0o020600, (1 << 8) | 3);
  if (device.error !== 0) return;
  assert.equal(attrOf(device, 'rdev'), (1 << 8) | 3);
  assert.equal(guest.open(nodeidOf(device)).error, -EINVAL);
});

testBoth('a regular file is never opened with flags that could block or escape', (context, options) => {
  const { guest } = shareFixture(context, options);
  const made = guest.create(1, 'file');
  const [O_PATH, O_TMPFILE, O_DIRECTORY] = [0o10000000, 0o20200000, 0o200000];
  for (const flag of [O_PATH, O_TMPFILE, O_DIRECTORY]) assert.equal(guest.open(nodeidOf(made), flag).error, 0);
  assert.equal(guest.open(nodeidOf(made), 0o3).error, -EINVAL);
  assert.equal(guest.open(1).error, -EISDIR);
  const missing = guest.call(op.FUSE_IOCTL, 1, [fields([8, 0], [4, 0], [4, 0x5401], [8, 0], [4, 0], [4, 0])]);
  assert.equal(missing.error, -EOPNOTSUPP);
});

testBoth('the memory of this process is not a file that a share of the root would give away', (context, options) => {
  const share = openPassthrough('/', options);
  context.after(() => share.close());
  const guest = new FuseClient(new FuseServer(share));
  guest.init();
  const memory = guest.walk(`proc/${process.pid}/mem`);
  for (const flags of [0, 1, 2]) assert.equal(guest.open(memory, flags).error, -EACCES);
  assert.equal(guest.create(guest.walk(`proc/${process.pid}`), 'mem', 0o600, 2).error < 0, true);
  assert.equal(guest.open(guest.walk('proc/version')).error, -EACCES);
  const link = nodeidOf(guest.lookup(guest.walk(`proc/${process.pid}`), 'root'));
  assert.equal(guest.lookup(link, 'etc').error, -ENOTDIR);
});
