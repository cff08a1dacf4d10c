import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runGuest, skipReason } from '../boot/guest.ts';
import { missing } from './beside.ts';

const sources = fileURLToPath(new URL('../../test/guest/posix/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'krun-posix-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const notRoot = process.getuid?.() === 0 ? false : 'owners and devices need root';
const skip = (await skipReason()) || missing({ needs: ['gcc'] }) || notRoot;

/** Checks known to fail on a share, with the reason; docs/fs-conformance.md says more. */
const KNOWN: readonly string[] = [];

test('a writable share does what its host directory does, check by check', { skip, timeout: 180_000 }, async () => {
  const program = join(folder, 'posix');
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  const options = ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-Wno-unused-result'];
  execFileSync('gcc', [...options, '-o', program, ...files], { cwd: sources, stdio: 'inherit' });
  for (const side of ['host', 'guest']) mkdirSync(join(folder, side));

  const native = spawnSync(program, [join(folder, 'host')], { encoding: 'utf8' });
  const guest = await runGuest({
    command: ['/krun-posix/posix', '/krun-posix/guest'],
    volumes: [{ hostPath: folder, guestPath: '/krun-posix' }],
  });
  assert.deepEqual([guest.reason, guest.code], ['exited', 0], guest.consoleTail + guest.stderr);
  assert.ok(passed(native.stdout).length > 250, native.stdout);
  const lost = passed(native.stdout).filter((line) => !passed(guest.stdout).includes(line));
  assert.deepEqual(lost, KNOWN, guest.stdout.replace(/^ok.*\n/gm, ''));
});

function passed(output: string): string[] {
  return output.split('\n').filter((line) => line.startsWith('ok '));
}
