import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRunArguments } from './run-arguments.ts';
import { UsageError } from './usage-error.ts';

function parse(...args: string[]) {
  return parseRunArguments(args, {});
}

test('a kernel file, its initramfs and its command line need no command', () => {
  const { options } = parse('--kernel', '/boot/vmlinuz', '--initrd', '/i', '--append', 'console=ttyS0 quiet');
  assert.deepEqual(options.kernel, {
    path: '/boot/vmlinuz',
    format: 'auto',
    initramfs: '/i',
    cmdline: 'console=ttyS0 quiet',
  });
  assert.deepEqual(options.command, []);
  assert.deepEqual(parse('--kernel', 'k', '--kernel-format', 'image-zstd', '--', 'ls').options.kernel, {
    path: 'k',
    format: 'image-zstd',
  });
});

test('firmware and OEM strings', () => {
  const { options } = parse('--bios', '/bios.bin', '--oem-string', 'a=b', '--oem-string', 'c');
  assert.deepEqual([options.bios, options.oemStrings], ['/bios.bin', ['a=b', 'c']]);
  assert.deepEqual(parse('--firmware', '/libkrunfw.so', '--', 'ls').options.kernel, { firmware: '/libkrunfw.so' });
});

test('options that need a kernel file are refused without one, and so are unknown formats', () => {
  for (const args of [
    ['--initrd', '/i', '--', 'ls'],
    ['--append', 'x', '--', 'ls'],
    ['--kernel-format', 'elf', '--', 'ls'],
    ['--kernel', 'k', '--kernel-format', 'vmlinuz'],
    ['--kernel', 'k', '--firmware', 'f'],
    ['--oem-string', 'a'],
  ]) {
    assert.throws(() => parse(...args), UsageError, args.join(' '));
  }
});
