import type { NetworkCalls } from '../../native/network.ts';
import type { LinkOptions, OpenNet } from './link.ts';
import {
  IFF_NO_PI,
  IFF_TAP,
  IFF_VNET_HDR,
  IFNAME_MAX,
  IFREQ_BYTES,
  NetError,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  TUN_F_CSUM,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_UFO,
  TUNSETIFF,
  TUNSETOFFLOAD,
  TUNSETVNETHDRSZ,
} from './linux.ts';
import { HEADER_BYTES, PacketLink } from './packet-link.ts';

const TUN = Buffer.from('/dev/net/tun\0');

/** What the host may leave undone for a guest that agreed to it. @spec VIRTIO-1.2 §5.1.3 */
const OFFLOADS = [
  [1n << 1n, TUN_F_CSUM], // VIRTIO_NET_F_GUEST_CSUM
  [1n << 7n, TUN_F_TSO4],
  [1n << 8n, TUN_F_TSO6],
  [1n << 10n, TUN_F_UFO],
] as const;

/**
 * A tap interface of the host, by its name; it is made when there is none and we may. Headers go through it untouched.
 *
 * @throws {NetError}
 */
export function openTapLink(calls: NetworkCalls, interfaceName: string, options: LinkOptions): OpenNet {
  const fd = calls.open(TUN, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) throw new NetError('open /dev/net/tun', fd);
  try {
    succeed(`attach to interface ${interfaceName}`, calls.ioctl(fd, TUNSETIFF, interfaceRequest(interfaceName)));
    succeed('set the length of headers', calls.ioctl(fd, TUNSETVNETHDRSZ, int(HEADER_BYTES)));
    succeed('set offloads', calls.ioctlNumber(fd, TUNSETOFFLOAD, 0));
    const onAttach = (features: bigint): void => setOffloads(calls, fd, features);
    return new PacketLink(calls, fd, { ...options, hasHeaders: true, onAttach });
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}

/** Segmentation without checksums is nothing a host can be asked for; one without UFO is asked for the rest. */
function setOffloads(calls: NetworkCalls, fd: number, features: bigint): void {
  let flags = 0;
  for (const [feature, flag] of OFFLOADS) if ((features & feature) !== 0n) flags |= flag;
  if ((flags & TUN_F_CSUM) === 0) flags = 0;
  if (calls.ioctlNumber(fd, TUNSETOFFLOAD, flags) < 0) calls.ioctlNumber(fd, TUNSETOFFLOAD, flags & ~TUN_F_UFO);
}

function interfaceRequest(name: string): Uint8Array {
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(name.slice(0, IFNAME_MAX), 'latin1');
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, IFNAME_MAX + 1);
  return request;
}

function int(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function succeed(what: string, result: number): void {
  if (result < 0) throw new NetError(what, result);
}
