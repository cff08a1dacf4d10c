import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadNetworkCalls, type NetworkCalls } from '../../native/network.ts';
import { FakeDevice, linkOptions, ownFolder } from './link-harness.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from './linux.ts';
import { PacketLink } from './packet-link.ts';
import { socketAddress, withSocketPath } from './socket-path.ts';
import { openDatagramLink } from './unix-datagram.ts';

const calls = loadNetworkCalls() as NetworkCalls;
const LIMIT = { timeout: 20_000, skip: calls === null && 'no koffi here' };
const folder = ownFolder();
const DATAGRAM = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

function link({ hasHeaders = false } = {}) {
  const pair = calls.socketpair(AF_UNIX, DATAGRAM);
  assert.ok(typeof pair !== 'number');
  const [ours, peer] = pair;
  const { lines, options } = linkOptions();
  const backend = new PacketLink(calls, ours, { ...options, hasHeaders });
  return { backend, device: new FakeDevice(backend), peer, lines };
}

function receive(fd: number): Buffer | undefined {
  const buffer = Buffer.alloc(70_000);
  const length = calls.read(fd, buffer);
  return length < 0 ? undefined : buffer.subarray(0, length);
}

const FRAME = Buffer.from('a frame of some length');
const frameOf = (n: number): Buffer => Buffer.from(`frame number ${String(n).padStart(6)}`);
const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

test('each frame is one datagram, in both directions', LIMIT, async () => {
  const { backend, device, peer } = link();
  const long = Buffer.alloc(65550, 'long');
  calls.write(peer, FRAME);
  calls.write(peer, long);
  await device.until(() => device.frames.length === 2);
  assert.deepEqual(device.frames, [FRAME, long]);
  device.send(FRAME);
  device.send(long);
  assert.deepEqual([receive(peer), receive(peer), receive(peer)], [FRAME, long, undefined]);
  backend.close();
  calls.close(peer);
});

test('datagrams that are no frames are passed over: empty, short, and too long ones', LIMIT, async () => {
  const { backend, device, peer } = link();
  for (let n = 0; n < 3; n++) {
    for (const length of [0, 13, 65551 + 12, 0]) calls.write(peer, Buffer.alloc(length));
    calls.write(peer, frameOf(n));
    await device.until(() => device.frames.length === n + 1);
  }
  assert.deepEqual(device.frames, [0, 1, 2].map(frameOf));
  backend.close();
  calls.close(peer);
});

test('a guest without buffers leaves datagrams with the host, and gets them in order later', LIMIT, async () => {
  const { backend, device, peer } = link();
  device.credit = 0;
  let sent = 0;
  for (let rounds = 0; rounds < 3; rounds++) {
    while (calls.write(peer, frameOf(sent)) > 0) sent += 1;
    await later();
  }
  assert.ok(sent > 5 && sent < 10_000, `${sent}`);
  device.credit = Number.POSITIVE_INFINITY;
  device.take();
  await device.until(() => device.frames.length === sent);
  assert.deepEqual(
    device.frames,
    Array.from({ length: sent }, (_, n) => frameOf(n)),
  );
  backend.close();
  calls.close(peer);
});

test('a peer that does not read holds the guest up, and hears everything in order', LIMIT, async () => {
  const { backend, device, peer } = link();
  let sent = 0;
  while (device.send(frameOf(sent))) sent += 1;
  assert.ok(sent > 5 && sent < 10_000, `${sent}`);
  const heard: Buffer[] = [];
  const hear = (): void => {
    for (let one = receive(peer); one !== undefined; one = receive(peer)) heard.push(one);
  };
  hear();
  await device.until(() => device.writable > 0);
  device.send(frameOf(sent));
  hear();
  assert.deepEqual(
    heard,
    Array.from({ length: sent + 1 }, (_, n) => frameOf(n)),
  );
  backend.close();
  calls.close(peer);
});

test('empty datagrams do not lose a frame that waits for room', LIMIT, async () => {
  const { backend, device, peer } = link();
  let sent = 0;
  while (device.send(frameOf(sent))) sent += 1;
  calls.write(peer, Buffer.alloc(0));
  await later();
  const heard: Buffer[] = [];
  while (heard.length < sent) {
    const one = receive(peer);
    if (one === undefined) await later();
    else heard.push(one);
  }
  assert.deepEqual(heard.at(-1), frameOf(sent - 1));
  backend.close();
  calls.close(peer);
});

test('when its peer is gone, the link goes down with one line', LIMIT, () => {
  const { backend, device, peer, lines } = link();
  calls.close(peer);
  device.send(FRAME);
  device.send(FRAME);
  assert.deepEqual([backend.isUp, device.linkChanges, lines.length], [false, 1, 1]);
  assert.match(lines[0] ?? '', /eth0.*E(PIPE|CONNREFUSED|NOTCONN|CONNRESET).*ERR_NET_LINK_DOWN/);
  backend.close();
});

test('frames of a device with headers are longer by 12 bytes', LIMIT, async () => {
  const { backend, device, peer } = link({ hasHeaders: true });
  calls.write(peer, Buffer.alloc(25));
  calls.write(peer, Buffer.alloc(26, 1));
  await device.until(() => device.frames.length === 1);
  assert.equal(device.frames[0]?.length, 26);
  backend.close();
  calls.close(peer);
});

for (const [what, ...parts] of [
  ['a path', 'peer.sock'],
  ['a path longer than an address', 'd'.repeat(120), 'peer.sock'],
] as [string, ...string[]][]) {
  test(`a peer at ${what} is greeted, and answers to our name, which is gone afterwards`, LIMIT, async () => {
    const path = join(folder, ...parts);
    mkdirSync(join(folder, ...parts.slice(0, -1)), { recursive: true });
    const peer = calls.socket(AF_UNIX, DATAGRAM);
    withSocketPath(path, (name) => assert.equal(calls.bind(peer, socketAddress(name)), 0));
    const { options } = linkOptions();
    const backend = openDatagramLink(calls, { path, vfkit: true }, options);
    assert.equal(receive(peer)?.toString(), 'VFKT');
    const names = readdirSync(tmpdir()).filter((name) => name.startsWith(`krun-net-${process.pid}-`));
    assert.equal(names.length, 1);
    const own = join(tmpdir(), names[0] ?? '');
    assert.equal(calls.connect(peer, socketAddress(own)), 0);
    const device = new FakeDevice(backend);
    calls.write(peer, FRAME);
    await device.until(() => device.frames.length === 1);
    backend.close();
    assert.equal(existsSync(own), false);
    assert.ok(calls.write(peer, FRAME) < 0);
    calls.close(peer);
  });
}
