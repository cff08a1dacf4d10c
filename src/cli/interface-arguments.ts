import type { InterfaceOptions, NetworkOffload, NetworkOptions } from '../index.ts';
import { UsageError } from './usage-error.ts';

const USAGE = 'expected passt, unix:PATH, unixgram:PATH or tap:NAME, with ,mac=..., ,dhcp and others behind it';

/** A comma in a path is not one of these. */
const SEPARATOR = /,(?=(?:mac=|offloads=|arg=|vfkit|host-loopback|dhcp|no-dhcp)[^,]*)/;

/**
 * Interfaces from `--net`, each KIND[:WHERE][,OPTION...]; nothing when there are none.
 *
 * @throws {UsageError} what cannot be read; the rest is checked with the other options
 */
export function parseInterfaces(items: readonly string[]): Pick<NetworkOptions, 'interfaces' | 'dhcp'> {
  if (items.length === 0) return {};
  const parsed = items.map(parseInterface);
  const [dhcp] = parsed.flatMap((one) => one.dhcp ?? []);
  return { interfaces: parsed.map(({ options }) => options), ...(dhcp !== undefined && { dhcp }) };
}

function parseInterface(text: string): { options: InterfaceOptions; dhcp: boolean | undefined } {
  const [head = '', ...words] = text.split(SEPARATOR);
  const colon = head.indexOf(':');
  const kind = colon < 0 ? head : head.slice(0, colon);
  const where = colon < 0 ? '' : head.slice(colon + 1);
  const valuesOf = (name: string): string[] =>
    words.flatMap((word) => (word.startsWith(name) ? [word.slice(name.length)] : []));
  const [mac] = valuesOf('mac=');
  const [offloads] = valuesOf('offloads=');
  const common = {
    ...(mac !== undefined && { mac }),
    ...(offloads !== undefined && { offloads: parseOffloads(offloads) }),
  };
  const dhcp = words.includes('dhcp') ? true : words.includes('no-dhcp') ? false : undefined;
  const options = { ...place(text, kind, where, words, valuesOf('arg=')), ...common };
  return { options, dhcp };
}

function place(text: string, kind: string, where: string, words: readonly string[], args: string[]): InterfaceOptions {
  if (kind === 'passt' && where === '') {
    const hostLoopback = words.includes('host-loopback');
    return { type: 'passt', ...(hostLoopback && { hostLoopback }), ...(args.length > 0 && { args }) };
  }
  if (where === '') throw new UsageError(`Cannot use --net ${text}: ${USAGE}`);
  const fd = /^fd=(\d+)$/.exec(where)?.[1];
  const peer = fd === undefined ? { path: where } : { fd: Number(fd) };
  if (kind === 'unix') return { type: 'unixstream', ...peer };
  if (kind === 'unixgram') return { type: 'unixgram', ...peer, ...(words.includes('vfkit') && { vfkit: true }) };
  if (kind === 'tap') return { type: 'tap', name: where };
  throw new UsageError(`Cannot use --net ${text}: ${USAGE}`);
}

/** `all`, `none`, or names joined by "+". */
function parseOffloads(text: string): 'all' | 'none' | NetworkOffload[] {
  return text === 'all' || text === 'none' ? text : (text.split('+') as NetworkOffload[]);
}
