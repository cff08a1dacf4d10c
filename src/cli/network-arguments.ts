import type { MicroVmOptions, NetworkOptions, VsockPortOptions } from '../index.ts';
import { parseInterfaces } from './interface-arguments.ts';
import { UsageError } from './usage-error.ts';

/** What `--network`, `--net`, `--publish` and `--vsock` were given. */
export interface NetworkArguments {
  readonly network?: readonly string[] | undefined;
  readonly net?: readonly string[] | undefined;
  readonly publish?: readonly string[] | undefined;
  readonly vsock?: readonly string[] | undefined;
}

/**
 * Options of the network and of vsock ports; nothing for what was not said.
 *
 * @throws {UsageError} what cannot be read; rules themselves are checked with the other options
 */
export function parseNetwork({
  network = [],
  net = [],
  publish = [],
  vsock = [],
}: NetworkArguments): Pick<MicroVmOptions, 'network' | 'vsock'> {
  const words = network.flatMap((item) => item.split(',')).map((word) => word.trim());
  if (words.includes('')) throw new UsageError(`Cannot use --network ${network.join(' ')}: it has an empty rule`);
  if (words.length > 0 && net.length > 0)
    throw new UsageError('Cannot use --network and --net together: rules do not reach network interfaces');
  const ports = Object.fromEntries(publish.map(parsePublish));
  const unixPorts = vsock.map(parseVsock);
  return {
    ...(net.length > 0
      ? { network: { ...parseInterfaces(net), ...(publish.length > 0 && { ports }) } }
      : words.length + publish.length > 0 && { network: networkOf(words, ports) }),
    ...(unixPorts.length > 0 && { vsock: { ports: unixPorts } }),
  };
}

/** `none`, `all`, and rules; `!` in front of a rule forbids. Forbidding alone leaves the rest allowed. */
function networkOf(words: readonly string[], ports: Record<string, number>): 'none' | NetworkOptions {
  const hasPorts = Object.keys(ports).length > 0;
  const rules = words.filter((word) => word !== 'all' && word !== 'none');
  if (words.includes('none') && words.length > 1)
    throw new UsageError('Cannot use --network none: other rules are there, too');
  if (words.includes('none') && !hasPorts) return 'none';
  const deny = rules.filter((rule) => rule.startsWith('!')).map((rule) => rule.slice(1));
  const allow = rules.filter((rule) => !rule.startsWith('!'));
  // Published ports alone let others in, and nothing out.
  const isClosed = words.length === 0 || words.includes('none');
  return {
    ...((allow.length > 0 || isClosed) && !words.includes('all') && { allow }),
    ...(deny.length > 0 && { deny }),
    ...(hasPorts && { ports }),
  };
}

/** [ADDRESS:]HOST:GUEST; an IPv6 address stands in brackets. */
function parsePublish(text: string): [host: string, guest: number] {
  const match = /^((?:\[[^\]]+\]:|[^:[\]]+:)?\d+):(\d+)$/.exec(text);
  if (match?.[1] === undefined)
    throw new UsageError(`Cannot publish "${text}": expected HOST:GUEST or ADDRESS:HOST:GUEST`);
  return [match[1], Number(match[2])];
}

/** PORT:PATH[:listen] */
function parseVsock(text: string): VsockPortOptions {
  const match = /^(\d+):(.+?)(:listen)?$/.exec(text);
  if (match?.[2] === undefined) throw new UsageError(`Cannot use --vsock ${text}: expected PORT:PATH[:listen]`);
  return { port: Number(match[1]), path: match[2], listen: match[3] !== undefined };
}
