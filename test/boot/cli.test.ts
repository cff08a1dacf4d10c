import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { skipReason } from './guest.ts';

const boots = { skip: await skipReason(), timeout: 180_000 };
const krun = fileURLToPath(new URL('../../bin/krun.js', import.meta.url));
const capi = new URL('../../dist/capi/index.js', import.meta.url).href;
const folder = mkdtempSync(join(tmpdir(), 'krun-cli-'));
after(() => rmSync(folder, { recursive: true }));

async function node(args: readonly string[], input?: string) {
  const child = spawn(process.execPath, args, { stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
  child.stdin?.end(input);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')]);
  return { stdout, stderr, code: code as number };
}

const cli = (...args: string[]) => node([krun, ...args]);

test('krun --version prints the version of package.json', async () => {
  const top = fileURLToPath(new URL('../../', import.meta.url));
  const { version } = JSON.parse(readFileSync(`${top}package.json`, 'utf8')) as { version: string };
  assert.deepEqual(await cli('--version'), { stdout: `krun ${version}\n`, stderr: '', code: 0 });
});

test('help goes to standard output, a wrong command line to standard error with status 2', async () => {
  const help = await cli('run', '--help');
  assert.match(help.stdout, /--volume HOST:GUEST\[:ro\]/);
  assert.equal(help.code, 0);
  for (const args of [[], ['walk'], ['run'], ['run', '--nope', '--', 'x'], ['doctor', '--nope'], ['kernel', 'x']]) {
    const { stdout, stderr, code } = await cli(...args);
    assert.deepEqual([stdout, code], ['', 2], args.join(' '));
    assert.match(stderr, /krun/);
  }
});

test('what cannot be started is status 125 and says how to mend it', async () => {
  const { stderr, code } = await cli('run', '--root', join(folder, 'absent'), '--', 'x');
  assert.equal(code, 125);
  assert.match(stderr, /Cannot share .*absent.*\(ERR_SHARE\)/);
});

test('krun run passes output, errors and the exit code on', boots, async () => {
  const { stdout, stderr, code } = await cli(
    'run',
    '--root',
    '/',
    '--read-only',
    '--',
    '/bin/sh',
    '-c',
    'echo o; echo e >&2; exit 7',
  );
  assert.deepEqual({ stdout, stderr, code }, { stdout: 'o\n', stderr: 'e\n', code: 7 });
});

test('standard input may be a pipe, and --env, --workdir and --hostname arrive', boots, async () => {
  const args = [
    'run',
    '--env',
    'A=b c',
    '--workdir',
    '/tmp',
    '--hostname',
    'h',
    '--',
    '/bin/sh',
    '-c',
    'cat; echo $A; pwd; uname -n',
  ];
  const { stdout, code } = await node([krun, ...args], 'input\n');
  assert.deepEqual([stdout, code], ['input\nb c\n/tmp\nh\n', 0]);
});

test('--timeout ends with 124 and a signal with 128 + its number', boots, async () => {
  assert.equal((await cli('run', '--timeout', '1', '--', '/bin/sleep', '1000')).code, 124);
  assert.equal((await cli('run', '--', '/bin/sh', '-c', 'kill -TERM $$')).code, 128 + 15);
});

test('SIGTERM stops the microVM and ends krun with 143', boots, async () => {
  const child = spawn(process.execPath, [krun, 'run', '--', '/bin/sh', '-c', 'echo up; sleep 1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [143, null]);
});

test('--json prints one object with the output and how it ended', boots, async () => {
  const { stdout, code } = await cli('run', '--json', '--', '/bin/sh', '-c', 'echo o; echo e >&2; exit 3');
  const result = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(code, 3);
  assert.deepEqual(
    [result['reason'], result['code'], result['signal'], result['stdout'], result['stderr'], result['engine']],
    ['exited', 3, null, 'o\n', 'e\n', 'soft'],
  );
});

test('krun_start_enter ends the process with the code of the command', boots, async () => {
  const program = join(folder, 'enter.mjs');
  writeFileSync(
    program,
    `import * as k from ${JSON.stringify(capi)};
     const ctx = k.krun_create_ctx();
     k.krun_set_vm_config(ctx, 1, 256);
     k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true);
     k.krun_set_exec(ctx, '/bin/sh', ['-c', 'read line; echo "$line $X"; exit 9'], ['X=y z', 'PATH=/bin']);
     console.log('not reached', await k.krun_start_enter(ctx));`,
  );
  const { stdout, code } = await node([program], 'hello\n');
  assert.deepEqual([stdout, code], ['hello y z\n', 9]);
});
