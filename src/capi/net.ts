import type { InterfaceOptions, NetworkOffload } from '../config/options.ts';
import { BadArgument, type CString, int, text, unsigned } from './arguments.ts';
import { type Context, checking, withContext } from './contexts.ts';
import { EINVAL } from './errno.ts';

/** Flags of an interface. @spec LIBKRUN-H NET_FLAG_* */
export const NET_FLAG_VFKIT = 1;
export const NET_FLAG_DHCP_CLIENT = 2;

/** Offloads of an interface. @spec LIBKRUN-H NET_FEATURE_* */
export const NET_FEATURE_CSUM = 1 << 0;
export const NET_FEATURE_GUEST_CSUM = 1 << 1;
export const NET_FEATURE_GUEST_TSO4 = 1 << 7;
export const NET_FEATURE_GUEST_TSO6 = 1 << 8;
export const NET_FEATURE_GUEST_UFO = 1 << 10;
export const NET_FEATURE_HOST_TSO4 = 1 << 11;
export const NET_FEATURE_HOST_TSO6 = 1 << 12;
export const NET_FEATURE_HOST_UFO = 1 << 14;

/** Those of `krun_set_passt_fd` and `krun_set_gvproxy_path`. @spec LIBKRUN-H COMPAT_NET_FEATURES */
export const COMPAT_NET_FEATURES =
  NET_FEATURE_CSUM |
  NET_FEATURE_GUEST_CSUM |
  NET_FEATURE_GUEST_TSO4 |
  NET_FEATURE_GUEST_UFO |
  NET_FEATURE_HOST_TSO4 |
  NET_FEATURE_HOST_UFO;

const OFFLOADS: readonly (readonly [number, NetworkOffload])[] = [
  [NET_FEATURE_CSUM, 'csum'],
  [NET_FEATURE_GUEST_CSUM, 'guest_csum'],
  [NET_FEATURE_GUEST_TSO4, 'guest_tso4'],
  [NET_FEATURE_GUEST_TSO6, 'guest_tso6'],
  [NET_FEATURE_GUEST_UFO, 'guest_ufo'],
  [NET_FEATURE_HOST_TSO4, 'host_tso4'],
  [NET_FEATURE_HOST_TSO6, 'host_tso6'],
  [NET_FEATURE_HOST_UFO, 'host_ufo'],
];
const KNOWN_FEATURES = OFFLOADS.reduce((bits, [bit]) => bits | bit, 0);
const GUEST_SEGMENTS = NET_FEATURE_GUEST_TSO4 | NET_FEATURE_GUEST_TSO6 | NET_FEATURE_GUEST_UFO;

/** Six bytes, or more of which six count. */
export type MacAddress = Uint8Array | readonly number[];

/**
 * Adds an interface whose frames travel over a stream socket: of a path, or (with a NULL path) of a descriptor that is
 * connected. -EINVAL for both or neither, for unknown features, and for any flag but DHCP.
 */
export function krun_add_net_unixstream(
  ctx_id: number,
  c_path: CString,
  fd: number,
  c_mac: MacAddress,
  features: number,
  flags: number,
): number {
  return checking(() => {
    const common = commonOf(c_mac, features);
    const { dhcp } = flagsOf(flags, NET_FLAG_DHCP_CLIENT);
    return addInterface(ctx_id, { type: 'unixstream', ...peerOf(c_path, fd), ...common }, dhcp);
  });
}

/** The same over datagrams. NET_FLAG_VFKIT greets the peer at a path. */
export function krun_add_net_unixgram(
  ctx_id: number,
  c_path: CString,
  fd: number,
  c_mac: MacAddress,
  features: number,
  flags: number,
): number {
  return checking(() => {
    const common = commonOf(c_mac, features);
    const { dhcp, vfkit } = flagsOf(flags, NET_FLAG_DHCP_CLIENT | NET_FLAG_VFKIT);
    const peer = peerOf(c_path, fd);
    return addInterface(ctx_id, { type: 'unixgram', ...peer, ...common, vfkit: vfkit && 'path' in peer }, dhcp);
  });
}

/** Adds an interface that is a tap of the host. Linux only; segments without GUEST_CSUM are -EINVAL. */
export function krun_add_net_tap(
  ctx_id: number,
  c_tap_name: CString,
  c_mac: MacAddress,
  features: number,
  flags: number,
): number {
  return checking(() => {
    const name = text(c_tap_name);
    const common = commonOf(c_mac, features);
    const { dhcp } = flagsOf(flags, NET_FLAG_DHCP_CLIENT);
    if (process.platform !== 'linux') return -EINVAL;
    if ((features & GUEST_SEGMENTS) !== 0 && (features & NET_FEATURE_GUEST_CSUM) === 0) return -EINVAL;
    return addInterface(ctx_id, { type: 'tap', name, ...common }, dhcp);
  });
}

/** Deprecated: an interface over a connected stream socket; -EINVAL after `krun_add_net_*`. The last call counts. */
export function krun_set_passt_fd(ctx_id: number, fd: number): number {
  return setOldNet(ctx_id, () => {
    if (int(fd) < 0) throw new BadArgument('no descriptor');
    return { type: 'unixstream', fd };
  });
}

/** Deprecated: an interface to gvproxy in vfkit mode; -EINVAL after `krun_add_net_*`. The last call counts. */
export function krun_set_gvproxy_path(ctx_id: number, c_path: CString): number {
  return setOldNet(ctx_id, () => ({ type: 'unixgram', path: text(c_path), vfkit: true }));
}

/** The MAC address of the interface that the deprecated functions make. */
export function krun_set_net_mac(ctx_id: number, c_mac: MacAddress): number {
  return checking(() => {
    const mac = macOf(c_mac);
    return withContext(ctx_id, (context) => {
      context.oldNetMac = mac;
      return 0;
    });
  });
}

/** Interfaces in call order; the one of the deprecated functions is the last. */
export function interfacesOf({ interfaces, oldNet, oldNetMac }: Context): readonly InterfaceOptions[] {
  if (oldNet === undefined) return interfaces;
  return [...interfaces, { ...oldNet, mac: oldNetMac, offloads: offloadsOf(COMPAT_NET_FEATURES) }];
}

function addInterface(id: number, options: InterfaceOptions, dhcp: boolean): number {
  return withContext(id, (context) => {
    context.interfaces.push(options);
    context.dhcp ||= dhcp;
    return 0;
  });
}

function setOldNet(id: number, check: () => NonNullable<Context['oldNet']>): number {
  return checking(() => {
    const oldNet = check();
    return withContext(id, (context) => {
      if (context.interfaces.length > 0) return -EINVAL;
      context.oldNet = oldNet;
      return 0;
    });
  });
}

/** Text that is not UTF-8 counts as no path. */
function peerOf(path: CString, fd: number): { readonly path: string } | { readonly fd: number } {
  const name = pathOrNone(path);
  const number = int(fd);
  if ((name === undefined) === number < 0) throw new BadArgument('either a path or a descriptor');
  return name === undefined ? { fd: number } : { path: name };
}

function pathOrNone(path: CString): string | undefined {
  try {
    return path === null ? undefined : text(path);
  } catch {
    return undefined;
  }
}

function commonOf(mac: MacAddress, features: number): { mac: string; offloads: readonly NetworkOffload[] } {
  const bits = unsigned(features, 32);
  if ((bits & ~KNOWN_FEATURES) !== 0) throw new BadArgument('unknown features');
  return { mac: macOf(mac), offloads: offloadsOf(bits) };
}

function offloadsOf(features: number): NetworkOffload[] {
  return OFFLOADS.filter(([bit]) => (features & bit) !== 0).map(([, name]) => name);
}

function flagsOf(flags: number, known: number): { dhcp: boolean; vfkit: boolean } {
  const bits = unsigned(flags, 32);
  if ((bits & ~known) !== 0) throw new BadArgument('unknown flags');
  return { dhcp: (bits & NET_FLAG_DHCP_CLIENT) !== 0, vfkit: (bits & NET_FLAG_VFKIT) !== 0 };
}

/** C reads six bytes from wherever the pointer leads; here they must be there. */
function macOf(mac: MacAddress): string {
  const bytes = Array.from(mac ?? []).slice(0, 6);
  if (bytes.length < 6) throw new BadArgument('no six bytes');
  return bytes.map((byte) => unsigned(byte, 8).toString(16).padStart(2, '0')).join(':');
}
