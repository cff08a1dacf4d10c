import { readFile } from 'node:fs/promises';
import { FirmwareError } from '../../boot/firmware/firmware-error.ts';
import { type Firmware, parseFirmware } from '../../boot/firmware/libkrunfw.ts';
import { cachedPath, firmwareCache, readCached } from './cache.ts';
import { type FetchProgress, fetchFirmware } from './fetch-firmware.ts';
import { errnoOf, KernelError, messageOf } from './kernel-error.ts';
import { PINNED_FIRMWARE, type PinnedPackage } from './pinned-package.ts';
import { systemFirmwarePaths } from './system-libraries.ts';

export interface FirmwareOptions {
  /** Path of a libkrunfw that the user named; nothing else is looked at then. */
  readonly firmware?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called while the kernel is being fetched. */
  readonly onProgress?: ((progress: FetchProgress) => void) | undefined;
  /** The four below have the obvious defaults; tests replace them. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly npm?: string | undefined;
  readonly pin?: PinnedPackage | undefined;
  readonly systemPaths?: readonly string[] | undefined;
}

export type FirmwareSource = 'option' | 'env' | 'system' | 'cache' | 'fetched';

/** The kernel that will run, and how it was chosen. */
export interface FirmwareChoice extends Firmware {
  readonly path: string;
  readonly source: FirmwareSource;
  /** One sentence for people. */
  readonly why: string;
}

/** One place that was looked at, in order. */
export interface FirmwareCandidate {
  readonly source: FirmwareSource;
  readonly path: string;
  readonly state: string;
}

/** What findFirmware() would do now, without fetching anything. */
export interface FirmwareReport {
  readonly choice: FirmwareChoice | undefined;
  readonly candidates: readonly FirmwareCandidate[];
  /** Set when there is no choice: what would be fetched and where it would go. */
  readonly wouldFetch: { readonly package: string; readonly bytes: number; readonly into: string } | undefined;
}

/** An ABI other than this has other functions, or other meanings. */
const ABI_VERSION = 5;

/**
 * The guest kernel: the file the user named, KRUN_FIRMWARE, an installed libkrunfw.so.5, the cached one, or the pinned
 * npm package, which is then fetched into the cache.
 *
 * @throws {KernelError} no usable kernel; or the reason of an aborted signal
 */
export async function findFirmware(options: FirmwareOptions = {}): Promise<FirmwareChoice> {
  options.signal?.throwIfAborted();
  const { choice } = await describeFirmware(options);
  if (choice !== undefined) return choice;
  const { pin, cache, env } = settings(options);
  const { npm = 'npm', onProgress, signal } = options;
  const bytes = await fetchFirmware({ pin, cache, env, npm, onProgress, signal });
  const why = `no other kernel was found, so it was fetched from ${pin.name}@${pin.version}`;
  return { path: cachedPath(cache, pin), source: 'fetched', why, ...parseNamed(bytes, cachedPath(cache, pin)) };
}

/**
 * Looks where findFirmware() looks and says what it found; reads files, fetches nothing.
 *
 * @throws {KernelError} the file that the user named cannot be used
 */
export async function describeFirmware(options: FirmwareOptions = {}): Promise<FirmwareReport> {
  const { pin, cache, env, systemPaths } = settings(options);
  const candidates: FirmwareCandidate[] = [];
  const found = (choice: FirmwareChoice): FirmwareReport => {
    candidates.push({ source: choice.source, path: choice.path, state: `used: ${choice.why}` });
    return { choice, candidates, wouldFetch: undefined };
  };
  if (options.firmware !== undefined) return found(await named(options.firmware, 'option', 'the firmware option'));
  if (env['KRUN_FIRMWARE']) return found(await named(env['KRUN_FIRMWARE'], 'env', 'KRUN_FIRMWARE'));
  for (const path of systemPaths ?? (await systemFirmwarePaths(env))) {
    const usable = await inspect(path);
    if (typeof usable === 'object') return found({ path, source: 'system', why: 'it is installed here', ...usable });
    if (usable !== 'not there') candidates.push({ source: 'system', path, state: usable });
  }
  if (candidates.length === 0)
    candidates.push({ source: 'system', path: 'libkrunfw.so.5', state: 'not in any library directory' });
  const path = cachedPath(cache, pin);
  const cached = await readCached(cache, pin);
  if (cached.kind === 'hit')
    return found({ path, source: 'cache', why: 'it was fetched before', ...parseNamed(cached.bytes, path) });
  candidates.push({ source: 'cache', path, state: cached.kind === 'damaged' ? 'has other bytes' : cached.why });
  const wouldFetch = { package: `${pin.name}@${pin.version}`, bytes: pin.tarballBytes, into: path };
  return { choice: undefined, candidates, wouldFetch };
}

function settings({ env = process.env, pin = PINNED_FIRMWARE, systemPaths }: FirmwareOptions) {
  return { env, pin, systemPaths, cache: firmwareCache(env) };
}

async function named(path: string, source: 'option' | 'env', by: string): Promise<FirmwareChoice> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new KernelError('ERR_KERNEL_NOT_FOUND', `Cannot read ${path}: ${errnoOf(cause) ?? messageOf(cause)}`, {
      hint: `${by} names this file; name a libkrunfw.so.5, or leave it out to use the default kernel`,
      cause,
    });
  });
  return { path, source, why: `${by} names it`, ...parseNamed(bytes, path) };
}

/** A file that was meant for us: what is wrong with it is the user's to know. */
function parseNamed(bytes: Uint8Array, path: string): Firmware {
  try {
    return parseFirmware(bytes);
  } catch (cause) {
    if (!(cause instanceof FirmwareError)) throw cause;
    throw new KernelError('ERR_KERNEL_FORMAT', `Cannot use ${path}: ${cause.message}`, {
      hint: 'it has to be a libkrunfw.so.5 for x86-64; a bare kernel image is not supported here',
      cause,
    });
  }
}

/** A file that merely happens to be there: what is wrong with it is a line in the report. */
async function inspect(path: string): Promise<Firmware | string> {
  try {
    const firmware = parseFirmware(await readFile(path));
    const { abiVersion } = firmware;
    return abiVersion === undefined || abiVersion === ABI_VERSION ? firmware : `skipped: its ABI is ${abiVersion}`;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'not there';
    return `skipped: ${messageOf(error)}`;
  }
}
