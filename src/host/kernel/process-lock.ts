import { readFileSync } from 'node:fs';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheError, errnoOf } from './kernel-error.ts';

const POLL_MS = 100;
/** How long a lock may stay without an owner's name: the time between creating the file and writing into it. */
const NAMELESS_MS = 5_000;
/** A process on another host cannot be asked whether it lives; no download takes this long. */
const FOREIGN_MS = 30 * 60_000;

/** Who holds a lock. The start time tells a process from a later one with the same number. */
interface Owner {
  readonly pid: number;
  readonly started: string;
  readonly host: string;
}

/**
 * Runs `work` while holding the lock file at `path`; waits while another living process holds it. `ready` is asked
 * before every try, so that a waiter leaves with the holder's result instead of doing the work again.
 *
 * The lock saves work, it does not protect data: in the worst race two processes do the same work at once, which the
 * atomic rename at its end makes harmless.
 *
 * @param signal aborting ends the wait; `work` has to look at it itself
 */
export async function withProcessLock<T>(
  path: string,
  {
    ready,
    work,
    signal,
  }: { ready: () => Promise<T | undefined>; work: () => Promise<T>; signal: AbortSignal | undefined },
): Promise<T> {
  for (;;) {
    signal?.throwIfAborted();
    const result = await ready();
    if (result !== undefined) return result;
    if (await acquire(path)) break;
    await removeIfStale(path);
    await sleep(POLL_MS, undefined, signal && { signal });
  }
  try {
    return (await ready()) ?? (await work());
  } finally {
    await rm(path, { force: true });
  }
}

async function acquire(path: string): Promise<boolean> {
  const owner: Owner = { pid: process.pid, started: startTime(process.pid) ?? '', host: hostname() };
  try {
    await writeFile(path, JSON.stringify(owner), { flag: 'wx' });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    if (errnoOf(error) === 'ENOSPC') await rm(path, { force: true });
    throw cacheError(`create ${path}`, error);
  }
}

/** Takes a dead process's lock away under another name first, so that of two who find it only one removes it. */
async function removeIfStale(path: string): Promise<void> {
  try {
    const before = await stat(path);
    if (!isStale(await readFile(path, 'utf8'), Date.now() - before.mtimeMs)) return;
    if ((await stat(path)).ino !== before.ino) return;
    const aside = `${path}.stale-${process.pid}`;
    await rename(path, aside);
    await rm(aside, { force: true });
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw cacheError(`remove ${path}`, error);
  }
}

function isStale(content: string, ageMs: number): boolean {
  const owner = parseOwner(content);
  if (owner === undefined) return ageMs > NAMELESS_MS;
  if (owner.host !== hostname()) return ageMs > FOREIGN_MS;
  if (!isAlive(owner.pid)) return true;
  const started = startTime(owner.pid);
  return owner.started !== '' && started !== undefined && started !== owner.started;
}

function parseOwner(content: string): Owner | undefined {
  try {
    const owner: unknown = JSON.parse(content);
    if (typeof owner !== 'object' || owner === null) return undefined;
    const { pid, started, host } = owner as Partial<Record<keyof Owner, unknown>>;
    if (!Number.isSafeInteger(pid) || (pid as number) <= 0 || typeof started !== 'string' || typeof host !== 'string')
      return undefined;
    return { pid: pid as number, started, host };
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
}

/** Field 22 of /proc/PID/stat, counted behind the name in parentheses; undefined where there is no /proc. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
