import { readFileSync } from 'node:fs';

let bytes: Uint8Array | undefined;

/** The guest's init program, as the package carries it. */
export function initBlob(): Uint8Array {
  bytes ??= readFileSync(new URL('../../guest/init/init.x86_64', import.meta.url));
  return bytes;
}
