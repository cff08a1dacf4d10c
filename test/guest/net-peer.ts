import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadNetworkCalls, type NetworkCalls } from '../../dist/native/network.js';
import { PacketLink } from '../../dist/host/net/packet-link.js';
import { socketAddress } from '../../dist/host/net/socket-path.js';

const [AF_UNIX, DATAGRAM] = [1, 2 | 0o4000 | 0o2000000];

/** The peer's addresses, and the one that it gives away. */
export const PEER = { mac: Buffer.from('0200000000fe', 'hex'), ip: '10.9.0.1', guestIp: '10.9.0.2' } as const;

/** What the peer heard. */
export interface Heard {
  greeting: string;
  frames: number;
  guestMacs: Set<string>;
}

export const calls = loadNetworkCalls() as NetworkCalls | null;

/**
 * A host on a datagram socket, as gvproxy is one: it waits for vfkit's greeting, gives an address away by DHCP, answers
 * ARP and ping, and echoes UDP.
 */
export class DatagramPeer {
  readonly path: string;
  readonly heard: Heard = { greeting: '', frames: 0, guestMacs: new Set() };
  readonly #answers: Buffer[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'krun-peer-'));
  readonly #fd: number;
  /** Of the process whose machine connects. */
  #pid = process.pid;
  #link: PacketLink | undefined;
  readonly #waiting: NodeJS.Timeout;

  constructor() {
    if (calls === null) throw new Error('Cannot make a peer: no koffi');
    this.path = join(this.#folder, 'peer.sock');
    this.#fd = calls.socket(AF_UNIX, DATAGRAM);
    if (calls.bind(this.#fd, socketAddress(this.path)) < 0) throw new Error('Cannot bind');
    this.#waiting = setInterval(() => this.#greeted(), 20);
  }

  /** The machine is another process's. */
  expect(pid: number | undefined): void {
    this.#pid = pid ?? -1;
  }

  /** Sends anything, a frame or none; false when it was lost, because the guest has no room for more. */
  send(bytes: Uint8Array): boolean {
    const room = this.#link?.reserve(bytes.length);
    room?.set(bytes);
    if (room !== undefined) this.#link?.commit();
    return room !== undefined;
  }

  close(): void {
    clearInterval(this.#waiting);
    if (this.#link !== undefined) this.#link.close();
    else calls?.close(this.#fd);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #greeted(): void {
    const greeting = Buffer.alloc(100);
    const length = calls?.read(this.#fd, greeting) ?? -1;
    if (length < 0) return;
    clearInterval(this.#waiting);
    this.heard.greeting = greeting.subarray(0, length).toString();
    const [name] = readdirSync(tmpdir()).filter((one) => one.startsWith(`krun-net-${this.#pid}-`));
    calls?.connect(this.#fd, socketAddress(join(tmpdir(), name ?? '')));
    const common = { name: 'peer', mac: PEER.mac, features: 0n, isTrusted: false, log: () => {} };
    const link = new PacketLink(calls as NetworkCalls, this.#fd, { ...common, hasHeaders: false });
    this.#link = link;
    link.attach({ onReadable: () => this.#take(link), onWritable: () => this.#answer(), onLinkChange() {} }, 0n);
  }

  #take(link: PacketLink): void {
    for (let frame = link.peek(); frame !== undefined; frame = link.peek()) {
      this.heard.frames += 1;
      this.heard.guestMacs.add(Buffer.from(frame.subarray(6, 12)).toString('hex'));
      const answer = answerTo(Buffer.from(frame));
      link.drop();
      if (answer !== undefined) this.#answers.push(answer);
    }
    this.#answer();
  }

  /** Answers are not lost: they wait for room. */
  #answer(): void {
    while (this.#answers[0] !== undefined && this.send(this.#answers[0])) this.#answers.shift();
  }
}

/** The other end of the link: ARP, IPv4, ICMP, UDP and DHCP (RFC 826, 791, 792, 768, 2131). */
function answerTo(frame: Buffer): Buffer | undefined {
  const type = frame.readUInt16BE(12);
  if (type === 0x0806) return answerArp(frame);
  if (type !== 0x0800 || frame[14] !== 0x45) return undefined;
  const packet = frame.subarray(14, 14 + frame.readUInt16BE(16));
  if (packet[9] === 1 && packet[20] === 8) return behind(frame, echoed(packet));
  if (packet[9] !== 17) return undefined;
  if (packet.readUInt16BE(22) === 67) return behind(frame, dhcp(packet));
  return packet.readUInt16BE(22) === 7
    ? behind(frame, udp(packet, packet.subarray(12, 16), packet.subarray(28)))
    : undefined;
}

function answerArp(frame: Buffer): Buffer | undefined {
  if (frame.readUInt16BE(20) !== 1 || address(frame.subarray(38, 42)) !== PEER.ip) return undefined;
  const answer = Buffer.from(frame.subarray(0, 42));
  frame.copy(answer, 0, 6, 12);
  PEER.mac.copy(answer, 6);
  answer.writeUInt16BE(2, 20);
  PEER.mac.copy(answer, 22);
  frame.copy(answer, 28, 38, 42);
  frame.copy(answer, 32, 22, 32);
  return answer;
}

function echoed(packet: Buffer): Buffer {
  const icmp = Buffer.from(packet.subarray(20));
  icmp[0] = 0;
  icmp.writeUInt16BE(0, 2);
  icmp.writeUInt16BE(checksum(icmp), 2);
  return ip(1, packet.subarray(12, 16), icmp);
}

function udp(packet: Buffer, to: Buffer, payload: Buffer): Buffer {
  const datagram = Buffer.alloc(8 + payload.length);
  packet.copy(datagram, 0, 22, 24);
  packet.copy(datagram, 2, 20, 22);
  datagram.writeUInt16BE(datagram.length, 4);
  payload.copy(datagram, 8);
  return ip(17, to, datagram);
}

function dhcp(packet: Buffer): Buffer {
  const message = Buffer.from(packet.subarray(28, 28 + 240));
  const isRequest = packet.subarray(28 + 240).includes(Buffer.of(53, 1, 3));
  message[0] = 2;
  bytesOf(PEER.guestIp).copy(message, 16);
  const options = [
    53,
    1,
    isRequest ? 5 : 2,
    54,
    4,
    ...bytesOf(PEER.ip),
    1,
    4,
    255,
    255,
    255,
    0,
    3,
    4,
    ...bytesOf(PEER.ip),
  ];
  const broadcast = Buffer.alloc(4, 255);
  return udp(packet, broadcast, Buffer.concat([message, Buffer.from([...options, 255])]));
}

function ip(protocol: number, to: Buffer, payload: Buffer): Buffer {
  const header = Buffer.from('450000000000400040000000', 'hex');
  const packet = Buffer.concat([header, bytesOf(PEER.ip), to, payload]);
  packet.writeUInt16BE(packet.length, 2);
  packet[9] = protocol;
  packet.writeUInt16BE(checksum(packet.subarray(0, 20)), 10);
  return packet;
}

function behind(frame: Buffer, packet: Buffer): Buffer {
  return Buffer.concat([frame.subarray(6, 12), PEER.mac, Buffer.of(8, 0), packet]);
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text.split('.').map(Number));
}

function address(bytes: Buffer): string {
  return [...bytes].join('.');
}
