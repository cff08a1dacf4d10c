import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { cacheDirectory } from './cache-directory.ts';

/** What was found out about this host, and holds until it boots again. */
interface Kept {
  readonly bootId: string;
  readonly kernel: string;
  readonly value: unknown;
}

/** What was kept under this name since the host booted; undefined: nothing, or it cannot be read. */
export function keptSinceBoot(name: string): unknown {
  try {
    const kept = JSON.parse(readFileSync(fileOf(name), 'utf8')) as Partial<Kept> | null;
    return kept?.bootId === bootId() && kept.kernel === release() ? kept.value : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps plain data until the next boot, where that is possible; where it is not, the next one finds out again. */
export function keepUntilBoot(name: string, value: unknown): void {
  try {
    const kept: Kept = { bootId: bootId(), kernel: release(), value };
    const file = fileOf(name);
    mkdirSync(cacheDirectory(process.env), { recursive: true, mode: 0o700 });
    const draft = `${file}.${process.pid}`;
    writeFileSync(draft, JSON.stringify(kept), { mode: 0o600 });
    renameSync(draft, file); // whoever reads at the same time sees all or nothing
  } catch {
    // A cache: read-only homes and full disks are no reason to fail.
  }
}

function fileOf(name: string): string {
  return join(cacheDirectory(process.env), `${name}.json`);
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
