import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { type Result, runGuest, skipReason } from '../boot/guest.ts';

/** One program whose output in a guest must be the host's, byte for byte. */
export interface Comparison {
  /** Title of the test: the fact that holds when both agree. */
  readonly title: string;
  /** Programs that must be installed; the first missing one is the reason to skip. */
  readonly needs: readonly string[];
  /** Shell script; what it prints and the code it ends with are compared. It starts in an empty directory of its own. */
  readonly script: string;
  /** The code it ends with on both sides; default 0. */
  readonly code?: number;
  /** Makes files in the job's directory, on the host, for each side. */
  readonly prepare?: (folder: string) => void;
}

/** The same for host and guest, so that no difference comes from there. */
export const ENVIRONMENT = {
  PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
  LC_ALL: 'C.UTF-8',
  TZ: 'UTC',
  PYTHONDONTWRITEBYTECODE: '1',
};

interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

/** Runs in each job's directory: keeps its output and code in files, so that one that crashes does not end the others. */
const DRIVER = `cd "$1" || exit 125
for job in */; do
  (cd "$job" && HOME=$PWD sh ./script >output 2>errors </dev/null; echo $? >code)
done
sync`;

/**
 * Registers one test for each comparison. All of them run one after the other in one microVM on the host's own root,
 * shared read-only, with a writable volume to work in; and natively in a copy of that directory.
 */
export async function compareWithHost(
  comparisons: readonly Comparison[],
  { memoryMiB = 512, timeoutMs = 240_000 } = {},
): Promise<void> {
  const noGuest = await skipReason();
  const jobs = comparisons.map((comparison, index) => ({
    ...comparison,
    folder: `job${index}`,
    skip: missing(comparison),
  }));
  const runnable = jobs.filter(({ skip }) => skip === false);
  const top = mkdtempSync(join(tmpdir(), 'krun-beside-'));
  if (process.env['KRUN_KEEP'] === undefined) after(() => rmSync(top, { recursive: true, force: true }));

  let outcomes: Promise<Result> | undefined;
  const inGuest = () => (outcomes ??= runAll(top, runnable, { memoryMiB, timeoutMs }));
  for (const { title, skip, folder, code: expected = 0 } of jobs) {
    test(title, { skip: noGuest !== false ? noGuest : skip, timeout: timeoutMs + 30_000 }, async () => {
      const { reason, code, signal, stderr, consoleTail } = await inGuest();
      const guest = outcomeOf(join(top, 'guest', folder));
      // How the machine ended matters where this job left nothing behind.
      if (guest.code === null) assert.deepEqual({ reason, code, signal, stderr }, {}, consoleTail);
      const host = outcomeOf(join(top, 'host', folder));
      assert.equal(host.code, expected, `on the host: ${errorsOf(join(top, 'host', folder))}`);
      assert.notEqual(host.output, '', 'a comparison must have something to compare');
      assert.deepEqual(guest, host, `in the guest: ${errorsOf(join(top, 'guest', folder))}`);
    });
  }
}

/** Why a comparison cannot run here, or false. */
export function missing({ needs }: Pick<Comparison, 'needs'>): string | false {
  const absent = needs.find((program) => !isInstalled(program));
  return absent === undefined ? false : `${absent} is not installed`;
}

function isInstalled(program: string): boolean {
  return ENVIRONMENT.PATH.split(':').some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function runAll(
  top: string,
  jobs: readonly (Comparison & { readonly folder: string })[],
  limits: { readonly memoryMiB: number; readonly timeoutMs: number },
): Promise<Result> {
  for (const side of ['host', 'guest'])
    for (const { folder, script, prepare } of jobs) {
      mkdirSync(join(top, side, folder), { recursive: true });
      writeFileSync(join(top, side, folder, 'script'), script);
      prepare?.(join(top, side, folder));
    }
  const host = join(top, 'host');
  spawnSync('/bin/sh', ['-c', DRIVER, 'sh', host], { env: ENVIRONMENT, stdio: 'ignore' });
  const guest = join(top, 'guest');
  return runGuest({
    root: '/',
    readOnly: true,
    command: ['/bin/sh', '-c', `mount -t tmpfs tmpfs /tmp; ${DRIVER}`, 'sh', '/krun-work'],
    env: ENVIRONMENT,
    volumes: [{ hostPath: guest, guestPath: '/krun-work' }],
    ...limits,
  });
}

function outcomeOf(folder: string): Outcome {
  const code = textOf(join(folder, 'code'));
  return { code: code === undefined ? null : Number(code), output: textOf(join(folder, 'output')) ?? '' };
}

function errorsOf(folder: string): string {
  return `standard error: ${textOf(join(folder, 'errors'))?.slice(0, 4000)}`;
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
