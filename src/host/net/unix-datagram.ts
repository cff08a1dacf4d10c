import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import type { NetworkCalls } from '../../native/network.ts';
import type { LinkOptions, OpenNet } from './link.ts';
import {
  AF_UNIX,
  NetError,
  SO_RCVBUF,
  SO_SNDBUF,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from './linux.ts';
import { PacketLink } from './packet-link.ts';
import { socketAddress, withSocketPath } from './socket-path.ts';

/** Room for frames on their way; the host may grant less. */
const BUFFER_BYTES = 7 * 1024 * 1024;

/** By which gvproxy, listening for vfkit, knows its peer. */
const GREETING = Buffer.from('VFKT');

let opened = 0;

/** Where the other end is. */
export type DatagramPeer = { readonly path: string; readonly vfkit: boolean } | { readonly fd: number };

/**
 * One datagram for each frame, as gvproxy and vmnet-helper speak. Our own end gets a name when we connect, which the
 * peer answers to. A descriptor is connected already, and is ours from now on.
 *
 * @throws {NetError} or another error with the host's reason
 */
export function openDatagramLink(calls: NetworkCalls, peer: DatagramPeer, options: LinkOptions): OpenNet {
  if ('fd' in peer) {
    growBuffers(calls, peer.fd);
    return new PacketLink(calls, peer.fd, { ...options, hasHeaders: false });
  }
  const own = join(tmpdir(), `krun-net-${process.pid}-${threadId}-${opened++}.sock`);
  const fd = calls.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) throw new NetError('make a datagram socket', fd);
  const forget = (): void => rmSync(own, { force: true });
  try {
    forget(); // left by a process that had our number
    succeed(`bind ${own}`, calls.bind(fd, socketAddress(own)));
    withSocketPath(peer.path, (name) => succeed('connect', calls.connect(fd, socketAddress(name))));
    growBuffers(calls, fd);
    if (peer.vfkit) succeed('greet the peer', calls.write(fd, GREETING));
    return new PacketLink(calls, fd, { ...options, hasHeaders: false, onClose: forget });
  } catch (error) {
    calls.close(fd);
    forget();
    throw error;
  }
}

function growBuffers(calls: NetworkCalls, fd: number): void {
  calls.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
  calls.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
}

function succeed(what: string, result: number): void {
  if (result < 0) throw new NetError(what, result);
}
