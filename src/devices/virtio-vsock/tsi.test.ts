import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp } from '../../base/ip-address.ts';
import {
  VIRTIO_VSOCK_OP_REQUEST,
  VIRTIO_VSOCK_OP_RESPONSE,
  VIRTIO_VSOCK_OP_RST,
  VIRTIO_VSOCK_OP_RW,
} from './protocol.ts';
import {
  TSI_ACCEPT,
  TSI_CONNECT,
  TSI_DEFAULT_PORT,
  TSI_GETNAME,
  TSI_LISTEN,
  TSI_PROXY_CREATE,
  TSI_PROXY_RELEASE,
  TSI_SENDTO_ADDR,
  TSI_SENDTO_DATA,
} from './tsi-protocol.ts';
import { FakeHost, FakeStream, ScriptedGuest } from './vsock-harness.ts';

const SVM = 0xd600_0a1f;
const REPLY_PORT = 77;
const [STREAM, DGRAM] = [1, 2];
const [UNIX, INET, INET6] = [1, 2, 10];

const u16 = (value: number) => [value & 0xff, (value >> 8) & 0xff];
const u32 = (value: number) => [...u16(value & 0xffff), ...u16(value >>> 16)];
const bytes = (...parts: number[][]) => Uint8Array.from(parts.flat());
/** A sockaddr in a field of 128 bytes whose rest is rubbish, as the guest's kernel sends it. */
const field = (address: number[]) => [
  ...u32(address.length),
  ...address,
  ...new Array<number>(128 - address.length).fill(0xee),
];
const inet = (text: string, port: number) => [
  ...u16(INET),
  port >> 8,
  port & 0xff,
  ...(parseIp(text) ?? []),
  ...new Array<number>(8).fill(0),
];
const inet6 = (text: string, port: number) => [
  ...u16(INET6),
  port >> 8,
  port & 0xff,
  0,
  0,
  0,
  0,
  ...(parseIp(text) ?? []),
  0,
  0,
  0,
  0,
];
const unix = (path: string) => [...u16(UNIX), ...new TextEncoder().encode(path), 0];

function guestWith(options = {}) {
  const host = new FakeHost();
  const guest = new ScriptedGuest(host.backend(options));
  const create = (family: number, type: number, svm = SVM) =>
    guest.control(TSI_PROXY_CREATE, bytes(u32(svm), u16(family), u16(type)));
  const connect = (address: number[], svm = SVM) => guest.control(TSI_CONNECT, bytes(u32(svm), field(address)));
  const listen = (address: number[], svm = SVM) =>
    guest.control(TSI_LISTEN, bytes(u32(svm), u32(svm), u32(2), field(address)));
  const accept = (flags = 2) => guest.control(TSI_ACCEPT, bytes(u32(SVM), u32(flags)));
  /** Results that arrived: kind and number, checked to go to the control socket. */
  const results = () =>
    guest.exchange().flatMap(({ type, op, src_port, dst_port, src_cid, payload }) => {
      if (type !== 3) return [];
      assert.deepEqual([op, dst_port, src_cid], [VIRTIO_VSOCK_OP_RW, REPLY_PORT, 2]);
      return [[src_port, new DataView(payload.buffer, payload.byteOffset).getInt32(0, true)]];
    });
  return { host, guest, create, connect, listen, accept, results };
}

test('connect is answered when the host is connected, and the data half takes the stream over', () => {
  const { host, guest, create, connect, results } = guestWith();
  create(INET, STREAM);
  connect(inet('192.0.2.7', 443));
  assert.deepEqual(results(), []);
  const [asked] = host.streams;
  assert.deepEqual(asked?.to, { family: 'ipv4', address: '192.0.2.7', port: 443 });
  asked?.stream.events?.onConnected();
  assert.deepEqual(results(), [[TSI_CONNECT, 0]]);
  guest.send({ op: VIRTIO_VSOCK_OP_REQUEST, src_port: SVM, dst_port: TSI_DEFAULT_PORT });
  assert.deepEqual(
    guest.received().map(({ op, src_port, dst_port }) => [op, src_port, dst_port]),
    [[VIRTIO_VSOCK_OP_RESPONSE, TSI_DEFAULT_PORT, SVM]],
  );
  assert.ok(asked?.stream.flowing);
  guest.send({ op: VIRTIO_VSOCK_OP_RW, src_port: SVM, dst_port: TSI_DEFAULT_PORT }, Uint8Array.of(1, 2));
  assert.equal(asked?.stream.pending, 2);
  // Release comes before the shutdown: what was written still has to arrive.
  guest.control(TSI_PROXY_RELEASE, bytes(u32(SVM), u32(TSI_DEFAULT_PORT)));
  assert.equal(asked?.stream.over, undefined);
});

test('a refused connection is told with its error number, and the guest may try again', () => {
  const { host, create, connect, results } = guestWith();
  create(INET6, STREAM);
  connect(inet6('2001:db8::1', 80));
  assert.deepEqual(host.streams[0]?.to, { family: 'ipv6', address: '2001:db8:0:0:0:0:0:1', port: 80 });
  host.streams[0]?.stream.events?.onClosed(111);
  host.refusal = 13;
  connect(inet6('2001:db8::1', 80));
  host.refusal = undefined;
  connect(inet6('2001:db8::1', 80));
  connect(inet6('2001:db8::1', 80));
  host.streams[1]?.stream.events?.onConnected();
  connect(inet6('2001:db8::1', 80));
  assert.deepEqual(
    results().map(([, errno]) => errno),
    [-111, -13, -114, 0, -106],
  );
});

test('sockets nobody created get the answers upstream gives', () => {
  const { guest, connect, listen, accept } = guestWith();
  connect(inet('192.0.2.7', 443));
  listen(inet('0.0.0.0', 80));
  accept();
  guest.control(TSI_GETNAME, bytes(u32(SVM), u32(TSI_DEFAULT_PORT), u32(1)));
  guest.control(TSI_PROXY_RELEASE, bytes(u32(0), u32(TSI_DEFAULT_PORT)));
  guest.send({ op: VIRTIO_VSOCK_OP_REQUEST, src_port: SVM, dst_port: TSI_DEFAULT_PORT });
  const answers = guest
    .exchange()
    .map(({ src_port, op, payload }) => [
      src_port,
      op === VIRTIO_VSOCK_OP_RST ? 'reset' : new DataView(payload.buffer, payload.byteOffset).getInt32(0, true),
    ]);
  assert.deepEqual(answers, [
    [TSI_CONNECT, -111],
    [TSI_LISTEN, -1],
    [TSI_ACCEPT, -22],
    [TSI_GETNAME, -22],
    [TSI_DEFAULT_PORT, 'reset'],
  ]);
});

test('getpeername gives the name the guest connected to', () => {
  const { host, guest, create, connect } = guestWith();
  create(INET, STREAM);
  connect(inet('192.0.2.9', 4000));
  host.streams[0]?.stream.events?.onConnected();
  guest.exchange();
  guest.control(TSI_GETNAME, bytes(u32(SVM), u32(TSI_DEFAULT_PORT), u32(1)));
  const [answer] = guest.received();
  assert.equal(answer?.payload.length, 136);
  assert.deepEqual([...(answer?.payload.subarray(0, 24) ?? [])], [...u32(0), ...u32(16), ...inet('192.0.2.9', 4000)]);
});

test('listen, a connection, accept: the guest is asked, then told', () => {
  const { host, guest, create, listen, accept, results } = guestWith();
  create(INET, STREAM);
  listen(inet('0.0.0.0', 8080));
  const [listener] = host.listeners;
  assert.deepEqual(listener?.address, { family: 'ipv4', address: '0.0.0.0', port: 8080 });
  listener?.events.onListening(0);
  accept(2 | 0x800);
  accept(2);
  assert.deepEqual(results(), [
    [TSI_LISTEN, 0],
    [TSI_ACCEPT, -11],
  ]);
  const stream = new FakeStream();
  listener?.events.onStream(stream);
  const [request] = guest.received();
  assert.deepEqual([request?.op, request?.dst_port], [VIRTIO_VSOCK_OP_REQUEST, SVM]);
  const peer = request?.src_port ?? 0;
  guest.send({ op: VIRTIO_VSOCK_OP_RESPONSE, src_port: SVM, dst_port: peer });
  assert.deepEqual(results(), [[TSI_ACCEPT, 0]]);
  guest.control(TSI_GETNAME, bytes(u32(SVM), u32(peer), u32(2)));
  assert.deepEqual([...(guest.received()[0]?.payload.subarray(8, 16) ?? [])], inet('192.0.2.9', 4000).slice(0, 8));
  // Closing the accepted socket leaves the listening one alone.
  guest.control(TSI_PROXY_RELEASE, bytes(u32(SVM), u32(peer)));
  assert.equal(listener?.closed, false);
  guest.control(TSI_PROXY_RELEASE, bytes(u32(SVM), u32(TSI_DEFAULT_PORT)));
  assert.equal(listener?.closed, true);
});

test('no more connections are offered than the backlog, and a refused one makes room', () => {
  const { host, guest, create, listen, accept } = guestWith();
  create(INET, STREAM);
  listen(inet('0.0.0.0', 8080));
  const streams = Array.from({ length: 5 }, () => new FakeStream());
  for (const stream of streams) host.listeners[0]?.events.onStream(stream);
  const requests = () => guest.exchange().filter(({ op }) => op === VIRTIO_VSOCK_OP_REQUEST);
  const [first, second, ...more] = requests();
  assert.deepEqual(more, []); // a backlog of two
  guest.send({ op: VIRTIO_VSOCK_OP_RST, src_port: SVM, dst_port: first?.src_port ?? 0 });
  assert.equal(streams[0]?.over, 'destroyed');
  assert.equal(requests().length, 1);
  guest.send({ op: VIRTIO_VSOCK_OP_RESPONSE, src_port: SVM, dst_port: second?.src_port ?? 0 });
  assert.equal(requests().length, 0);
  accept();
  assert.equal(requests().length, 1);
});

test('a port that is not exposed is -EPERM, and so is one the host may not bind', () => {
  const { host, create, listen, results } = guestWith();
  create(INET, STREAM);
  host.refusal = 1;
  listen(inet('0.0.0.0', 80));
  host.refusal = 13;
  listen(inet('0.0.0.0', 80));
  host.refusal = 98;
  listen(inet('0.0.0.0', 80));
  assert.deepEqual(results(), [
    [TSI_LISTEN, -1],
    [TSI_LISTEN, -1],
    [TSI_LISTEN, -98],
  ]);
});

test('datagrams go where the guest said last, and what comes goes to its socket', () => {
  const { host, guest, create, connect, results } = guestWith();
  create(INET, DGRAM);
  assert.equal(host.datagrams.length, 0);
  guest.control(TSI_SENDTO_DATA, Uint8Array.of(9), SVM); // no destination yet: lost
  guest.control(TSI_SENDTO_ADDR, bytes(u32(SVM), field(inet('192.0.2.5', 53))));
  guest.control(TSI_SENDTO_DATA, Uint8Array.of(1, 2, 3), SVM);
  const [socket] = host.datagrams;
  assert.deepEqual(socket?.sent, [
    { bytes: Uint8Array.of(1, 2, 3), to: { family: 'ipv4', address: '192.0.2.5', port: 53 } },
  ]);
  guest.offer(2);
  socket?.events.onMessage(Uint8Array.of(4, 5));
  socket?.events.onMessage(new Uint8Array(9000)); // larger than a buffer: lost, never cut
  assert.deepEqual(
    guest.received().map(({ type, op, dst_port, payload }) => [type, op, dst_port, [...payload]]),
    [[3, VIRTIO_VSOCK_OP_RW, SVM, [4, 5]]],
  );
  connect(inet('192.0.2.6', 99));
  assert.equal(socket?.closed, true);
  host.datagrams[1]?.events.onConnected(0);
  assert.deepEqual(results(), [[TSI_CONNECT, 0]]);
  guest.control(SVM, Uint8Array.of(8), SVM);
  assert.deepEqual(host.datagrams[1]?.sent, [{ bytes: Uint8Array.of(8), to: undefined }]);
});

test("unix sockets are the host's only when asked for, and by absolute path", () => {
  const plain = guestWith();
  plain.create(UNIX, STREAM);
  plain.connect(unix('/run/x.sock'));
  plain.create(INET, STREAM);
  plain.connect(unix('/run/x.sock')); // an Internet socket is no way around
  assert.deepEqual(
    [plain.results(), plain.host.streams],
    [
      [
        [TSI_CONNECT, -111],
        [TSI_CONNECT, -97],
      ],
      [],
    ],
  );
  const asked = guestWith({ unix: true });
  asked.create(UNIX, STREAM);
  asked.connect([...u16(UNIX), 0, 0x61, 0x62]); // an abstract name
  asked.connect(unix('run/x.sock'));
  asked.connect(unix('/run/x.sock'));
  assert.deepEqual(asked.results(), [
    [TSI_CONNECT, -22],
    [TSI_CONNECT, -22],
  ]);
  assert.deepEqual(
    asked.host.streams.map(({ to }) => to),
    [{ family: 'unix', path: '/run/x.sock' }],
  );
});

test('control messages cut short or full of rubbish change nothing', () => {
  const { host, guest, create, results } = guestWith();
  create(INET, STREAM);
  for (let length = 0; length < 140; length += 3) {
    for (let kind = TSI_CONNECT; kind <= TSI_ACCEPT; kind++) {
      guest.control(kind, bytes(u32(SVM), new Array<number>(length).fill(0xff)).subarray(0, length));
      results();
    }
  }
  assert.deepEqual([host.streams.length, host.listeners.length, host.datagrams.length], [0, 0, 0]);
});
