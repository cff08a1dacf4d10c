import type { EgressRuleSpec, EgressSpec } from '../../config/spec.ts';
import { effectiveIp, formatIp, type IpAddress, inNetwork, isPrivate, parseIp } from '../../base/ip-address.ts';

/** Addresses that are remembered for names. */
const LEARNED_MAX = 4096;
/** Names of one address that are remembered. */
const NAMES_MAX = 8;
/** Programs keep addresses longer than DNS allows; connections to them go on working for so long. */
const LEARNED_MS_MIN = 10 * 60_000;
const LEARNED_MS_MAX = 24 * 3_600_000;

/**
 * What the guest may reach. `deny` wins; without `allow` the rest is allowed. A rule about a name covers the
 * addresses that our own resolver gave for it, except those of this host or site: whoever owns a name must not
 * choose which of our neighbours the guest talks to.
 */
export class EgressPolicy {
  /** Whether any rule is about a name, so that DNS has to go through us. */
  readonly hasNames: boolean;
  /** Whether nothing is forbidden. */
  readonly isOpen: boolean;
  readonly #allow: readonly EgressRuleSpec[] | undefined;
  readonly #deny: readonly EgressRuleSpec[];
  readonly #nowMs: () => number;
  /** By address; the oldest first. */
  readonly #learned = new Map<string, Map<string, number>>();

  constructor({ allow, deny }: EgressSpec, nowMs: () => number) {
    this.#allow = allow;
    this.#deny = deny;
    this.#nowMs = nowMs;
    this.hasNames = [...(allow ?? []), ...deny].some(({ host }) => host.kind === 'name');
    this.isOpen = allow === undefined && deny.length === 0;
  }

  /** Whether the guest may send to a port of an address, given as text. */
  allows(address: string, port: number): boolean {
    const ip = parseIp(address.replace(/%.*$/, ''));
    if (ip === undefined) return false;
    const target = effectiveIp(ip);
    const names = this.#namesOf(target);
    const covers = (rule: EgressRuleSpec): boolean => portFits(rule, port) && hostFits(rule, target, names);
    if (this.#deny.some(covers)) return false;
    if (this.#allow === undefined) return true;
    return this.#allow.some((rule) => (rule.host.kind === 'name' && isPrivate(target) ? false : covers(rule)));
  }

  /** Whether the guest may ask for a name at all; ports come later. */
  allowsName(name: string): boolean {
    const matches = ({ host }: EgressRuleSpec): boolean => host.kind === 'name' && nameFits(host, name);
    const everyPort = ({ ports }: EgressRuleSpec): boolean => ports.from === 0 && ports.to === 0xffff;
    if (this.#deny.some((rule) => everyPort(rule) && matches(rule))) return false;
    return this.#allow === undefined || this.#allow.some((rule) => rule.host.kind === 'any' || matches(rule));
  }

  /** Our resolver says that a name has this address. */
  learn(name: string, address: IpAddress, ttlSeconds: number): void {
    const key = formatIp(effectiveIp(address));
    const names = this.#learned.get(key) ?? new Map<string, number>();
    this.#learned.delete(key);
    this.#learned.set(key, names);
    names.delete(name);
    names.set(name, this.#nowMs() + Math.min(LEARNED_MS_MAX, Math.max(LEARNED_MS_MIN, ttlSeconds * 1000)));
    dropOldest(names, NAMES_MAX);
    dropOldest(this.#learned, LEARNED_MAX);
  }

  #namesOf(target: IpAddress): string[] {
    const now = this.#nowMs();
    return [...(this.#learned.get(formatIp(target)) ?? [])].filter(([, until]) => until > now).map(([name]) => name);
  }
}

function portFits({ ports }: EgressRuleSpec, port: number): boolean {
  return port >= ports.from && port <= ports.to;
}

function hostFits({ host }: EgressRuleSpec, target: IpAddress, names: readonly string[]): boolean {
  switch (host.kind) {
    case 'any':
      return true;
    case 'network':
      return inNetwork(target, host.bytes, host.prefix);
    case 'name':
      return names.some((name) => nameFits(host, name));
  }
}

/** `*.example.com` is everything below example.com, and not itself. */
function nameFits(host: Extract<EgressRuleSpec['host'], { kind: 'name' }>, name: string): boolean {
  return host.subdomains ? name.endsWith(`.${host.name}`) : name === host.name;
}

function dropOldest(map: Map<string, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return;
    map.delete(key);
  }
}
