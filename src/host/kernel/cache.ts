import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory } from '../cache-directory.ts';
import { errnoOf } from './kernel-error.ts';
import type { PinnedPackage } from './pinned-package.ts';

/** Where kernels are kept below krun's cache. */
export function firmwareCache(env: NodeJS.ProcessEnv): string {
  return join(cacheDirectory(env), 'firmware');
}

/** Where the cache keeps the file of a pin: its name is its hash, so another version is another file. */
export function cachedPath(cache: string, pin: PinnedPackage): string {
  return join(cache, `libkrunfw-${pin.fileSha256}.so`);
}

/** What is in the cache: the right bytes, other bytes (a damaged disk, a meddler), or nothing. */
export type CacheState =
  | { readonly kind: 'hit'; readonly bytes: Uint8Array }
  | { readonly kind: 'damaged' }
  | { readonly kind: 'absent'; readonly why: string };

/** Reads the cached file and checks its hash, which costs about as much as reading it. */
export async function readCached(cache: string, pin: PinnedPackage): Promise<CacheState> {
  try {
    const bytes = await readFile(cachedPath(cache, pin));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return sha256 === pin.fileSha256 ? { kind: 'hit', bytes } : { kind: 'damaged' };
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    return { kind: 'absent', why: errno === 'ENOENT' ? 'not there' : `unreadable (${errno})` };
  }
}
