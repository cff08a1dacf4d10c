import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { O_PATH, SOCKET_PATH_MAX } from './linux.ts';

/**
 * Calls `use` with a name for a socket's path that fits into an address: a longer path is reached through a descriptor
 * of its directory.
 */
export function withSocketPath<T>(path: string, use: (name: string) => T): T {
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return use(path);
  const directory = openSync(dirname(path), O_PATH | constants.O_DIRECTORY);
  try {
    return use(`/proc/self/fd/${directory}/${basename(path)}`);
  } finally {
    closeSync(directory);
  }
}

/** struct sockaddr_un. @throws {RangeError} the last part of the path alone is too long */
export function socketAddress(path: string): Uint8Array {
  const name = Buffer.from(path);
  if (name.length > SOCKET_PATH_MAX) throw new RangeError('the name is too long');
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(1); // AF_UNIX
  name.copy(address, 2);
  return address;
}
