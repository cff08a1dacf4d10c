import { checkArray, checkBoolean, checkChoice, checkInteger, checkKeys, checkText, refuse } from './checks.ts';
import type { InterfaceOptions, MachineOptions, NetworkOffload, NetworkOptions } from './options.ts';
import type { InterfaceSpec, PublishedPortSpec } from './spec.ts';

/** Interrupts of a machine are few; the balloon, randomness, a console and a share take some. */
const INTERFACES_MAX = 6;
/** Longest name of an interface of the host. */
const INTERFACE_NAME_MAX = 15;
const FD_MAX = 0x7fff_ffff;

/** For which gvproxy, listening for vfkit, has an address ready. */
const VFKIT_MAC = '5a:94:ef:e4:0c:ee';

/** Bits of what may be left to the other side. @spec VIRTIO-1.2 §5.1.3 */
const OFFLOAD_BITS: Readonly<Record<NetworkOffload, number>> = {
  csum: 0,
  guest_csum: 1,
  guest_tso4: 7,
  guest_tso6: 8,
  guest_ufo: 10,
  host_tso4: 11,
  host_tso6: 12,
  host_ufo: 14,
};
const OFFLOADS = Object.keys(OFFLOAD_BITS) as NetworkOffload[];
const ALL_OFFLOADS = bitsOf(OFFLOADS);
const GUEST_SEGMENTS = bitsOf(['guest_tso4', 'guest_tso6', 'guest_ufo']);
const GUEST_CSUM = bitsOf(['guest_csum']);

const COMMON = ['type', 'mac', 'offloads'];

/** The options as an object; undefined: no network. */
export function networkObject({ network }: Pick<MachineOptions, 'network'>): NetworkOptions | undefined {
  if (network === undefined || network === 'none') return undefined;
  if (network === 'passt') return { interfaces: [{ type: 'passt' }] };
  if (typeof network === 'string') refuse('network', `expected "none", "passt" or an object, found "${network}"`);
  checkKeys('network', network, ['allow', 'deny', 'ports', 'dns', 'families', 'interfaces', 'dhcp']);
  return network;
}

/** Whether the guest has interfaces, and its own sockets stay its own. */
export function hasInterfacesOnly({ interfaces, families }: NetworkOptions): boolean {
  return (interfaces?.length ?? 0) > 0 && (families?.length ?? 0) === 0;
}

/**
 * Interfaces in the order of the guest's names, and whether init asks for eth0's address.
 *
 * @param ports those that a passt is to forward
 */
export function resolveInterfaces(
  network: NetworkOptions | undefined,
  ports: 'all' | readonly PublishedPortSpec[],
): { interfaces: InterfaceSpec[]; dhcp: boolean } {
  const interfaces = checkArray('network.interfaces', network?.interfaces).map(resolveInterface);
  if (interfaces.length > INTERFACES_MAX)
    refuse('network.interfaces', `${interfaces.length} are more than ${INTERFACES_MAX}`);
  const [first] = interfaces;
  const dhcp = checkBoolean('network.dhcp', network?.dhcp ?? (first !== undefined && hasDhcpServer(first)));
  if (dhcp && first === undefined) refuse('network.dhcp', 'there is no interface');
  if (network === undefined || !hasInterfacesOnly(network) || ports.length === 0) return { interfaces, dhcp };
  const at = interfaces.findIndex(({ backend }) => backend.kind === 'passt');
  if (at < 0) refuse('network.ports', 'only passt forwards them', 'set up forwarding where the other interface leads');
  return { interfaces: interfaces.map((one, index) => (index === at ? withPorts(one, ports) : one)), dhcp };
}

function hasDhcpServer({ backend }: InterfaceSpec): boolean {
  return backend.kind === 'passt' || (backend.kind === 'unixgram' && 'vfkit' in backend && backend.vfkit);
}

function withPorts(spec: InterfaceSpec, ports: 'all' | readonly PublishedPortSpec[]): InterfaceSpec {
  return spec.backend.kind === 'passt' ? { ...spec, backend: { ...spec.backend, ports } } : spec;
}

function resolveInterface(options: InterfaceOptions, index: number): InterfaceSpec {
  const what = `network.interfaces[${index}]`;
  const known = ['passt', 'unixstream', 'unixgram', 'tap'] as const;
  checkChoice(`${what}.type`, (options as { type?: unknown } | null)?.type, known);
  const backend = resolveBackend(what, options);
  const features = resolveOffloads(`${what}.offloads`, options.offloads, backend);
  const fallback = backend.kind === 'unixgram' && 'vfkit' in backend && backend.vfkit ? VFKIT_MAC : undefined;
  const mac = options.mac === undefined ? fallback : checkMac(`${what}.mac`, options.mac);
  return { ...(mac !== undefined && { mac }), features, backend };
}

function resolveBackend(what: string, options: InterfaceOptions): InterfaceSpec['backend'] {
  switch (options.type) {
    case 'passt': {
      checkKeys(what, options, [...COMMON, 'hostLoopback', 'program', 'args']);
      return {
        kind: 'passt',
        program: checkText(`${what}.program`, options.program ?? 'passt'),
        args: checkArray(`${what}.args`, options.args).map((arg) => checkText(`${what}.args`, arg)),
        hostLoopback: checkBoolean(`${what}.hostLoopback`, options.hostLoopback),
        ports: [],
      };
    }
    case 'unixstream':
      checkKeys(what, options, [...COMMON, 'path', 'fd']);
      return { kind: 'unixstream', ...checkPeer(what, options) };
    case 'unixgram': {
      checkKeys(what, options, [...COMMON, 'path', 'fd', 'vfkit']);
      const vfkit = checkBoolean(`${what}.vfkit`, options.vfkit);
      const peer = checkPeer(what, options);
      return { kind: 'unixgram', ...('path' in peer ? { ...peer, vfkit } : peer) };
    }
    case 'tap': {
      checkKeys(what, options, [...COMMON, 'name']);
      const name = checkText(`${what}.name`, options.name);
      if (!/^[!-.0-~]+$/.test(name) || name.length > INTERFACE_NAME_MAX)
        refuse(`${what}.name`, `"${name}" is no name of an interface`);
      return { kind: 'tap', name };
    }
  }
}

/** A socket by its path or by a descriptor, never both. */
function checkPeer(what: string, { path, fd }: { readonly path?: string; readonly fd?: number }) {
  if ((path === undefined) === (fd === undefined)) refuse(what, 'it needs either path or fd');
  return fd === undefined
    ? { path: checkText(`${what}.path`, path) }
    : { fd: checkInteger(`${what}.fd`, fd, 0, FD_MAX) };
}

function resolveOffloads(what: string, offloads: unknown, { kind }: InterfaceSpec['backend']): number {
  const given = offloads ?? (kind === 'passt' || kind === 'tap' ? 'all' : 'none');
  if (given === 'all') return ALL_OFFLOADS;
  if (given === 'none') return 0;
  const bits = bitsOf(checkArray(what, given as NetworkOffload[]).map((name) => checkChoice(what, name, OFFLOADS)));
  if (kind === 'tap' && (bits & GUEST_SEGMENTS) !== 0 && (bits & GUEST_CSUM) === 0)
    refuse(what, 'a guest that takes segments must take packets without a checksum, guest_csum, as well');
  return bits;
}

function bitsOf(names: readonly NetworkOffload[]): number {
  return names.reduce((bits, name) => bits | (1 << OFFLOAD_BITS[name]), 0);
}

/** Six pairs of hexadecimal digits; an address of a group is nobody's. */
function checkMac(what: string, value: unknown): string {
  const mac = checkText(what, value).toLowerCase();
  if (!/^[\da-f]{2}(:[\da-f]{2}){5}$/.test(mac)) refuse(what, `"${mac}" is no MAC address, as in 5a:94:ef:00:00:01`);
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) !== 0) refuse(what, `"${mac}" is the address of a group`);
  return mac;
}
