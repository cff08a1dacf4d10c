import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KrunError } from '../base/krun-error.ts';
import type { MachineOptions } from './options.ts';
import { resolveConfig } from './resolve.ts';

const MINIMAL: MachineOptions = { root: '/r', command: ['/bin/x'] };

const refuses = (options: Partial<Record<keyof MachineOptions, unknown>>, message: RegExp): void => {
  assert.throws(
    () => resolveConfig({ ...MINIMAL, ...options } as MachineOptions),
    (error) =>
      error instanceof KrunError &&
      error.code === 'ERR_INVALID_OPTION' &&
      error.stage === 'config' &&
      message.test(error.message),
    `${JSON.stringify(options)} is refused with ${message}`,
  );
};

const CONTROL = { name: 'krun-control', input: 'control', output: 'none' };

test('a root and a command are enough; everything else has a default', () => {
  assert.deepEqual(resolveConfig(MINIMAL), {
    engine: 'auto',
    vm: { memoryBytes: 512 * 1024 * 1024, vcpus: 1 },
    kernel: { extraArguments: [] },
    oemStrings: [],
    shares: [{ tag: '/dev/root', path: '/r', readOnly: false, init: true, overlay: [] }],
    disks: [],
    consoles: [
      {
        ports: [
          { name: '', input: 'interrupt', output: 'log' },
          { name: 'krun-stdin', input: 'stdin', output: 'none' },
          { name: 'krun-stdout', input: 'none', output: 'stdout' },
          { name: 'krun-stderr', input: 'none', output: 'stderr' },
          { name: 'krun-control', input: 'control', output: 'none' },
        ],
      },
    ],
    serials: [],
    vsock: { tsi: { inet: false, unix: false }, egress: { deny: [] }, ports: [], unixPorts: [] },
    interfaces: [],
    dhcp: false,
    workload: {
      command: ['/bin/x'],
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' },
      workdir: '/',
      hostname: undefined,
      rlimits: [],
      user: undefined,
      mounts: [],
    },
  });
});

test('a specification is frozen to its depths', () => {
  const spec = resolveConfig(MINIMAL);
  assert.throws(() => {
    (spec.workload.command as string[]).push('y');
  }, TypeError);
  assert.ok(Object.isFrozen(spec.consoles[0]?.ports[0]));
});

test('a specification survives the way to another thread', () => {
  const spec = resolveConfig({ ...MINIMAL, rlimits: ['7=1024:18446744073709551615'], user: { uid: 1, gid: 2 } });
  assert.deepEqual(structuredClone(spec), spec);
});

test('a volume is a share, and a mount of that share', () => {
  const { shares, workload } = resolveConfig({
    ...MINIMAL,
    volumes: [{ hostPath: '/d', guestPath: '/data', readOnly: true }],
  });
  assert.deepEqual(shares[1], { tag: 'krun-volume-0', path: '/d', readOnly: true, init: false, overlay: [] });
  assert.deepEqual(workload.mounts, [{ tag: 'krun-volume-0', path: '/data', readOnly: true }]);
});

test('variables come over the defaults, as a list or as a record', () => {
  assert.deepEqual(resolveConfig({ ...MINIMAL, env: ['A=b=c', 'HOME=/h', 'E='] }).workload.env, {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/h',
    A: 'b=c',
    E: '',
  });
  assert.equal(resolveConfig({ ...MINIMAL, env: { PATH: '/p' } }).workload.env['PATH'], '/p');
});

test('a terminal is one port that carries everything, with a size', () => {
  const kind = 'terminal' as const;
  const { consoles } = resolveConfig({
    ...MINIMAL,
    console: { input: kind, output: kind, error: kind, size: { columns: 100, rows: 30 } },
  });
  assert.deepEqual(consoles, [
    { ports: [{ name: '', input: 'stdin', output: 'stdout' }, CONTROL], terminal: { columns: 100, rows: 30 } },
  ]);
});

test('a terminal for input only leaves output on a port, as upstream has it', () => {
  const { consoles } = resolveConfig({ ...MINIMAL, console: { input: 'terminal' } });
  assert.deepEqual(consoles[0]?.ports, [
    { name: '', input: 'stdin', output: 'log' },
    { name: 'krun-stdout', input: 'none', output: 'stdout' },
    { name: 'krun-stderr', input: 'none', output: 'stderr' },
    CONTROL,
  ]);
});

test('an output file takes the place of all streams; no console leaves the further ones', () => {
  assert.deepEqual(resolveConfig({ ...MINIMAL, console: { outputFile: '/o' }, shutdown: false }).consoles, [
    { ports: [{ name: '', input: 'none', output: 'log' }], logFile: '/o' },
  ]);
  assert.deepEqual(resolveConfig({ ...MINIMAL, console: false }).consoles, []);
  const extra = { input: 'none', output: 'pipe', error: 'none' } as const;
  assert.equal(resolveConfig({ ...MINIMAL, console: false, extraConsoles: [extra] }).consoles.length, 1);
});

test('each option is checked and named', () => {
  refuses({ command: [] }, /command: it has no program/);
  refuses({ command: [''] }, /command\[0\]: it is empty/);
  refuses({ command: ['x', 1] }, /command\[1\]: expected a string, found 1/);
  refuses({ command: ['a\0b'] }, /NUL/);
  refuses({ command: 'ls' }, /command: expected an array, found "ls"/);
  refuses({ root: undefined }, /there is no root/);
  refuses({ root: '' }, /root: it is empty/);
  refuses({ memoryMiB: 4 }, /memoryMiB: 4 is outside 48 to 3072/);
  refuses({ memoryMiB: 1e9 }, /outside/);
  refuses({ memoryMiB: '512' }, /memoryMiB: expected a whole number, found "512"/);
  refuses({ engine: 'soft', vcpus: 2 }, /vcpus: 2 is outside 1 to 1/);
  refuses({ vcpus: 129 }, /vcpus: 129 is outside 1 to 128/);
  refuses({ nested: 1 }, /nested: expected true or false, found 1/);
  refuses({ engine: 'qemu' }, /engine: expected auto, kvm, soft, found "qemu"/);
  refuses({ workdir: 'x' }, /workdir: "x" is not absolute/);
  refuses({ hostname: 'a b' }, /hostname: "a b" is not/);
  refuses({ env: ['=x'] }, /env: "=x" is not NAME=value/);
  refuses({ env: { 'A=B': 'x' } }, /"A=B" is no name/);
  refuses({ env: { A: '\ud800' } }, /env\.A: it holds half a surrogate pair/);
  refuses({ rlimits: ['nofile=1:2'] }, /rlimits/);
  refuses({ rlimits: ['7=1:99999999999999999999'] }, /rlimits/);
  refuses({ user: { uid: -1, gid: 0 } }, /user\.uid: -1 is outside/);
  refuses({ volumes: [{ hostPath: '/a', guestPath: 'b' }] }, /volumes\[0\]\.guestPath: "b" is not absolute/);
  refuses({ volumes: [{ hostPath: '/a', guestPath: '//' }] }, /the root is set with root/);
  refuses({ volumes: [{ hostPath: '/a', guestPath: '/b', ro: true }] }, /volumes\[0\]: unknown option "ro"/);
  refuses({ shares: [{ tag: 'x'.repeat(37), path: null }] }, /longer than 36 bytes/);
  refuses({ shares: [{ tag: 't', path: null, overlay: [{ path: 'a/../b', mode: 0 }] }] }, /component/);
  refuses({ shares: [{ tag: 't', path: null, overlay: [{ path: 'a', mode: 0o10000 }] }] }, /mode/);
  refuses({ console: { input: 'tty' } }, /console\.input: expected terminal, pipe, none, found "tty"/);
  refuses({ console: { outputFile: '/o', input: 'pipe' } }, /outputFile takes the place/);
  refuses({ kernel: { console: 'hvc0 init=/x' } }, /one word/);
  refuses({ colour: 'red' } as never, /unknown option "colour"/);
});
