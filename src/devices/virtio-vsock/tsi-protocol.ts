import { formatIp, parseIp } from '../../base/ip-address.ts';
import type { SocketAddress } from './backend.ts';

/** The host's port for the data of transparent stream sockets. @spec LIBKRUN-TSI */
export const TSI_DEFAULT_PORT = 620;

/** A control message is a datagram to the port that names its kind. @spec LIBKRUN-TSI */
export const TSI_PROXY_CREATE = 1024;
export const TSI_CONNECT = 1025;
export const TSI_GETNAME = 1026;
export const TSI_SENDTO_ADDR = 1027;
export const TSI_SENDTO_DATA = 1028;
export const TSI_LISTEN = 1029;
export const TSI_ACCEPT = 1030;
export const TSI_PROXY_RELEASE = 1031;

/** Socket types of PROXY_CREATE. */
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;

/** Linux's numbers of address families. */
const AF_UNSPEC = 0;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;

/** Bit of ACCEPT's flags. */
export const O_NONBLOCK = 0x800;

/** struct sockaddr_storage, and the longest sockaddr_un. */
const SOCKADDR_MAX = 128;
const SUN_PATH_MAX = 108;

export type Family = SocketAddress['family'];

/** Reads fields of a control message; what is missing is 0, so a short message is one with zeros. */
export class MessageReader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u32(at: number): number {
    return at + 4 <= this.#view.byteLength ? this.#view.getUint32(at, true) : 0;
  }

  u16(at: number): number {
    return at + 2 <= this.#view.byteLength ? this.#view.getUint16(at, true) : 0;
  }

  /** A length, then a socket address so long. */
  address(at: number): SocketAddress | 'unspecified' | undefined {
    const length = Math.min(this.u32(at), SOCKADDR_MAX, Math.max(0, this.#bytes.length - at - 4));
    return decodeAddress(this.#bytes.subarray(at + 4, at + 4 + length));
  }
}

/** The address family of PROXY_CREATE; undefined: none we know. */
export function familyOf(number: number): Family | undefined {
  return ({ [AF_UNIX]: 'unix', [AF_INET]: 'ipv4', [AF_INET6]: 'ipv6' } as const)[number];
}

/** Reads a Linux sockaddr; undefined when it makes no sense. */
export function decodeAddress(bytes: Uint8Array): SocketAddress | 'unspecified' | undefined {
  if (bytes.length < 2) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (view.getUint16(0, true)) {
    case AF_UNSPEC:
      return 'unspecified';
    case AF_INET:
      if (bytes.length < 8) return undefined;
      return { family: 'ipv4', address: formatIp(bytes.subarray(4, 8)), port: view.getUint16(2) };
    case AF_INET6:
      if (bytes.length < 24) return undefined;
      return { family: 'ipv6', address: formatIp(bytes.subarray(8, 24)), port: view.getUint16(2) };
    case AF_UNIX:
      return decodeUnix(bytes.subarray(2, 2 + SUN_PATH_MAX));
    default:
      return undefined;
  }
}

/** A Linux sockaddr; the empty one when the name is not known. */
export function encodeAddress(address: SocketAddress | undefined): Uint8Array {
  if (address === undefined) return new Uint8Array(0);
  if (address.family === 'unix') {
    const path = new TextEncoder().encode(address.path).subarray(0, SUN_PATH_MAX - 1);
    const bytes = new Uint8Array(2 + path.length + (path.length === 0 ? 0 : 1));
    bytes[0] = AF_UNIX;
    bytes.set(path, 2);
    return bytes;
  }
  const isV4 = address.family === 'ipv4';
  const bytes = new Uint8Array(isV4 ? 16 : 28);
  bytes[0] = isV4 ? AF_INET : AF_INET6;
  new DataView(bytes.buffer).setUint16(2, address.port);
  const ip = parseIp(address.address.replace(/%.*$/, ''));
  if (ip?.length === (isV4 ? 4 : 16)) bytes.set(ip, isV4 ? 4 : 8);
  return bytes;
}

/** The answer of CONNECT, LISTEN and ACCEPT: 0, or a Linux error number as the guest wants it (negative). */
export function encodeResult(errno: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, errno === 0 ? 0 : -errno, true);
  return bytes;
}

/** The answer of GETNAME. */
export function encodeName(errno: number, address: SocketAddress | undefined): Uint8Array {
  const bytes = new Uint8Array(8 + SOCKADDR_MAX);
  const view = new DataView(bytes.buffer);
  const name = encodeAddress(address);
  view.setInt32(0, errno === 0 ? 0 : -errno, true);
  view.setUint32(4, name.length, true);
  bytes.set(name, 8);
  return bytes;
}

/** Absolute paths only: abstract names are the host's own name space, and a relative one has no meaning here. */
function decodeUnix(raw: Uint8Array): SocketAddress | undefined {
  const end = raw.indexOf(0);
  const bytes = end < 0 ? raw : raw.subarray(0, end);
  if (bytes[0] !== 0x2f) return undefined;
  try {
    return { family: 'unix', path: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return undefined;
  }
}
