import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  VIRTIO_VSOCK_OP_CREDIT_REQUEST,
  VIRTIO_VSOCK_OP_CREDIT_UPDATE,
  VIRTIO_VSOCK_OP_REQUEST,
  VIRTIO_VSOCK_OP_RESPONSE,
  VIRTIO_VSOCK_OP_RST,
  VIRTIO_VSOCK_OP_RW,
  VIRTIO_VSOCK_OP_SHUTDOWN,
  VIRTIO_VSOCK_TYPE_STREAM,
} from './protocol.ts';
import { FakeHost, FakeStream, ScriptedGuest } from './vsock-harness.ts';

const REQUEST = { op: VIRTIO_VSOCK_OP_REQUEST, src_port: 50, dst_port: 1234 };
const at = (op: number, more = {}) => ({ op, src_port: 50, dst_port: 1234, ...more });

/** A guest with an open connection from its port 50 to service 1234. */
function connected(credit = {}) {
  const host = new FakeHost();
  const guest = new ScriptedGuest(host.backend());
  guest.send({ ...REQUEST, ...credit });
  const { stream } = host.streams[0] as { stream: FakeStream };
  stream.events?.onConnected();
  const [response] = guest.exchange(1);
  return { host, guest, stream, response };
}

test('a request is answered when the host is connected, with our credit and ports', () => {
  const host = new FakeHost();
  const guest = new ScriptedGuest(host.backend());
  guest.offer(4);
  guest.send(REQUEST);
  assert.deepEqual(guest.received(), []);
  host.streams[0]?.stream.events?.onConnected();
  const [response] = guest.received();
  assert.deepEqual(
    [response?.op, response?.type, response?.src_cid, response?.dst_cid, response?.src_port, response?.dst_port],
    [VIRTIO_VSOCK_OP_RESPONSE, VIRTIO_VSOCK_TYPE_STREAM, 2, 3, 1234, 50],
  );
  assert.equal(response?.buf_alloc, 1 << 20);
  assert.ok(host.streams[0]?.stream.flowing);
});

test('a port without a service, a host that refuses, and packets of unknown connections are reset', () => {
  const host = new FakeHost();
  const guest = new ScriptedGuest(host.backend());
  guest.send({ ...REQUEST, dst_port: 9 });
  guest.send(REQUEST);
  host.streams[0]?.stream.events?.onClosed(111);
  guest.send(at(VIRTIO_VSOCK_OP_RW, { src_port: 51 }), new Uint8Array(3));
  guest.send(at(VIRTIO_VSOCK_OP_RST, { src_port: 52 }));
  guest.send(at(VIRTIO_VSOCK_OP_RW, { src_port: 53, type: 2 }));
  const packets = guest.exchange().map(({ op, type, src_port, dst_port }) => [op, type, src_port, dst_port]);
  assert.deepEqual(packets, [
    [VIRTIO_VSOCK_OP_RST, 1, 9, 50],
    [VIRTIO_VSOCK_OP_RST, 1, 1234, 50],
    [VIRTIO_VSOCK_OP_RST, 1, 1234, 51],
    [VIRTIO_VSOCK_OP_RST, 2, 1234, 53],
  ]);
});

test('packets from or to other addresses are dropped', () => {
  const host = new FakeHost();
  const guest = new ScriptedGuest(host.backend());
  guest.send({ ...REQUEST, dst_cid: 9 });
  guest.send({ ...REQUEST, src_cid: 4 });
  assert.deepEqual([guest.exchange(), host.streams], [[], []]);
});

test('a packet that claims more bytes than it has is reset and never read beyond', () => {
  const { guest, stream } = connected();
  guest.send(at(VIRTIO_VSOCK_OP_RW, { len: 10 }), new Uint8Array(4));
  assert.deepEqual(
    guest.exchange().map(({ op }) => op),
    [VIRTIO_VSOCK_OP_RST],
  );
  assert.equal(stream.pending, 0);
});

test('bytes of the guest reach the host as copies, and credit comes back when half the buffer left', () => {
  const { guest, stream } = connected();
  const piece = Uint8Array.from({ length: 65536 }, (_, index) => index & 0xff);
  for (let sent = 0; sent < 2; sent++) guest.send(at(VIRTIO_VSOCK_OP_RW), piece);
  assert.equal(stream.pending, 131072);
  assert.deepEqual(stream.written[1], piece);
  assert.deepEqual(guest.exchange(2), []);
  stream.drain();
  // The guest says that its own buffer has 256 KiB: half of the smaller buffer is what it waits for.
  const [update] = guest.received();
  assert.deepEqual([update?.op, update?.fwd_cnt], [VIRTIO_VSOCK_OP_CREDIT_UPDATE, 131072]);
});

test('a guest that sends more than its credit is reset, and the host with it', () => {
  const { guest, stream, response } = connected();
  const piece = new Uint8Array(65536);
  for (let sent = 0; sent < (response?.buf_alloc ?? 0); sent += piece.length) guest.send(at(VIRTIO_VSOCK_OP_RW), piece);
  assert.equal(stream.over, undefined);
  guest.send(at(VIRTIO_VSOCK_OP_RW), Uint8Array.of(1));
  assert.deepEqual(
    guest.exchange().map(({ op }) => op),
    [VIRTIO_VSOCK_OP_RST],
  );
  assert.equal(stream.over, 'destroyed');
  assert.equal(stream.pending, response?.buf_alloc);
});

test('the host sends no more than the guest has room for, asks once for more, and goes on exactly there', () => {
  const { guest, stream } = connected({ buf_alloc: 100 });
  stream.events?.onData(Uint8Array.from({ length: 150 }, (_, index) => index));
  const first = guest.exchange();
  assert.deepEqual(
    first.map(({ op, len }) => [op, len]),
    [
      [VIRTIO_VSOCK_OP_RW, 100],
      [VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0],
    ],
  );
  guest.send(at(VIRTIO_VSOCK_OP_CREDIT_UPDATE, { buf_alloc: 100, fwd_cnt: 30 }));
  guest.send(at(VIRTIO_VSOCK_OP_CREDIT_UPDATE, { buf_alloc: 100, fwd_cnt: 100 }));
  const rest = guest.received().filter(({ op }) => op === VIRTIO_VSOCK_OP_RW);
  assert.deepEqual(
    rest.flatMap(({ payload }) => [...payload]),
    Array.from({ length: 50 }, (_, index) => 100 + index),
  );
});

test('a guest that claims to have read what was never sent has no credit', () => {
  const { guest, stream } = connected({ buf_alloc: 8, fwd_cnt: 1 });
  stream.events?.onData(new Uint8Array(20));
  assert.deepEqual(
    guest.exchange().map(({ op }) => op),
    [VIRTIO_VSOCK_OP_CREDIT_REQUEST],
  );
  guest.send(at(VIRTIO_VSOCK_OP_CREDIT_UPDATE, { buf_alloc: 8, fwd_cnt: 0 }));
  assert.deepEqual(guest.received().map(({ op, len }) => [op, len])[0], [VIRTIO_VSOCK_OP_RW, 8]);
});

test('a guest without receive buffers pauses the host at 64 KiB, and buffers let it go on', () => {
  const { guest, stream } = connected();
  stream.events?.onData(new Uint8Array(40_000));
  assert.ok(stream.flowing);
  stream.events?.onData(new Uint8Array(40_000));
  assert.ok(!stream.flowing);
  let bytes = 0;
  for (let round = 0; round < 3; round++) for (const { len } of guest.exchange(8)) bytes += len;
  assert.equal(bytes, 80_000);
  assert.ok(stream.flowing);
});

test('end of the host is end of one direction; the other goes on until the guest closes', () => {
  const { guest, stream } = connected();
  stream.events?.onData(Uint8Array.of(1));
  stream.events?.onEnd();
  assert.deepEqual(
    guest.exchange().map(({ op, flags }) => [op, flags]),
    [
      [VIRTIO_VSOCK_OP_RW, 0],
      [VIRTIO_VSOCK_OP_SHUTDOWN, 2],
    ],
  );
  guest.send(at(VIRTIO_VSOCK_OP_RW), Uint8Array.of(2));
  assert.equal(stream.pending, 1);
  guest.send(at(VIRTIO_VSOCK_OP_SHUTDOWN, { flags: 3 }));
  assert.deepEqual(
    guest.received().map(({ op }) => op),
    [VIRTIO_VSOCK_OP_RST],
  );
  assert.equal(stream.over, 'released');
});

test("end of the guest ends the host's direction only", () => {
  const { guest, stream } = connected();
  guest.send(at(VIRTIO_VSOCK_OP_SHUTDOWN, { flags: 2 }));
  guest.send(at(VIRTIO_VSOCK_OP_SHUTDOWN, { flags: 2 }));
  assert.deepEqual(stream.calls, ['end']);
  stream.events?.onData(Uint8Array.of(7));
  assert.deepEqual(
    guest.exchange().map(({ op, len }) => [op, len]),
    [[VIRTIO_VSOCK_OP_RW, 1]],
  );
  guest.send(at(VIRTIO_VSOCK_OP_RW), Uint8Array.of(2)); // after it said it would not
  assert.deepEqual(
    guest.received().map(({ op }) => op),
    [VIRTIO_VSOCK_OP_RST],
  );
});

test('what the host sent before it broke arrives before the reset', () => {
  const { guest, stream } = connected();
  stream.events?.onData(new Uint8Array(5000));
  stream.events?.onClosed(104);
  const packets = guest.exchange(4);
  assert.deepEqual(
    packets.map(({ op, len }) => [op, len]),
    [
      [VIRTIO_VSOCK_OP_RW, 4052],
      [VIRTIO_VSOCK_OP_RW, 948],
      [VIRTIO_VSOCK_OP_RST, 0],
    ],
  );
});

test('the host connects to a port of the guest and learns whether it was accepted', () => {
  const host = new FakeHost();
  const guest = new ScriptedGuest(host.backend());
  const [good, bad] = [new FakeStream(), new FakeStream()];
  host.guest?.open(8000, good);
  host.guest?.open(8001, bad);
  const [first, second] = guest.exchange();
  assert.deepEqual([first?.op, first?.dst_port, second?.dst_port], [VIRTIO_VSOCK_OP_REQUEST, 8000, 8001]);
  assert.notEqual(first?.src_port, second?.src_port);
  guest.send({ op: VIRTIO_VSOCK_OP_RESPONSE, src_port: 8000, dst_port: first?.src_port ?? 0 });
  guest.send({ op: VIRTIO_VSOCK_OP_RST, src_port: 8001, dst_port: second?.src_port ?? 0 });
  assert.deepEqual([good.calls, good.flowing, bad.calls, bad.over], [['accepted'], true, [], 'destroyed']);
});

test('ten thousand connections open and close and leave nothing behind', () => {
  const host = new FakeHost();
  const guest = new ScriptedGuest(host.backend());
  let resets = 0;
  for (let round = 0; round < 10_000; round++) {
    const src_port = 1000 + (round % 50);
    guest.send({ ...REQUEST, src_port });
    const { stream } = host.streams.pop() as { stream: FakeStream };
    stream.events?.onConnected();
    guest.send({ op: VIRTIO_VSOCK_OP_SHUTDOWN, flags: 3, src_port, dst_port: 1234 });
    assert.equal(stream.over, 'released');
    for (const { op } of guest.exchange(2)) resets += Number(op === VIRTIO_VSOCK_OP_RST);
  }
  assert.equal(resets, 10_000);
  assert.equal(host.streams.length, 0);
});

test('a guest that takes no answers is not heard any more until it does', () => {
  const host = new FakeHost();
  const guest = new ScriptedGuest(host.backend());
  let used = 0;
  for (let sent = 0; sent < 1000; sent++) {
    if (guest.rig.driver.freeDescriptors(1) === 0) break;
    guest.send(at(VIRTIO_VSOCK_OP_RW, { src_port: sent }));
    used += 1;
  }
  assert.ok(used > 256 && guest.rig.driver.freeDescriptors(1) === 0, `${used}`);
  let answers = 0;
  for (let round = 0; round < 20; round++) answers += guest.exchange(64).length;
  assert.equal(answers, used);
});

test('closing the device lets every stream go', () => {
  const { guest, stream, host } = connected();
  guest.rig.transport.reset();
  assert.deepEqual([stream.over, host.guest], ['destroyed', undefined]);
});
