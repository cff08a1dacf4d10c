/** An IP address: 4 bytes, or 16. */
export type IpAddress = Uint8Array;

/** The bytes of `192.0.2.1` or `2001:db8::1`; undefined for anything else, zone names included. */
export function parseIp(text: string): IpAddress | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** Text that `parseIp` reads; IPv6 without abbreviation. */
export function formatIp(bytes: IpAddress): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push((((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16));
  return groups.join(':');
}

/**
 * The address a connection really goes to: IPv4 inside IPv6 (mapped, NAT64) is IPv4, and the unspecified address means
 * this host. Rules are about these, or an address would slip by in other clothes.
 *
 * @spec RFC-4291 §2.5.5.2   @spec RFC-6052 §2.1
 */
export function effectiveIp(bytes: IpAddress): IpAddress {
  const plain = hasPrefix(bytes, MAPPED_PREFIX) || hasPrefix(bytes, NAT64_PREFIX) ? bytes.subarray(12) : bytes;
  if (plain.some((byte) => byte !== 0)) return plain;
  return plain.length === 4 ? LOOPBACK_V4 : LOOPBACK_V6;
}

/** Whether two addresses of one family agree in the first `prefixBits` bits. */
export function inNetwork(address: IpAddress, network: ArrayLike<number>, prefixBits: number): boolean {
  if (address.length !== network.length) return false;
  for (let at = 0, left = prefixBits; left > 0; at++, left -= 8) {
    const mask = left >= 8 ? 0xff : (0xff00 >> left) & 0xff;
    if ((((address[at] ?? 0) ^ (network[at] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

/** Whether an effective address belongs to this host. */
export function isLoopback(address: IpAddress): boolean {
  return address.length === 4 ? address[0] === 127 : hasPrefix(address, LOOPBACK_V6);
}

/** Whether an effective address means nothing on the open Internet: this host, this site, or a group. @spec RFC-6890 */
export function isPrivate(address: IpAddress): boolean {
  return PRIVATE_NETWORKS.some(([network, prefix]) => inNetwork(address, network, prefix));
}

const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
const NAT64_PREFIX = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
const LOOPBACK_V4 = Uint8Array.of(127, 0, 0, 1);
const LOOPBACK_V6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

const v6 = (...head: number[]): number[] => [...head, ...new Array<number>(16 - head.length).fill(0)];

const PRIVATE_NETWORKS: readonly (readonly [network: readonly number[], prefix: number])[] = [
  [[0, 0, 0, 0], 8],
  [[10, 0, 0, 0], 8],
  [[100, 64, 0, 0], 10],
  [[127, 0, 0, 0], 8],
  [[169, 254, 0, 0], 16],
  [[172, 16, 0, 0], 12],
  [[192, 0, 0, 0], 24],
  [[192, 168, 0, 0], 16],
  [[198, 18, 0, 0], 15],
  [[224, 0, 0, 0], 3],
  [v6(), 96], // unspecified, loopback, and the deprecated form of IPv4 addresses
  [v6(0xfc), 7],
  [v6(0xfe, 0x80), 10],
  [v6(0xfe, 0xc0), 10],
  [v6(0xff), 8],
];

function hasPrefix(bytes: IpAddress, prefix: ArrayLike<number>): boolean {
  if (bytes.length !== 16) return false;
  for (let at = 0; at < prefix.length; at++) if (bytes[at] !== prefix[at]) return false;
  return true;
}

function parseIpv4(text: string): IpAddress | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || parts.some((part) => !/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255))
    return undefined;
  return Uint8Array.from(parts, Number);
}

function parseIpv6(text: string): IpAddress | undefined {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail !== null) {
    const last = parseIpv4(tail[2] ?? '');
    if (last === undefined) return undefined;
    const group = (at: number): string => (((last[at] ?? 0) << 8) | (last[at + 1] ?? 0)).toString(16);
    return parseIpv6(`${tail[1]}${group(0)}:${group(2)}`);
  }
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head = [], rest] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - (rest?.length ?? 0);
  if (rest === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<string>(Math.max(0, missing)).fill('0'), ...(rest ?? [])];
  if (groups.some((group) => !/^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]),
  );
}
