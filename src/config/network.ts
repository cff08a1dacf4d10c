import { effectiveIp, parseIp } from '../base/ip-address.ts';
import { checkArray, checkChoice, checkInteger, checkKeys, checkText, refuse } from './checks.ts';
import { hasInterfacesOnly, networkObject, resolveInterfaces } from './network-interfaces.ts';
import type { MachineOptions, NetworkOptions, VsockOptions } from './options.ts';
import type { EgressRuleSpec, MachineSpec, PublishedPortSpec, UnixPortSpec, VsockSpec } from './spec.ts';

const PORT_MAX = 0xffff;
/** VMADDR_PORT_ANY is no port. */
const VSOCK_PORT_MAX = 0xffff_fffe;

/** The vsock device with what goes through it (absent: there is none), and network interfaces. */
export function resolveNetwork(options: MachineOptions): Pick<MachineSpec, 'vsock' | 'interfaces' | 'dhcp'> {
  const network = networkObject(options);
  const ports = network?.ports === 'all' ? 'all' : resolvePorts(network?.ports ?? {});
  const vsock = resolveVsock(options.vsock, network, ports);
  return { ...resolveInterfaces(network, ports), ...(vsock !== undefined && { vsock }) };
}

function resolveVsock(
  vsock: MachineOptions['vsock'],
  network: NetworkOptions | undefined,
  ports: VsockSpec['ports'],
): VsockSpec | undefined {
  const net = network !== undefined && hasInterfacesOnly(network) ? refuseRules(network) : network;
  if (vsock === false && net === undefined) return undefined;
  if (vsock === false) refuse('vsock', 'the network goes through it', 'leave out network, or vsock: false');
  const families = checkArray('network.families', net?.families ?? ['inet']).map((family) =>
    checkChoice('network.families', family, ['inet', 'unix']),
  );
  return {
    tsi: {
      inet: net !== undefined && families.includes('inet'),
      unix: net !== undefined && families.includes('unix'),
    },
    egress: {
      ...(net?.allow !== undefined && { allow: resolveRules('network.allow', net.allow) }),
      deny: resolveRules('network.deny', net?.deny),
    },
    ports: net === undefined ? [] : ports,
    ...(net?.dns !== undefined && { resolvers: resolveServers(net.dns) }),
    unixPorts: resolveUnixPorts(vsock ?? {}),
  };
}

/** What would not be enforced must not be asked for. */
function refuseRules(network: NetworkOptions): undefined {
  for (const rule of ['allow', 'deny', 'dns'] as const)
    if (network[rule] !== undefined)
      refuse(`network.${rule}`, 'rules do not reach network interfaces', 'leave out interfaces, or the rules');
}

function resolveRules(what: string, rules: readonly string[] | undefined): EgressRuleSpec[] {
  return checkArray(what, rules).map((rule, index) => {
    const name = `${what}[${index}]`;
    const text = checkText(name, rule);
    return parseRule(text) ?? refuse(name, `"${text}" is no name, address or network, with or without a port`);
  });
}

/** `HOST`, `HOST:PORT`, `HOST:LOW-HIGH` or `:PORT`; an IPv6 host stands in brackets when a port follows. */
export function parseRule(text: string): EgressRuleSpec | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d+)(?:-(\d+))?|:\*)?$/.exec(text) ?? [text, undefined, text];
  const [, bracketed, plain = '', low, high = low] = match;
  const ports = low === undefined ? { from: 0, to: PORT_MAX } : { from: Number(low), to: Number(high) };
  if (ports.from > ports.to || ports.to > PORT_MAX) return undefined;
  const host = bracketed ?? plain;
  if (host === '' && low === undefined) return undefined;
  if (host === '' || host === '*') return { host: { kind: 'any' }, ports };
  const network = parseNetwork(host);
  if (network !== undefined) return { host: network, ports };
  const subdomains = host.startsWith('*.');
  const name = (subdomains ? host.slice(2) : host).toLowerCase().replace(/\.$/, '');
  const isName =
    bracketed === undefined && /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*$/.test(name);
  // A last label of digits is a mistyped address, never a name.
  return isName && !/(^|\.)\d+$/.test(name) ? { host: { kind: 'name', name, subdomains }, ports } : undefined;
}

function parseNetwork(text: string): Extract<EgressRuleSpec['host'], { kind: 'network' }> | undefined {
  const [address = '', prefixText, ...rest] = text.split('/');
  const ip = parseIp(address);
  if (ip === undefined || rest.length > 0 || !/^\d{0,3}$/.test(prefixText ?? '') || prefixText === '') return undefined;
  const prefix = prefixText === undefined ? ip.length * 8 : Number(prefixText);
  if (prefix > ip.length * 8) return undefined;
  const isHost = prefix === ip.length * 8;
  const plain = isHost || (ip.length === 16 && prefix >= 96) ? effectiveIp(ip) : ip;
  return { kind: 'network', bytes: Array.from(plain), prefix: prefix - (ip.length - plain.length) * 8 };
}

function resolvePorts(ports: Readonly<Record<string, number>>): PublishedPortSpec[] {
  if (typeof ports !== 'object' || ports === null) refuse('network.ports', 'expected "all" or an object');
  const list = Object.entries(ports).map(([host, guest]) => {
    const what = `network.ports["${host}"]`;
    const match = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(host);
    if (match === null) refuse(what, 'expected PORT or ADDRESS:PORT of the host');
    const address = match[1] ?? match[2] ?? '127.0.0.1';
    if (address !== '*' && parseIp(address) === undefined) refuse(what, `"${address}" is no address`);
    const hostPort = checkInteger(what, Number(match[3]), 0, PORT_MAX);
    return { hostPort, guestPort: checkInteger(what, guest, 0, PORT_MAX), ...(address !== '*' && { address }) };
  });
  const guests = list.map(({ guestPort }) => guestPort);
  const twice = guests.find((port, at) => guests.indexOf(port) !== at);
  if (twice !== undefined) refuse('network.ports', `port ${twice} of the guest is there twice`);
  return list;
}

function resolveServers(servers: readonly string[]): { address: string; port: number }[] {
  return checkArray('network.dns', servers).map((server, index) => {
    const what = `network.dns[${index}]`;
    const text = checkText(what, server);
    const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [text, text];
    const address = match[1] ?? match[2] ?? '';
    if (parseIp(address) === undefined) refuse(what, `"${text}" is no address`);
    return { address, port: checkInteger(what, Number(match[3] ?? 53), 1, PORT_MAX) };
  });
}

function resolveUnixPorts(vsock: VsockOptions): UnixPortSpec[] {
  checkKeys('vsock', vsock, ['ports']);
  const list = checkArray('vsock.ports', vsock.ports).map((item, index) => {
    const what = `vsock.ports[${index}]`;
    checkKeys(what, item, ['port', 'path', 'listen']);
    return {
      port: checkInteger(`${what}.port`, item.port, 0, VSOCK_PORT_MAX),
      path: checkText(`${what}.path`, item.path),
      listen: item.listen === true,
    };
  });
  const numbers = list.map(({ port }) => port);
  const twice = numbers.find((port, at) => numbers.indexOf(port) !== at);
  if (twice !== undefined) refuse('vsock.ports', `port ${twice} is there twice`);
  return list;
}
