import { readFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

const SONAME = 'libkrunfw.so.5';

const LIBRARY_DIRECTORIES = [
  '/usr/local/lib',
  '/usr/local/lib64',
  '/lib/x86_64-linux-gnu',
  '/usr/lib/x86_64-linux-gnu',
  '/lib64',
  '/usr/lib64',
  '/lib',
  '/usr/lib',
];

/**
 * Where a dynamic loader would look for libkrunfw.so.5, in its order: LD_LIBRARY_PATH, the loader's cache, the usual
 * directories. The paths need not exist.
 */
export async function systemFirmwarePaths(env: NodeJS.ProcessEnv, loaderCache = '/etc/ld.so.cache'): Promise<string[]> {
  const named = (env['LD_LIBRARY_PATH'] ?? '').split(':').filter(isAbsolute);
  const cached = pathsInLoaderCache(await readFile(loaderCache).catch(() => new Uint8Array()), SONAME);
  const usual = [...named, ...LIBRARY_DIRECTORIES].map((directory) => join(directory, SONAME));
  return [...new Set([...usual.slice(0, named.length), ...cached, ...usual.slice(named.length)])];
}

const MAGIC = 'glibc-ld.so.cache1.1';
const HEADER_BYTES = 48;
const ENTRY_BYTES = 24;

/**
 * Absolute paths that glibc's ld.so.cache gives for a library name. The format is glibc's own: a header with the number
 * of entries at 20, entries of 24 bytes with the offsets of name and path at 4 and 8, counted from the header.
 * A damaged cache gives fewer paths, never an error.
 */
export function pathsInLoaderCache(file: Uint8Array, name: string): string[] {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const start = bytes.indexOf(MAGIC, 0, 'latin1'); // older files carry a table of the previous format in front
  if (start < 0 || bytes.length < start + HEADER_BYTES) return [];
  const cache = bytes.subarray(start);
  const count = Math.min(cache.readUInt32LE(20), Math.floor((cache.length - HEADER_BYTES) / ENTRY_BYTES));
  const found: string[] = [];
  for (let index = 0; index < count; index++) {
    const entry = HEADER_BYTES + index * ENTRY_BYTES;
    if (stringAt(cache, cache.readUInt32LE(entry + 4)) !== name) continue;
    const path = stringAt(cache, cache.readUInt32LE(entry + 8));
    if (isAbsolute(path)) found.push(path);
  }
  return found;
}

function stringAt(cache: Buffer, at: number): string {
  const end = cache.indexOf(0, at);
  return at >= cache.length || end < 0 ? '' : cache.toString('utf8', at, end);
}
