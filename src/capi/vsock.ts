import { existsSync, statSync } from 'node:fs';
import type { MachineOptions, NetworkOptions } from '../config/options.ts';
import { BadArgument, type CString, text, texts, unsigned } from './arguments.ts';
import { type Context, checking, withContext } from './contexts.ts';
import { EEXIST, EINVAL, ENODEV } from './errno.ts';
import { interfacesOf } from './net.ts';

/** Which of the guest's sockets become the host's. @spec LIBKRUN-H KRUN_TSI_* */
export const KRUN_TSI_HIJACK_INET = 1;
export const KRUN_TSI_HIJACK_UNIX = 2;

/**
 * Ports of the guest that the host offers, each `HOST:GUEST`. Never called, or NULL: all that the guest listens at;
 * an empty array: none. -EINVAL for malformed or repeated ports and after `krun_add_net_*`, -ENODEV when vsock is
 * disabled.
 */
export function krun_set_port_map(ctx_id: number, port_map: readonly CString[] | null): number {
  return checking(() => {
    const ports = port_map === null || port_map === undefined ? undefined : parsePortMap(texts(port_map));
    return withContext(ctx_id, (context) => {
      if (context.vsock === 'disabled') return -ENODEV;
      if (context.interfaces.length > 0) return -EINVAL;
      context.portMap = ports;
      return 0;
    });
  });
}

/** Joins a vsock port to a unix socket of the host to which the guest connects. */
export function krun_add_vsock_port(ctx_id: number, port: number, c_filepath: CString): number {
  return krun_add_vsock_port2(ctx_id, port, c_filepath, false);
}

/** The same; with `listen` the host connects to the path, which must not exist yet (-EEXIST), and reaches the guest. */
export function krun_add_vsock_port2(ctx_id: number, port: number, c_filepath: CString, listen: boolean): number {
  return checking(() => {
    const number = unsigned(port, 32);
    const path = text(c_filepath);
    if (listen === true && pathExists(path)) return -EEXIST;
    return withContext(ctx_id, (context) => {
      if (context.vsock === 'disabled') return -ENODEV;
      context.vsockPorts.set(number, { path, listen: listen === true });
      return 0;
    });
  });
}

/** The machine gets no vsock device, unless one is added after this call. */
export function krun_disable_implicit_vsock(ctx_id: number): number {
  return withContext(ctx_id, (context) => {
    context.vsock = 'disabled';
    return 0;
  });
}

/** Adds the vsock device with TSI flags; -EEXIST unless the implicit one was disabled, or when there is one. */
export function krun_add_vsock(ctx_id: number, tsi_features: number): number {
  return checking(() => {
    const tsi = unsigned(tsi_features, 32);
    const known = process.platform === 'darwin' ? KRUN_TSI_HIJACK_INET : KRUN_TSI_HIJACK_INET | KRUN_TSI_HIJACK_UNIX;
    if ((tsi & ~known) !== 0) throw new BadArgument('unknown flags');
    return withContext(ctx_id, (context) => {
      if (context.vsock !== 'disabled') return -EEXIST;
      context.vsock = { tsi };
      return 0;
    });
  });
}

/**
 * What the functions said, as options. Without a word there is a device with Internet sockets, or, beside network
 * interfaces, one for mapped ports only.
 */
export function networkOf(context: Context): Pick<MachineOptions, 'network' | 'vsock'> {
  const { vsock: state, vsockPorts, dhcp } = context;
  const interfaces = interfacesOf(context);
  const hasNet = interfaces.length > 0;
  const isImplicit = state === 'implicit';
  const isLeftOut = state === 'disabled' || (isImplicit && hasNet && vsockPorts.size === 0);
  const tsi = isLeftOut ? 0 : isImplicit ? (hasNet ? 0 : KRUN_TSI_HIJACK_INET) : state.tsi;
  const network = { ...tsiOf(tsi, context), ...(hasNet && { interfaces, dhcp }) };
  const ports = [...vsockPorts].map(([port, { path, listen }]) => ({ port, path, listen }));
  return {
    vsock: isLeftOut ? false : { ports },
    ...(Object.keys(network).length > 0 && { network }),
  };
}

function tsiOf(tsi: number, { portMap }: Context): Pick<NetworkOptions, 'families' | 'ports'> {
  const families = [
    ...((tsi & KRUN_TSI_HIJACK_INET) !== 0 ? (['inet'] as const) : []),
    ...((tsi & KRUN_TSI_HIJACK_UNIX) !== 0 ? (['unix'] as const) : []),
  ];
  if (families.length === 0) return {};
  const ports =
    portMap === undefined ? 'all' : Object.fromEntries(portMap.map(([host, guest]) => [`*:${host}`, guest]));
  return { families, ports };
}

function parsePortMap(entries: readonly string[]): [host: number, guest: number][] {
  const ports = entries.map((entry): [number, number] => {
    const match = /^\+?(\d+):\+?(\d+)$/.exec(entry);
    const [host, guest] = [Number(match?.[1]), Number(match?.[2])];
    if (!(host <= 0xffff && guest <= 0xffff)) throw new BadArgument('no pair of ports');
    return [host, guest];
  });
  const [hosts, guests] = [new Set(ports.map(([host]) => host)), new Set(ports.map(([, guest]) => guest))];
  if (hosts.size < ports.length || guests.size < ports.length) throw new BadArgument('a port is there twice');
  return ports;
}

/** Like upstream's check: what cannot be looked at is -EINVAL. */
function pathExists(path: string): boolean {
  if (existsSync(path)) return true;
  try {
    statSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw new BadArgument('cannot look for the path');
  }
}
