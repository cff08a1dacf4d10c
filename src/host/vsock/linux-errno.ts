import { constants } from 'node:os';

/** Linux's numbers, whatever the host is: the guest is a Linux. @spec LINUX-ERRNO */
export const LINUX_ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EAGAIN: 11,
  EACCES: 13,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EPIPE: 32,
  ENAMETOOLONG: 36,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
} as const;

/** The number of a Node error for the guest; EIO for what has none. */
export function linuxErrno(error: unknown): number {
  const code = (error as { code?: string } | null)?.code ?? '';
  const known = (LINUX_ERRNO as Readonly<Record<string, number>>)[code];
  if (known !== undefined) return known;
  if (code.startsWith('ERR_')) return 22;
  return process.platform === 'linux' ? ((constants.errno as Record<string, number>)[code] ?? 5) : 5;
}
