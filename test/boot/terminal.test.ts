import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { noTerminalReason, skipReason } from './guest.ts';

const options = { skip: (await skipReason()) || noTerminalReason(), timeout: 180_000 };
const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

interface Outcome {
  readonly output: string;
  readonly code: number;
  readonly raw: boolean;
  readonly restored: boolean;
}

/** Runs a shell script in a guest whose console is a pseudo-terminal. */
async function onTerminal(actions: readonly string[], script: string): Promise<Outcome> {
  const command = [process.execPath, path('bin/krun.js'), 'run', '--', '/bin/sh', '-c', script];
  const { stdout } = await promisify(execFile)('python3', [
    path('test/boot/on-terminal.py'),
    ...actions,
    '--',
    ...command,
  ]);
  return JSON.parse(stdout) as Outcome;
}

test(
  'on a terminal the guest has one of the same size, sees keys and window changes, and leaves it as it was',
  options,
  async () => {
    const script = `test -t 0 && test -t 1 && test -t 2 && stty size; read line; echo "got $line"
    while test "$(stty size)" = "30 100"; do sleep 0.1; done; stty size; exit 5`;
    const { output, code, raw, restored } = await onTerminal(
      ['--resize', '30 100', '--type', 'hello\r', '30 100'],
      script,
    );
    assert.deepEqual({ code, raw, restored }, { code: 5, raw: true, restored: true });
    assert.match(output, /^30 100\r\n/);
    assert.match(output, /got hello\r\n40 132\r\n/);
  },
);

test('Ctrl-C goes to the guest, whose shell decides', options, async () => {
  const { output, code, restored } = await onTerminal(
    ['--type', '\x03', 'ready'],
    'trap "echo interrupted; exit 6" INT; echo ready; while :; do sleep 0.1; done',
  );
  assert.match(output, /interrupted/);
  assert.deepEqual({ code, restored }, { code: 6, restored: true });
});

test('SIGTERM restores the terminal before krun ends', options, async () => {
  const { code, raw, restored } = await onTerminal(['--kill', 'ready'], 'echo ready; sleep 1000');
  assert.deepEqual({ code, raw, restored }, { code: 143, raw: true, restored: true });
});
