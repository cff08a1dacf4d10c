import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EINVAL } from '../../fuse/errno.ts';
import { UnimplementedFileSystem } from '../../fuse/file-system.ts';
import { nullFs } from '../../fuse/null-fs.ts';
import { Overlay } from '../../fuse/overlay.ts';
import { overlayFs } from '../../fuse/overlay-fs.ts';
import { FUSE_GETATTR, FUSE_INIT, FUSE_IOCTL, FUSE_LOOKUP, FUSE_READ } from '../../fuse/protocol.ts';
import { deviceHarness } from '../../testing/device-harness.ts';
import { readable, writable } from '../../testing/fake-driver.ts';
import { cname, type Field, fields } from '../../testing/fuse-client.ts';
import { virtioFs } from './index.ts';
import { shareTagProblem } from './options.ts';

/** A request in two descriptors, as Linux sends it. */
function request(opcode: number, nodeid: number | bigint, ...body: Uint8Array[]) {
  const length = 40 + body.reduce((sum, part) => sum + part.length, 0);
  const header: Field[] = [
    [4, length],
    [4, opcode],
    [8, 77],
    [8, nodeid],
    [4, 0],
    [4, 0],
    [4, 1],
    [4, 0],
  ];
  return [readable(fields(...header)), ...body.map((part) => readable(part))];
}

const INIT_BODY = fields(
  [4, 7],
  [4, 41],
  [4, 4096],
  [4, 0xffff_ffff],
  [4, 0],
  [8, 0],
  [8, 0],
  [8, 0],
  [8, 0],
  [8, 0],
  [4, 0],
);

function share() {
  const overlay = new Overlay();
  overlay.add({ path: 'file', mode: 0o644, data: new TextEncoder().encode('0123456789') });
  return overlayFs(nullFs(), overlay);
}

test('virtioFs shows its tag padded with zeros and one request queue', () => {
  const fs = deviceHarness(virtioFs, { tag: '/dev/root', fileSystem: nullFs() });
  const bytes = Array.from({ length: 40 }, (_, offset) => fs.driver.config(offset, 1));
  assert.equal(Buffer.from(bytes.slice(0, 36)).toString(), '/dev/root'.padEnd(36, '\0'));
  assert.deepEqual(bytes.slice(36), [1, 0, 0, 0]);
});

test('virtioFs shows a tag of 36 bytes whole', () => {
  const tag = 'x'.repeat(36);
  const fs = deviceHarness(virtioFs, { tag, fileSystem: nullFs() });
  assert.equal(String.fromCharCode(...Array.from({ length: 36 }, (_, at) => fs.driver.config(at, 1))), tag);
});

test('virtioFs has two queues of 1024', () => {
  const fs = deviceHarness(virtioFs, { tag: 'share', fileSystem: nullFs() });
  assert.deepEqual([fs.driver.queueCount, fs.driver.rings(0).size, fs.driver.rings(1).size], [2, 1024, 1024]);
});

test('a request is answered before the notification returns, in all its descriptors', () => {
  const fs = deviceHarness(virtioFs, { tag: 'share', fileSystem: share() });
  fs.driver.add(1, [...request(FUSE_INIT, 0, INIT_BODY), writable(16), writable(64)]);
  const looked = fs.driver.add(1, [...request(FUSE_LOOKUP, 1, cname('file')), writable(16), writable(128)]);
  fs.notify(1);
  assert.deepEqual(
    fs.used(1).map(({ len }) => len),
    [80, 144],
  );
  const entry = fs.driver.written(1, looked);
  const nodeid = new DataView(entry.buffer, entry.byteOffset).getBigUint64(16, true);
  const body = fields([8, 0], [8, 2], [4, 6], [4, 0], [8, 0], [4, 0], [4, 0]);
  const pages = [writable(16), writable(4), writable(4)];
  const head = fs.driver.add(1, [...request(FUSE_READ, nodeid, body), ...pages]);
  fs.notify(1);
  assert.equal(fs.used(1)[0]?.len, 22);
  assert.equal(Buffer.from(fs.driver.written(1, head)).subarray(16, 22).toString(), '234567');
});

test('requests on the high-priority queue are served too, and those without reply use no bytes', () => {
  const fs = deviceHarness(virtioFs, { tag: 'share', fileSystem: nullFs() });
  fs.driver.add(0, request(2, 5, fields([8, 1])));
  fs.notify(0);
  assert.deepEqual(
    fs.used(0).map(({ len }) => len),
    [0],
  );
});

test('a chain that is no FUSE request is given back and the device goes on', () => {
  const fs = deviceHarness(virtioFs, { tag: 'share', fileSystem: share() });
  fs.driver.add(1, [writable(100)]);
  fs.driver.add(1, [readable(39), writable(100)]);
  const short = fs.driver.add(1, [...request(FUSE_LOOKUP, 1, cname('a/b')), writable(16), writable(128)]);
  fs.driver.add(1, [...request(FUSE_GETATTR, 1, new Uint8Array(16)), writable(16), writable(104)]);
  fs.notify(1);
  assert.deepEqual(
    fs.used(1).map(({ len }) => len),
    [0, 0, 16, 120],
  );
  const reply = fs.driver.written(1, short);
  assert.equal(new DataView(reply.buffer, reply.byteOffset).getInt32(4, true), -EINVAL);
});

test("the workload's exit status is handed to the machine", () => {
  const codes: number[] = [];
  const fs = deviceHarness(virtioFs, {
    tag: '/dev/root',
    fileSystem: nullFs(),
    onExitCode: (code) => codes.push(code),
  });
  const body = fields([8, 0], [4, 0], [4, 0x7602], [8, 125], [4, 0], [4, 0]);
  fs.driver.add(1, [...request(FUSE_IOCTL, 1, body), writable(16), writable(16)]);
  fs.notify(1);
  assert.deepEqual(codes, [125]);
});

test('a reset drops what the guest held', () => {
  let destroyed = 0;
  const fileSystem = new (class extends UnimplementedFileSystem {
    override destroy(): void {
      destroyed++;
    }
  })();
  const fs = deviceHarness(virtioFs, { tag: 'share', fileSystem });
  fs.driver.write('Status', 0);
  assert.equal(destroyed, 1);
});

test('tags that do not fit or name nothing are refused', () => {
  assert.equal(shareTagProblem('/dev/root'), undefined);
  assert.equal(shareTagProblem('é'.repeat(18)), undefined);
  for (const tag of ['', 'x'.repeat(37), 'é'.repeat(19), 'a\0b']) assert.notEqual(shareTagProblem(tag), undefined);
});
