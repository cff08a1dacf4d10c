import { createRequire } from 'node:module';

/** Linux's MADV_DONTNEED: private anonymous pages become zeros and cost nothing until they are touched. */
const MADV_DONTNEED = 4;

/** Gives the pages under these bytes back to the host; answers 0 or -1. The pointer lives for the call only. */
export type DiscardPages = (bytes: Uint8Array) => number;

/** `madvise` through koffi, or null where there is no koffi or no Linux. */
export function loadDiscardPages(): DiscardPages | null {
  if (process.platform !== 'linux') return null;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const madvise = koffi.load(null).func('int madvise(uint8_t *addr, size_t length, int advice)');
    return (bytes) => madvise(bytes, bytes.length, MADV_DONTNEED) as number;
  } catch {
    return null; // An optional dependency: without it the guest's free memory stays ours.
  }
}
