import { randomBytes } from 'node:crypto';
import { connect, Socket } from 'node:net';
import { KrunError } from '../../base/krun-error.ts';
import type { Log } from '../../base/log.ts';
import type { InterfaceSpec } from '../../config/spec.ts';
import { loadNetworkCalls, type NetworkCalls } from '../../native/network.ts';
import type { LinkOptions, OpenNet } from './link.ts';
import { growSendBuffer } from './linux.ts';
import { startPasst } from './passt.ts';
import { passtArguments } from './passt-arguments.ts';
import { withSocketPath } from './socket-path.ts';
import { StreamLink } from './stream-link.ts';
import { openTapLink } from './tap.ts';
import { openDatagramLink } from './unix-datagram.ts';

/**
 * Connects every interface, in order.
 *
 * @throws {KrunError} ERR_NET_OPEN, ERR_NET_NATIVE, ERR_PASST_NOT_FOUND, ERR_PASST_FAILED; what was opened is closed
 */
export async function openInterfaces(specs: readonly InterfaceSpec[], log: Log): Promise<OpenNet[]> {
  const opened: OpenNet[] = [];
  try {
    for (const [index, spec] of specs.entries()) opened.push(await openInterface(spec, `eth${index}`, log));
    return opened;
  } catch (error) {
    for (const one of opened) one.close();
    throw error;
  }
}

async function openInterface(spec: InterfaceSpec, name: string, log: Log): Promise<OpenNet> {
  const { backend } = spec;
  const mac = spec.mac === undefined ? randomMac() : Buffer.from(spec.mac.replaceAll(':', ''), 'hex');
  const options = { name, mac, features: BigInt(spec.features), isTrusted: backend.kind === 'passt', log };
  if (backend.kind === 'passt') return openPasst(backend, options);
  try {
    if (backend.kind === 'unixstream') return openStream(await streamSocket(backend), options);
    const calls = nativeCalls(name, backend.kind);
    return backend.kind === 'tap'
      ? openTapLink(calls, backend.name, options)
      : openDatagramLink(calls, backend, options);
  } catch (error) {
    if (error instanceof KrunError) throw error;
    throw cannotOpen(name, backend, error as Error);
  }
}

async function openPasst(
  backend: Extract<InterfaceSpec['backend'], { kind: 'passt' }>,
  options: LinkOptions,
): Promise<OpenNet> {
  const { socket, close } = await startPasst({
    program: backend.program,
    args: passtArguments(backend),
    log: options.log,
  });
  const link = openStream(socket, options);
  const closeLink = link.close.bind(link);
  link.close = (): void => {
    closeLink();
    close();
  };
  return link;
}

function openStream(socket: Socket, options: LinkOptions): OpenNet {
  // Node does not tell the number, but has kept it here; without it the socket has the host's default size.
  const { fd } = (socket as { readonly _handle?: { readonly fd?: number } })._handle ?? {};
  const calls = loadNetworkCalls();
  if (fd !== undefined && fd >= 0 && calls !== null) growSendBuffer(calls, fd);
  return new StreamLink(socket, options);
}

/** A connected socket. */
function streamSocket(peer: { readonly path: string } | { readonly fd: number }): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if ('fd' in peer) return resolve(new Socket({ fd: peer.fd }));
    const socket = withSocketPath(peer.path, (path) => connect({ path }));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

function nativeCalls(name: string, kind: string): NetworkCalls {
  const calls = loadNetworkCalls();
  if (calls !== null) return calls;
  throw new KrunError('ERR_NET_NATIVE', `Cannot open ${name}: ${kind} needs functions of the C library`, {
    stage: 'resources',
    hint: 'install the optional package koffi on 64-bit Linux, or use passt or a stream socket',
  });
}

function cannotOpen(
  name: string,
  backend: Exclude<InterfaceSpec['backend'], { kind: 'passt' }>,
  cause: Error,
): KrunError {
  const where = backend.kind === 'tap' ? backend.name : 'path' in backend ? backend.path : `descriptor ${backend.fd}`;
  const hint =
    backend.kind === 'tap'
      ? 'a tap needs /dev/net/tun, and either the interface given to this user (ip tuntap add ... user) or CAP_NET_ADMIN'
      : undefined;
  const message = `Cannot open ${name} at ${backend.kind} ${where}: ${cause.message}`;
  return new KrunError('ERR_NET_OPEN', message, { stage: 'resources', hint, cause });
}

/** One that belongs to nobody: locally administered, of no group. */
function randomMac(): Uint8Array {
  const mac = randomBytes(6);
  mac[0] = ((mac[0] ?? 0) & 0xfc) | 0x02;
  return mac;
}
