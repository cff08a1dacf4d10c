import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { encodeGuestConfig, type GuestConfig } from './guest-config.ts';

const text = (config: GuestConfig): string => new TextDecoder().decode(encodeGuestConfig(config));

test('an empty configuration is the magic and the end record', () => {
  assert.equal(text({}), 'KRUN-EXEC-1\0end\0');
});

test('records follow the order of the fields, lists keep theirs', () => {
  assert.equal(
    text({ exec: '/bin/sh', args: ['-c', ''], env: { A: 'b=c' }, ports: ['stderr'] }),
    'KRUN-EXEC-1\0exec=/bin/sh\0arg=-c\0arg=\0env=A=b=c\0port=krun-stderr\0end\0',
  );
});

test('an environment may be a list, as execve(2) takes it', () => {
  assert.equal(text({ env: ['A=1', 'B='] }), 'KRUN-EXEC-1\0env=A=1\0env=B=\0end\0');
});

test('a NUL anywhere is refused, because execve(2) would cut the string there', () => {
  // Otherwise a value could also smuggle in records of its own.
  for (const config of [{ args: ['a\0uid=0'] }, { env: { A: 'x\0' } }, { exec: '\0' }, { hostname: 'h\0' }])
    assert.throws(() => encodeGuestConfig(config), RangeError);
});

test('environment names that would change meaning are refused', () => {
  assert.throws(() => encodeGuestConfig({ env: { '': 'x' } }), /environment variable/);
  assert.throws(() => encodeGuestConfig({ env: { 'A=B': 'x' } }), /environment variable/);
  assert.throws(() => encodeGuestConfig({ env: ['A=1', 'B'] }), /environment variable/);
  assert.throws(() => encodeGuestConfig({ env: ['=1'] }), /environment variable/);
});

test('numbers that the guest kernel cannot hold are refused', () => {
  const limit = (resource: number, soft: number | bigint) => ({ rlimits: [{ resource, soft, hard: 1 }] });
  for (const config of [
    limit(64, 1),
    limit(7, -1),
    limit(7, 0.5),
    limit(7, 2n ** 64n),
    { uid: 2 ** 32 - 1 },
    { gid: -1 },
  ])
    assert.throws(() => encodeGuestConfig(config), RangeError);
});

test('a mount point must be absolute', () => {
  assert.throws(() => encodeGuestConfig({ mounts: [{ type: 'tmpfs', source: 'x', target: 'tmp' }] }), /not absolute/);
});

const INIT = fileURLToPath(new URL('../../guest/init', import.meta.url));
const NO_COMPILER = spawnSync('gcc', ['--version']).status === 0 ? false : 'needs gcc';

describe('the parser of the guest init, under sanitizers,', { skip: NO_COMPILER }, () => {
  let work = '';
  before(() => {
    work = mkdtempSync(join(tmpdir(), 'krun-exec-file-'));
    execFileSync('make', ['-s', '-C', INIT, `WORK=${work}`, `${work}/exec-file-dump`]);
  });
  after(() => rmSync(work, { recursive: true, force: true }));

  const understood = (bytes: Uint8Array): { status: number | null; items: string[]; stderr: string } => {
    const { status, stdout, stderr } = spawnSync(join(work, 'exec-file-dump'), {
      input: bytes,
      env: { ASAN_OPTIONS: 'detect_leaks=0' },
    });
    return { status, items: stdout.toString().split('\0').slice(0, -1), stderr: stderr.toString() };
  };

  test('reads back every field with spaces, quotes, newlines and non-ASCII intact', () => {
    const bytes = encodeGuestConfig({
      exec: '/bin/my prog',
      arg0: '-sh',
      args: ['', ' a "b" \'c\'\n\t\\', 'naïve 日本 😀', '--', 'end', 'KRUN_INIT=x', '='],
      env: { PATH: '/bin', EMPTY: '', 'WITH.DOT': 'a=b\nc "d"' },
      clearEnv: true,
      workdir: '/tmp/ä b',
      hostname: 'box',
      rlimits: [{ resource: 7, soft: 1024, hard: 2n ** 64n - 1n }],
      mounts: [
        { type: 'virtiofs', source: 'data', target: '/mnt/x y', options: ['ro', 'nosuid'] },
        { type: 'tmpfs', source: 'none', target: '/tmp' },
      ],
      ports: ['stdin', 'stdout'],
      uid: 0,
      gid: 2 ** 32 - 2,
    });
    assert.deepEqual(understood(bytes), {
      status: 0,
      stderr: '',
      items: [
        ...[
          'exec /bin/my prog',
          'arg0 -sh',
          'arg ',
          'arg  a "b" \'c\'\n\t\\',
          'arg naïve 日本 😀',
          'arg --',
          'arg end',
        ],
        ...['arg KRUN_INIT=x', 'arg =', 'clearenv ', 'env PATH=/bin', 'env EMPTY=', 'env WITH.DOT=a=b\nc "d"'],
        ...['workdir /tmp/ä b', 'hostname box', 'limit 7 1024 18446744073709551615', 'type virtiofs', 'source data'],
        ...['options ro,nosuid', 'target /mnt/x y', 'type tmpfs', 'source none', 'target /tmp', 'port krun-stdin'],
        ...['port krun-stdout', 'uid 0', 'gid 4294967294'],
      ],
    });
  });

  test('refuses every truncation', () => {
    const bytes = encodeGuestConfig({ exec: '/bin/sh', args: ['x'], env: { A: '1' } });
    for (let length = 0; length < bytes.length; length++)
      assert.equal(understood(bytes.subarray(0, length)).status, 1, `${length} of ${bytes.length} bytes`);
  });

  test('takes four thousand arguments', () => {
    const args = Array.from({ length: 4000 }, (_, index) => `argument ${index}`);
    const { items, status } = understood(encodeGuestConfig({ args }));
    assert.equal(status, 0);
    assert.deepEqual(
      items,
      args.map((arg) => `arg ${arg}`),
    );
  });
});
