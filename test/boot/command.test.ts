import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { describeKernel } from 'krun';
import { runGuest, skipReason } from './guest.ts';

const options = { skip: await skipReason(), timeout: 180_000 };

test('a command prints the release of the guest kernel and its exit code arrives', options, async () => {
  const { release } = await describeKernel();
  const { reason, code, signal, stdout } = await runGuest({ command: ['/bin/sh', '-c', 'uname -r; exit 7'] });
  assert.deepEqual(
    { reason, code, signal, stdout },
    { reason: 'exited', code: 7, signal: null, stdout: `${release}\n` },
  );
});

test('arguments, environment, working directory and host name arrive byte for byte', options, async () => {
  const hard = [
    'a b',
    '"quoted"',
    "it's",
    'line\nbreak',
    'tab\there',
    '',
    '$HOME `id` \\',
    'žluťoučký 日本 🐧',
    '--',
    '*',
  ];
  const script = 'printf "%s\\0" "$@"; printf "%s\\0" "$HARD" "$EMPTY" "$(pwd)" "$(uname -n)" "$FROM_HOST"';
  const { stdout, code } = await runGuest({
    command: ['/bin/sh', '-c', script, 'sh', ...hard],
    env: { HARD: 'x="1 2"\né', EMPTY: '' },
    workdir: '/usr/bin',
    hostname: 'first-light',
  });
  assert.equal(code, 0);
  assert.deepEqual(stdout.split('\0'), [...hard, 'x="1 2"\né', '', '/usr/bin', 'first-light', '', '']);
});

test('a pipe into the guest and out again loses nothing, whatever its length', options, async () => {
  const input = Array.from({ length: 20_000 }, (_, index) => `line ${index}\n`).join('');
  const { stdout, stderr, code } = await runGuest({ command: ['/bin/sh', '-c', 'cat; echo done >&2'] }, input);
  const digest = (text: string) => createHash('sha256').update(text).digest('hex');
  assert.deepEqual([code, stdout.length, digest(stdout), stderr], [0, input.length, digest(input), 'done\n']);
});

test('a command killed by a signal is told from one that exits with the same status', options, async () => {
  const killed = await runGuest({ command: ['/bin/sh', '-c', 'kill -KILL $$'] });
  assert.deepEqual([killed.reason, killed.code, killed.signal], ['exited', null, 'SIGKILL']);
  const left = await runGuest({ command: ['/bin/sh', '-c', 'exit 137'] });
  assert.deepEqual([left.reason, left.code, left.signal], ['exited', 137, null]);
});

test('a program that is not there is 127, one that cannot be executed 126', options, async () => {
  assert.equal((await runGuest({ command: ['/nonexistent'] })).code, 127);
  assert.equal((await runGuest({ command: ['/etc/passwd'] })).code, 126);
});
