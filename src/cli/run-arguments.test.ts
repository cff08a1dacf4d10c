import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRunArguments } from './run-arguments.ts';
import { UsageError } from './usage-error.ts';

const parse = (...args: string[]) => parseRunArguments(args, { TERM: 'xterm', EMPTY: '' });
const refuses = (args: string[], text: RegExp) =>
  assert.throws(
    () => parse(...args),
    (error) => error instanceof UsageError && text.test(error.message),
  );

test('everything after -- is the command, options and further dashes included', () => {
  const { options } = parse('--read-only', '--', 'ls', '--color', '--', '-x');
  assert.deepEqual(options, { readOnly: true, command: ['ls', '--color', '--', '-x'] });
});

test('every option reaches the field of its name', () => {
  const { options, json, noTty } = parse(
    ...['--root', '/r', '--memory', '2G', '--cpus', '1', '--workdir', '/w', '--hostname', 'h', '--timeout', '1.5'],
    ...['--console', 'c.log', '--engine', 'soft', '--firmware', 'f.so', '--json', '--no-tty', '--', 'x'],
  );
  assert.deepEqual(options, {
    command: ['x'],
    root: '/r',
    memoryMiB: 2048,
    vcpus: 1,
    workdir: '/w',
    hostname: 'h',
    timeoutMs: 1500,
    console: { logFile: 'c.log' },
    engine: 'soft',
    kernel: { firmware: 'f.so' },
  });
  assert.deepEqual([json, noTty], [true, true]);
});

test('--env takes a value, takes the host value by name, and leaves out what the host has not', () => {
  const { options } = parse('--env', 'A=b=c', '--env', 'TERM', '--env', 'EMPTY', '--env', 'ABSENT', '--', 'x');
  assert.deepEqual(options.env, ['A=b=c', 'TERM=xterm', 'EMPTY=']);
});

test('--volume is split from the right, so that a host path may hold colons', () => {
  const { options } = parse('--volume', '/a:b:/c:ro', '--volume', './d:/e', '-v', '/f:/g:rw', '--', 'x');
  assert.deepEqual(options.volumes, [
    { hostPath: '/a:b', guestPath: '/c', readOnly: true },
    { hostPath: './d', guestPath: '/e', readOnly: false },
    { hostPath: '/f', guestPath: '/g', readOnly: false },
  ]);
});

test('a missing command, an unknown option and a word before -- are refused with a reason', () => {
  refuses(['--root', '/'], /no command/);
  refuses(['--'], /no command/);
  refuses(['--colour', '--', 'x'], /Unknown option '--colour'/);
  refuses(['ls', '--', 'x'], /"ls": put "--" before the command/);
  refuses(['--read-only=yes', '--', 'x'], /does not take an argument/);
});

test('bad values are refused with what was expected', () => {
  refuses(['--memory', '0', '--', 'x'], /expected MiB/);
  refuses(['--memory', '12K', '--', 'x'], /expected MiB/);
  refuses(['--cpus', '1.5', '--', 'x'], /whole number/);
  refuses(['--timeout', '0', '--', 'x'], /expected seconds/);
  refuses(['--timeout', '3000000', '--', 'x'], /expected seconds/);
  refuses(['--engine', 'qemu', '--', 'x'], /auto, kvm or soft/);
  refuses(['--volume', '/a', '--', 'x'], /HOST:GUEST/);
  refuses(['--volume', ':/a', '--', 'x'], /HOST:GUEST/);
  refuses(['--volume', '/a:relative', '--', 'x'], /absolute GUEST/);
  refuses(['--env', '=x', '--', 'x'], /no name/);
});

test('--help needs no command', () => {
  assert.equal(parse('--help').help, true);
});

test('--disk takes a format and :ro from the end of a path that may hold colons', () => {
  const disks = (...given: string[]) =>
    parseRunArguments([...given.flatMap((disk) => ['--disk', disk]), '--', 'x'], {}).options.disks;
  assert.deepEqual(disks('a.img', '/b:c:qcow2', 'd:ro', 'e.vmdk:vmdk:ro', 'f:g'), [
    { path: 'a.img', readOnly: false },
    { path: '/b:c', format: 'qcow2', readOnly: false },
    { path: 'd', readOnly: true },
    { path: 'e.vmdk', format: 'vmdk', readOnly: true },
    { path: 'f:g', readOnly: false },
  ]);
  assert.throws(() => disks(':raw'), /Cannot add disk/);
});

test('--root-disk takes a device of the guest, a type and options', () => {
  const rootDisk = (text: string) => parseRunArguments(['--root-disk', text, '--', 'x'], {}).options.rootDisk;
  assert.deepEqual(rootDisk('/dev/vda'), { device: '/dev/vda' });
  assert.deepEqual(rootDisk('/dev/vda1:ext4:ro,noatime'), {
    device: '/dev/vda1',
    fileSystem: 'ext4',
    options: 'ro,noatime',
  });
  assert.throws(() => rootDisk('vda'), /a device of the guest/);
});
