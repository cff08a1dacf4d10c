import { type HostileGuestReport, hostileGuest } from '../../testing/hostile-guest.ts';
import { Random } from '../../testing/random.ts';
import { virtioVsock } from './index.ts';
import {
  emptyHeader,
  encodeHeader,
  HDR_SIZE,
  VIRTIO_VSOCK_OP_CREDIT_UPDATE,
  VIRTIO_VSOCK_OP_REQUEST,
  VIRTIO_VSOCK_OP_RST,
  VIRTIO_VSOCK_OP_RW,
  type VsockHeader,
} from './protocol.ts';
import { TSI_PROXY_CREATE } from './tsi-protocol.ts';
import { FakeHost, type FakeStream, GUEST_CID, type Packet, ScriptedGuest } from './vsock-harness.ts';

const PORTS = [1, 50, 51, 620, 1234, 0xffff_ffff];

/** A packet that a guest might send, mostly sound in its header. */
function somePacket(random: Random): Uint8Array {
  const payload = random.bytes(random.pick([0, 4, 8, 12, 136, 144, random.below(300)]));
  const isControl = random.oneIn(3);
  if (isControl && payload.length >= 8) {
    payload.set([random.below(4), 0, 0, 0, random.pick([1, 2, 10, 7]), 0, 1 + random.below(2), 0]);
    if (payload.length >= 24) payload.set([16, 0, 0, 0, random.pick([1, 2, 10]), 0, 0, 80], random.pick([4, 12]));
  }
  const header: VsockHeader = {
    ...emptyHeader(),
    src_cid: random.oneIn(20) ? random.u32() : GUEST_CID,
    dst_cid: random.oneIn(20) ? random.u32() : 2,
    src_port: isControl && random.oneIn(2) ? random.below(4) : random.pick(PORTS),
    dst_port: isControl
      ? TSI_PROXY_CREATE + random.below(9)
      : random.oneIn(4)
        ? 0x10_0000 + random.below(20)
        : random.pick(PORTS),
    len: random.oneIn(10) ? random.u32() : payload.length,
    type: isControl ? 3 : random.oneIn(10) ? random.below(6) : 1,
    op: isControl ? VIRTIO_VSOCK_OP_RW : random.below(9),
    flags: random.below(5),
    buf_alloc: random.oneIn(3) ? random.u32() : 65536,
    fwd_cnt: random.oneIn(3) ? random.u32() : 0,
  };
  const bytes = new Uint8Array(HDR_SIZE + payload.length);
  encodeHeader(header, new DataView(bytes.buffer));
  bytes.set(payload, HDR_SIZE);
  return bytes;
}

/** Something a host does at any time. */
function hostActs(host: FakeHost, random: Random): void {
  const open = host.streams.filter(({ stream }) => stream.over === undefined);
  if (host.streams.length > 200) host.streams.splice(0, 100);
  if (host.listeners.length > 50) host.listeners.splice(0, 25);
  if (host.datagrams.length > 50) host.datagrams.splice(0, 25);
  host.refusal = random.oneIn(10) ? 13 : undefined;
  const [stream, listener, datagrams] = [
    open.length > 0 ? random.pick(open).stream : undefined,
    host.listeners[random.below(host.listeners.length + 1)],
    host.datagrams[random.below(host.datagrams.length + 1)],
  ];
  switch (random.below(9)) {
    case 0:
      return stream?.events?.onConnected();
    case 1:
      return stream?.events?.onData(random.bytes(random.below(9000)));
    case 2:
      return stream?.events?.onEnd();
    case 3:
      return stream?.events?.onClosed(random.pick([0, 104]));
    case 4:
      return stream?.drain();
    case 5:
      return listener?.closed === false ? listener.events.onListening(random.pick([0, 98])) : undefined;
    case 6:
      if (listener?.closed === false) host.guest?.open(random.pick(PORTS), newStream(host));
      return listener?.closed === false ? listener.events.onStream(newStream(host)) : undefined;
    case 7:
      return datagrams?.closed === false ? datagrams.events.onMessage(random.bytes(random.below(5000))) : undefined;
    default:
      return datagrams?.closed === false ? datagrams.events.onConnected(random.pick([0, 101])) : undefined;
  }
}

function newStream(host: FakeHost): FakeStream {
  const stream = host.backend().ports.connect(1234, {
    onConnected: () => {},
    onData: () => {},
    onEnd: () => {},
    onWritten: () => {},
    onClosed: () => {},
  }) as FakeStream;
  stream.events = undefined;
  return stream;
}

/** A guest that breaks every rule it can, beside a host that does what hosts do. */
export function run(seed: number, iterations: number): HostileGuestReport {
  const random = new Random(seed);
  const host = new FakeHost();
  return hostileGuest({
    device: virtioVsock,
    backend: host.backend({ unix: true }),
    random,
    iterations,
    message: somePacket,
    afterStep: () => {
      hostActs(host, random);
      // Credit bounds what a guest makes us keep, whatever it claims.
      const kept = host.streams.reduce((sum, { stream }) => sum + (stream.over === undefined ? stream.pending : 0), 0);
      if (kept > 64 << 20) throw new RangeError(`Cannot continue: ${kept} bytes of the guest are kept`);
    },
  });
}

/** What one connection of `runStreams` has seen. */
interface Lane {
  readonly port: number;
  readonly stream: FakeStream;
  /** The device's promise towards the guest. */
  bufAlloc: number;
  hostTook: number;
  guestSent: number;
  hostSent: number;
  guestGot: number;
}

/**
 * Honest traffic on several connections with little credit and few buffers: every byte arrives once and in order, no
 * more is under way than either side allowed, and nothing stalls.
 *
 * @param cheat the guest ignores its credit: for the canary
 */
export function runStreams(seed: number, iterations: number, { cheat = false } = {}): number {
  const random = new Random(seed);
  const host = new FakeHost();
  const guest = new ScriptedGuest(host.backend(), { bufferBytes: 44 + 1 + random.below(3000) });
  const window = 4096;
  const lanes = [50, 51, 52, 53].map((port): Lane => {
    guest.send({ op: VIRTIO_VSOCK_OP_REQUEST, src_port: port, dst_port: 1234, buf_alloc: window });
    const { stream } = host.streams.at(-1) as { stream: FakeStream };
    stream.events?.onConnected();
    return { port, stream, bufAlloc: 0, hostTook: 0, guestSent: 0, hostSent: 0, guestGot: 0 };
  });
  const credit = (lane: Lane): { buf_alloc: number; fwd_cnt: number } => ({
    buf_alloc: window,
    fwd_cnt: lane.guestGot,
  });
  const fwdSeen = new Map(lanes.map(({ port }) => [port, 0]));
  const take = (packet: Packet): void => {
    const lane = lanes.find(({ port }) => port === packet.dst_port);
    if (lane === undefined || packet.op === VIRTIO_VSOCK_OP_RST)
      throw new RangeError('Cannot continue: a connection was reset');
    fwdSeen.set(lane.port, packet.fwd_cnt);
    lane.bufAlloc = packet.buf_alloc;
    for (const byte of packet.payload) {
      if (byte !== (lane.guestGot++ & 0xff))
        throw new RangeError(`Cannot continue: byte ${lane.guestGot - 1} is wrong`);
    }
  };
  for (let step = 0; step < iterations; step++) {
    const lane = random.pick(lanes);
    const base = { src_port: lane.port, dst_port: 1234, ...credit(lane) };
    if (lane.stream.flowing && random.oneIn(2)) {
      const chunk = Uint8Array.from({ length: random.below(2000) }, () => lane.hostSent++ & 0xff);
      lane.stream.events?.onData(chunk);
    }
    const room = cheat ? 1 << 20 : lane.bufAlloc - (lane.guestSent - (fwdSeen.get(lane.port) ?? 0));
    const length = Math.min(room, random.below(cheat ? 40_000 : 4000));
    if (length > 0 && guest.rig.driver.freeDescriptors(1) >= 2) {
      const piece = Uint8Array.from({ length }, () => lane.guestSent++ & 0xff);
      guest.send({ op: VIRTIO_VSOCK_OP_RW, ...base }, piece);
    } else guest.send({ op: VIRTIO_VSOCK_OP_CREDIT_UPDATE, ...base });
    if (random.oneIn(cheat ? 500 : 2)) {
      const seen = new Uint8Array(lane.stream.pending);
      let at = 0;
      for (const piece of lane.stream.written) {
        seen.set(piece, at);
        at += piece.length;
      }
      const wrong = seen.findIndex((byte, index) => byte !== ((lane.hostTook + index) & 0xff));
      if (wrong >= 0) throw new RangeError(`Cannot continue: byte ${wrong} from the guest is wrong`);
      lane.hostTook += seen.length;
      lane.stream.drain();
    }
    for (const packet of guest.exchange(random.below(6))) take(packet);
  }
  for (const lane of lanes) finish(lane, guest, take, credit);
  return lanes.reduce((sum, { guestGot, hostTook }) => sum + guestGot + hostTook, 0);
}

/** Everything that is under way arrives when both sides keep reading. */
function finish(
  lane: Lane,
  guest: ScriptedGuest,
  take: (packet: Packet) => void,
  credit: (lane: Lane) => { buf_alloc: number; fwd_cnt: number },
): void {
  for (let round = 0; lane.guestGot < lane.hostSent; round++) {
    if (round > 100_000) throw new RangeError('Cannot continue: bytes towards the guest are stuck');
    guest.send({ op: VIRTIO_VSOCK_OP_CREDIT_UPDATE, src_port: lane.port, dst_port: 1234, ...credit(lane) });
    for (const packet of guest.exchange(4)) take(packet);
  }
}
