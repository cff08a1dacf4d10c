/** A file system that the guest's init mounts before it starts the program. */
export interface GuestMount {
  /** "virtiofs", "tmpfs", "ext4" … */
  readonly type: string;
  /** The tag of a share, a device, or any word for file systems without a source. */
  readonly source: string;
  /** Absolute path; missing directories are made where the file system allows it. */
  readonly target: string;
  /** As in fstab: "ro", "nosuid", "size=64m" …, none of which may contain a comma. */
  readonly options?: readonly string[];
}

/** A limit by its Linux number (7 is RLIMIT_NOFILE). */
export interface GuestRlimit {
  readonly resource: number;
  readonly soft: number | bigint;
  readonly hard: number | bigint;
}

/** What the guest's init does instead of following KRUN_* words of the kernel command line. */
export interface GuestConfig {
  /** The program: a path, or a name that is looked up in the guest's PATH. */
  readonly exec?: string;
  /** argv[1] and on; without `exec`, argv[0] and on. */
  readonly args?: readonly string[];
  /** argv[0], where it is not `exec`. */
  readonly arg0?: string;
  /** Pairs, or strings of the form NAME=value; of equal names the last one counts. */
  readonly env?: Readonly<Record<string, string>> | readonly string[];
  /** Starts from an empty environment instead of the kernel's HOME=/ and TERM=linux. */
  readonly clearEnv?: boolean;
  readonly workdir?: string;
  readonly hostname?: string;
  readonly rlimits?: readonly GuestRlimit[];
  readonly mounts?: readonly GuestMount[];
  /** Standard streams for which the host has made a console port, so that init waits for it. */
  readonly ports?: readonly ('stdin' | 'stdout' | 'stderr')[];
  /** The console port on which init hears that the host wants an end. */
  readonly control?: string;
  readonly uid?: number;
  readonly gid?: number;
}

/** Where init looks for the encoded configuration: a one-shot overlay file of the root share. */
export const GUEST_CONFIG_PATH = '/.krun_exec';

const MAGIC = 'KRUN-EXEC-1';

/**
 * Encodes a configuration for the guest's init: NUL-terminated records, because no string that reaches execve(2) can
 * contain a NUL, and everything else can. guest/init/README.md describes the format.
 *
 * @throws {RangeError} a string with a NUL, an environment name that is empty or has "=", a number out of range
 */
export function encodeGuestConfig(config: GuestConfig): Uint8Array<ArrayBuffer> {
  const records = [MAGIC, ...lines(config), 'end'];
  const hostile = records.find((record) => record.includes('\0'));
  if (hostile !== undefined)
    throw new RangeError(`Cannot pass ${JSON.stringify(hostile)} to the guest: it contains a NUL`);
  return new TextEncoder().encode(`${records.join('\0')}\0`);
}

function* lines(config: GuestConfig): Generator<string, void, void> {
  const { exec, arg0, workdir, hostname, uid, gid } = config;
  if (exec !== undefined) yield `exec=${exec}`;
  if (arg0 !== undefined) yield `arg0=${arg0}`;
  for (const arg of config.args ?? []) yield `arg=${arg}`;
  if (config.clearEnv === true) yield 'clearenv=';
  for (const pair of pairs(config.env ?? [])) yield `env=${pair}`;
  if (workdir !== undefined) yield `workdir=${workdir}`;
  if (hostname !== undefined) yield `hostname=${hostname}`;
  for (const { resource, soft, hard } of config.rlimits ?? [])
    yield `rlimit=${whole(resource, 63)}=${whole(soft, U64_MAX)}:${whole(hard, U64_MAX)}`;
  for (const mount of config.mounts ?? []) yield* mountLines(mount);
  for (const port of config.ports ?? []) yield `port=krun-${port}`;
  if (config.control !== undefined) yield `control=${config.control}`;
  if (uid !== undefined) yield `uid=${whole(uid, ID_MAX)}`;
  if (gid !== undefined) yield `gid=${whole(gid, ID_MAX)}`;
}

function* mountLines({ type, source, target, options = [] }: GuestMount): Generator<string, void, void> {
  if (!target.startsWith('/')) throw new RangeError(`Cannot mount on "${target}": the path is not absolute`);
  yield `mount.type=${type}`;
  yield `mount.source=${source}`;
  if (options.length > 0) yield `mount.options=${options.join(',')}`;
  yield `mount=${target}`;
}

const U64_MAX = 2n ** 64n - 1n;
/** 2**32 - 1 means "unchanged" to setuid(2) and its kin. */
const ID_MAX = 2 ** 32 - 2;

function pairs(env: NonNullable<GuestConfig['env']>): readonly string[] {
  const isList = (value: typeof env): value is readonly string[] => Array.isArray(value);
  const list = isList(env) ? env : Object.entries(env).map(([name, value]) => `${variableName(name)}=${value}`);
  const bad = list.find((pair) => pair.indexOf('=') < 1);
  if (bad !== undefined) throw new RangeError(`Cannot set environment variable "${bad}": not NAME=value`);
  return list;
}

function variableName(name: string): string {
  if (name.includes('=')) throw new RangeError(`Cannot set environment variable "${name}": its name has a "="`);
  return name;
}

function whole(value: number | bigint, max: number | bigint): string {
  const exact = typeof value === 'bigint' || Number.isSafeInteger(value);
  if (!exact || value < 0 || value > max)
    throw new RangeError(`Cannot pass ${value} to the guest: not a whole number from 0 to ${max}`);
  return value.toString();
}
