import { parseArgs } from 'node:util';
import type { DiskOptions, MicroVmOptions, RootDiskOptions, VolumeOptions } from '../index.ts';
import { bringsItsOwn, KERNEL_OPTIONS, parseKernel } from './kernel-arguments.ts';
import { parseNetwork } from './network-arguments.ts';
import { PORT_OPTIONS, type PortEnds, parsePorts } from './port-arguments.ts';
import { UsageError } from './usage-error.ts';

/** What `krun run` was asked to do. */
export interface RunArguments {
  readonly options: MicroVmOptions;
  readonly json: boolean;
  readonly help: boolean;
  /** Standard streams as pipes even when they are a terminal. */
  readonly noTty: boolean;
  /** Ports that are joined to files. */
  readonly ports: readonly PortEnds[];
}

const OPTIONS = {
  root: { type: 'string' },
  'read-only': { type: 'boolean' },
  volume: { type: 'string', multiple: true, short: 'v' },
  disk: { type: 'string', multiple: true, short: 'd' },
  'root-disk': { type: 'string' },
  network: { type: 'string', multiple: true },
  net: { type: 'string', multiple: true },
  publish: { type: 'string', multiple: true, short: 'p' },
  vsock: { type: 'string', multiple: true },
  memory: { type: 'string', short: 'm' },
  cpus: { type: 'string' },
  env: { type: 'string', multiple: true, short: 'e' },
  workdir: { type: 'string', short: 'w' },
  hostname: { type: 'string' },
  timeout: { type: 'string' },
  console: { type: 'string' },
  engine: { type: 'string' },
  ...KERNEL_OPTIONS,
  ...PORT_OPTIONS,
  'no-tty': { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/**
 * Reads the arguments after `krun run`.
 *
 * @param hostEnv where `--env NAME` without a value is looked up
 * @throws {UsageError} unknown option, bad value, or no command after `--`
 */
export function parseRunArguments(
  args: readonly string[],
  hostEnv: Readonly<Record<string, string | undefined>>,
): RunArguments {
  const { before, command } = splitCommand(args);
  const values = parseOptions(before);
  const help = values.help === true;
  if (!help && command.length === 0 && !bringsItsOwn(values)) throw new UsageError('Cannot run: no command after "--"');
  const env = (values.env ?? []).flatMap((item) => parseEnv(item, hostEnv));
  const volumes = (values.volume ?? []).map(parseVolume);
  const disks = (values.disk ?? []).map(parseDisk);
  return {
    help,
    json: values.json === true,
    noTty: values['no-tty'] === true,
    ports: parsePorts(values),
    options: {
      command,
      ...(values.root !== undefined && { root: values.root }),
      ...(values['read-only'] === true && { readOnly: true }),
      ...(volumes.length > 0 && { volumes }),
      ...(disks.length > 0 && { disks }),
      ...(values['root-disk'] !== undefined && { rootDisk: parseRootDisk(values['root-disk']) }),
      ...parseNetwork(values),
      ...(env.length > 0 && { env }),
      ...(values.memory !== undefined && { memoryMiB: parseMemory(values.memory) }),
      ...(values.cpus !== undefined && { vcpus: parseCount('--cpus', values.cpus) }),
      ...(values.workdir !== undefined && { workdir: values.workdir }),
      ...(values.hostname !== undefined && { hostname: values.hostname }),
      ...(values.timeout !== undefined && { timeoutMs: parseSeconds(values.timeout) }),
      ...(values.console !== undefined && { console: { logFile: values.console } }),
      ...(values.engine !== undefined && { engine: parseEngine(values.engine) }),
      ...parseKernel(values),
    },
  };
}

/** Everything after the first `--` belongs to the guest, dashes and all. */
function splitCommand(args: readonly string[]): { before: string[]; command: string[] } {
  const at = args.indexOf('--');
  return at < 0 ? { before: [...args], command: [] } : { before: args.slice(0, at), command: args.slice(at + 1) };
}

function parseOptions(args: string[]) {
  try {
    const { values, positionals } = parseArgs({ args, options: OPTIONS, strict: true, allowPositionals: true });
    const [first] = positionals;
    if (first !== undefined) throw new UsageError(`Cannot understand "${first}": put "--" before the command`);
    return values;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const [message = ''] = (error as Error).message.split('. ');
    throw new UsageError(`Cannot understand the options: ${message}`);
  }
}

function parseEnv(item: string, hostEnv: Readonly<Record<string, string | undefined>>): string[] {
  const at = item.indexOf('=');
  if (at === 0 || item === '') throw new UsageError(`Cannot set variable: "${item}" has no name`);
  if (at > 0) return [item];
  const value = hostEnv[item];
  return value === undefined ? [] : [`${item}=${value}`];
}

/** HOST:GUEST[:ro]; split from the right, because host paths may hold colons. */
function parseVolume(text: string): VolumeOptions {
  const mode = /:(ro|rw)$/.exec(text);
  const rest = mode === null ? text : text.slice(0, mode.index);
  const at = rest.lastIndexOf(':');
  const hostPath = rest.slice(0, at);
  const guestPath = rest.slice(at + 1);
  if (at < 1 || !guestPath.startsWith('/')) {
    throw new UsageError(`Cannot add volume "${text}": expected HOST:GUEST[:ro] with an absolute GUEST`);
  }
  return { hostPath, guestPath, readOnly: mode?.[1] === 'ro' };
}

/** FILE[:FORMAT][:ro]; from the right, because host paths may hold colons. Only a known format is one. */
function parseDisk(text: string): DiskOptions {
  const mode = /:(ro|rw)$/.exec(text);
  const rest = mode === null ? text : text.slice(0, mode.index);
  const format = /:(raw|qcow2|vmdk)$/.exec(rest)?.[1] as DiskOptions['format'];
  const path = format === undefined ? rest : rest.slice(0, -format.length - 1);
  if (path === '') throw new UsageError(`Cannot add disk "${text}": expected FILE[:raw|qcow2|vmdk][:ro]`);
  return { path, ...(format !== undefined && { format }), readOnly: mode?.[1] === 'ro' };
}

/** DEVICE[:TYPE[:OPTIONS]] */
function parseRootDisk(text: string): RootDiskOptions {
  const [device = '', fileSystem = '', ...options] = text.split(':');
  if (!device.startsWith('/')) {
    throw new UsageError(`Cannot use --root-disk ${text}: expected a device of the guest, as in /dev/vda:ext4`);
  }
  return {
    device,
    ...(fileSystem !== '' && { fileSystem }),
    ...(options.length > 0 && { options: options.join(':') }),
  };
}

function parseMemory(text: string): number {
  const match = /^(\d+)([MG]?)i?B?$/i.exec(text);
  const size = Number(match?.[1] ?? Number.NaN) * (match?.[2]?.toUpperCase() === 'G' ? 1024 : 1);
  if (!Number.isSafeInteger(size) || size < 1)
    throw new UsageError(`Cannot use --memory ${text}: expected MiB, as in 512 or 2G`);
  return size;
}

function parseCount(name: string, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value < 1) throw new UsageError(`Cannot use ${name} ${text}: expected a positive whole number`);
  return value;
}

function parseSeconds(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : 0;
  // Longer than that a timer cannot wait; it would fire at once.
  if (value < 1 || value > 0x7fff_ffff)
    throw new UsageError(`Cannot use --timeout ${text}: expected seconds, up to 2147483`);
  return Math.round(value);
}

function parseEngine(text: string): 'auto' | 'kvm' | 'soft' {
  if (text === 'auto' || text === 'kvm' || text === 'soft') return text;
  throw new UsageError(`Cannot use --engine ${text}: expected auto, kvm or soft`);
}
