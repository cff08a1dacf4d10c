import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { NetworkCalls } from '../../native/network.ts';

/** Linux's numbers for sockets, interfaces and descriptors. @spec LINUX-UAPI socket.h, if_tun.h, fcntl.h */
export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
/** Past the host's limit, for who may. */
export const SO_SNDBUFFORCE = 32;

export const F_GETFL = 3;
export const F_SETFL = 4;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

export const IFF_TAP = 0x0002;
export const IFF_NO_PI = 0x1000;
export const IFF_VNET_HDR = 0x4000;
export const TUNSETIFF = 0x4004_54ca;
export const TUNSETOFFLOAD = 0x4004_54d0;
export const TUNSETVNETHDRSZ = 0x4004_54d8;
export const TUN_F_CSUM = 1;
export const TUN_F_TSO4 = 2;
export const TUN_F_TSO6 = 4;
export const TUN_F_UFO = 16;
/** struct ifreq: 16 bytes of name, then the flags. */
export const IFREQ_BYTES = 40;
export const IFNAME_MAX = 15;

export const EINTR = constants.errno.EINTR;
export const EAGAIN = constants.errno.EAGAIN;
export const ENOBUFS = constants.errno.ENOBUFS;

/** sizeof sun_path, without the NUL that ends a name. @spec LINUX-UAPI un.h */
export const SOCKET_PATH_MAX = 107;

/** A call of the host failed. */
export class NetError extends Error {
  override readonly name = 'NetError';
  readonly errno: number;

  /** @param result what the call answered: a negative error number */
  constructor(what: string, result: number) {
    super(`Cannot ${what}: ${errorName(result)}`);
    this.errno = -result;
  }
}

/** Such as `ENOENT`. */
export function errorName(result: number): string {
  try {
    return getSystemErrorName(result);
  } catch {
    return `error ${-result}`; // Linux has more of them than libuv names
  }
}

/** Room for frames on their way through a stream socket; the host may grant less. */
const STREAM_BUFFER_BYTES = 16 * 1024 * 1024;

export function growSendBuffer(calls: NetworkCalls, fd: number): void {
  if (calls.setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, STREAM_BUFFER_BYTES) < 0)
    calls.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, STREAM_BUFFER_BYTES);
}
