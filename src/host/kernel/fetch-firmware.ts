import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedPath, readCached } from './cache.ts';
import { download } from './http-download.ts';
import { cacheError, errnoOf, KernelError, messageOf, NETWORK_HINT } from './kernel-error.ts';
import { type NpmSettings, npmPack, npmSettings } from './npm.ts';
import { type PinnedPackage, tarballUrl } from './pinned-package.ts';
import { withProcessLock } from './process-lock.ts';
import { unpackPinned } from './unpack.ts';

/** How far a fetch is; `receivedBytes` never exceeds `totalBytes`. */
export interface FetchProgress {
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

export interface FetchOptions {
  readonly pin: PinnedPackage;
  readonly cache: string;
  readonly env: NodeJS.ProcessEnv;
  /** The npm client; a bare name is looked up in PATH. */
  readonly npm: string;
  readonly onProgress: ((progress: FetchProgress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

const TEMPORARY = 'fetch-';

/**
 * Puts the pinned firmware into the cache, once for all processes that ask at the same time.
 *
 * Without a proxy the tarball is read directly, which can show progress and leaves no second copy in npm's cache;
 * whatever goes wrong there is tried again through `npm pack`, which knows tokens and unusual registries.
 *
 * @returns the bytes of the file
 * @throws {KernelError} any code but ERR_KERNEL_NOT_FOUND and ERR_KERNEL_FORMAT; or the reason of an aborted signal
 */
export async function fetchFirmware(options: FetchOptions): Promise<Uint8Array> {
  const { cache, pin, signal } = options;
  await mkdir(cache, { recursive: true }).catch((error: unknown) => {
    throw cacheError(`create ${cache}`, error);
  });
  return await withProcessLock(`${cachedPath(cache, pin)}.lock`, {
    signal,
    ready: async () => {
      const state = await readCached(cache, pin);
      return state.kind === 'hit' ? state.bytes : undefined;
    },
    work: async () => await fetchIntoCache(options),
  });
}

/** Runs under the lock, so what lies about from a process that died is nobody's and goes first. */
async function fetchIntoCache(options: FetchOptions): Promise<Uint8Array> {
  const { cache, pin } = options;
  for (const name of await readdir(cache))
    if (name.startsWith(TEMPORARY)) await rm(join(cache, name), { recursive: true, force: true });
  const directory = await mkdtemp(join(cache, TEMPORARY)).catch((error: unknown) => {
    throw cacheError(`create a directory in ${cache}`, error);
  });
  try {
    await rename(await fetchAnyWay(options, directory), cachedPath(cache, pin));
  } catch (error) {
    throw errnoOf(error) === undefined ? error : cacheError(`write to ${cache}`, error);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const state = await readCached(cache, pin);
  if (state.kind === 'hit') return state.bytes;
  throw new KernelError('ERR_KERNEL_CACHE', `Cannot read back ${cachedPath(cache, pin)}: it is ${state.kind}`);
}

type Way = (directory: string) => AsyncIterable<Uint8Array>;

/** Returns the path of a complete, checked file inside `directory`. */
async function fetchAnyWay(options: FetchOptions, directory: string): Promise<string> {
  const { pin, env, npm, signal, onProgress } = options;
  const settings = await npmSettings(npm, env, pin);
  const failures: KernelError[] = [];
  for (const [index, way] of waysToFetch(options, settings).entries()) {
    signal?.throwIfAborted();
    const path = join(directory, `firmware-${index}`);
    const report = (receivedBytes: number) => onProgress?.({ receivedBytes, totalBytes: pin.tarballBytes });
    try {
      await unpackPinned(way(directory), path, pin, report);
      return path;
    } catch (error) {
      await rm(path, { force: true });
      if (!(error instanceof KernelError) || !isWorthAnotherWay(error)) throw error;
      failures.push(error);
    }
  }
  throw summary(pin, failures);
}

function waysToFetch({ pin, env, npm, signal }: FetchOptions, { registry, ca, proxy }: NpmSettings): Way[] {
  const direct: Way = () => download(tarballUrl(registry, pin), { ca, signal });
  const packed: Way = (directory) => npmPack(npm, { pin, directory, env, signal });
  return proxy ? [packed, direct] : [direct, packed];
}

function isWorthAnotherWay({ code }: KernelError): boolean {
  return code === 'ERR_KERNEL_OFFLINE' || code === 'ERR_KERNEL_DOWNLOAD' || code === 'ERR_KERNEL_INTEGRITY';
}

/** One error for several ways that failed: wrong bytes say more than a refusal, a refusal more than silence. */
function summary(pin: PinnedPackage, failures: readonly KernelError[]): KernelError {
  const codes = ['ERR_KERNEL_INTEGRITY', 'ERR_KERNEL_DOWNLOAD', 'ERR_KERNEL_OFFLINE'] as const;
  const worst = codes.map((code) => failures.find((failure) => failure.code === code)).find((found) => found);
  return new KernelError(
    worst?.code ?? 'ERR_KERNEL_OFFLINE',
    `Cannot fetch the guest kernel (${pin.name}@${pin.version}): ${failures.map(messageOf).join('; ')}`,
    { hint: worst?.hint ?? NETWORK_HINT, cause: worst },
  );
}
