import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { FakeDevice, linkOptions, ownFolder, streamPair } from './link-harness.ts';
import { StreamLink } from './stream-link.ts';

const folder = ownFolder();
let pairs = 0;

async function link() {
  const [ours, peer] = await streamPair(join(folder, `${pairs++}`));
  const { lines, options } = linkOptions();
  const backend = new StreamLink(ours, options);
  return { backend, device: new FakeDevice(backend), peer, lines };
}

function framed(frame: Buffer): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(frame.length);
  return Buffer.concat([prefix, frame]);
}

const FRAME = Buffer.from('a frame of some length');
const LONG = Buffer.alloc(65550, 'long');

const LIMIT = { timeout: 20_000 };

test('frames travel in both directions behind their lengths', LIMIT, async () => {
  const { backend, device, peer } = await link();
  peer.write(Buffer.concat([framed(FRAME), framed(LONG), framed(FRAME)]));
  await device.until(() => device.frames.length === 3);
  assert.deepEqual(device.frames, [FRAME, LONG, FRAME]);
  device.send(FRAME);
  device.send(LONG);
  const got: Buffer[] = [];
  for await (const chunk of peer) {
    got.push(chunk as Buffer);
    if (Buffer.concat(got).length === FRAME.length + LONG.length + 8) break;
  }
  assert.deepEqual(Buffer.concat(got), Buffer.concat([framed(FRAME), framed(LONG)]));
  backend.close();
});

test('a guest without buffers holds the peer up, and loses nothing', LIMIT, async () => {
  const { backend, device, peer } = await link();
  device.credit = 0;
  const count = 200;
  for (let n = 0; n < count; n++) peer.write(framed(LONG));
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(peer.writableLength > (count / 2) * LONG.length, `${peer.writableLength} bytes wait at the peer`);
  device.credit = Number.POSITIVE_INFINITY;
  device.take();
  await device.until(() => device.frames.length === count);
  assert.ok(device.frames.every((frame) => frame.equals(LONG)));
  backend.close();
  peer.destroy();
});

test('a peer that does not read holds the guest up, and hears everything later', LIMIT, async () => {
  const { backend, device, peer } = await link();
  let sent = 0;
  while (device.send(LONG)) {
    sent += 1;
    assert.ok(sent < 1000, 'there is no end');
  }
  let received = 0;
  peer.on('data', (chunk) => {
    received += chunk.length;
  });
  await device.until(() => device.writable > 0);
  assert.equal(device.send(FRAME), true);
  const expected = sent * (LONG.length + 4) + FRAME.length + 4;
  while (received < expected) await once(peer, 'data');
  assert.equal(received, expected);
  backend.close();
});

for (const [what, misbehave, reason] of [
  ['ends', (peer) => peer.end(), /ended the connection/],
  ['ends in the middle of a frame', (peer) => peer.end(framed(FRAME).subarray(0, 9)), /ended the connection/],
  ['announces a huge frame', (peer) => peer.write(Buffer.alloc(100, 0xff)), /longer than 65550 bytes/],
] as [string, (peer: import('node:net').Socket) => void, RegExp][]) {
  test(`when its peer ${what}, the link goes down with one line`, LIMIT, async () => {
    const { backend, device, peer, lines } = await link();
    misbehave(peer);
    await device.until(() => device.linkChanges > 0);
    await once(peer, 'close').catch(() => {});
    assert.equal(backend.isUp, false);
    assert.deepEqual([device.frames.length, lines.length], [0, 1]);
    assert.match(lines[0] ?? '', reason);
    assert.match(lines[0] ?? '', /eth0.*ERR_NET_LINK_DOWN/);
    device.send(FRAME);
    backend.close();
  });
}

test('closing is no loss', LIMIT, async () => {
  const { backend, peer, lines } = await link();
  backend.close();
  await once(peer.resume(), 'close');
  assert.deepEqual(lines, []);
});
