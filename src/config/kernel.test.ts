import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineOptions } from './options.ts';
import { resolveConfig } from './resolve.ts';

function refuses(options: MachineOptions, message: RegExp): void {
  assert.throws(() => resolveConfig(options), { code: 'ERR_INVALID_OPTION', message });
}

test('a kernel of its own needs neither a root nor a command', () => {
  const { kernel, shares, workload } = resolveConfig({
    kernel: { path: '/k', initramfs: '/i', cmdline: 'console=ttyS0' },
  });
  assert.deepEqual(kernel.file, { path: '/k', format: 'auto', initramfs: '/i', commandLine: 'console=ttyS0' });
  assert.deepEqual([shares, workload.command], [[], ['/bin/sh']]);
  assert.equal(resolveConfig({ bios: '/bios.bin' }).bios, '/bios.bin');
});

test('an empty command line is one, and no command line means the default one', () => {
  assert.equal(resolveConfig({ kernel: { path: '/k', cmdline: '' } }).kernel.file?.commandLine, '');
  assert.equal(resolveConfig({ kernel: { path: '/k' } }).kernel.file?.commandLine, undefined);
});

test('options that concern a kernel file are refused without one, and two things cannot run first', () => {
  refuses({ root: '/', command: ['x'], kernel: { initramfs: '/i' } }, /kernel\.initramfs: it concerns kernel\.path/);
  refuses({ root: '/', command: ['x'], kernel: { cmdline: 'x' } }, /kernel\.cmdline/);
  refuses({ kernel: { path: '/k', format: 'zimage' as 'raw' } }, /kernel\.format: expected auto, raw, elf/);
  refuses({ kernel: { path: '/k', firmware: '/libkrunfw.so' } }, /kernel\.path is set as well/);
  refuses({ kernel: { path: '/k' }, bios: '/b' }, /bios: kernel\.path is set/);
  refuses({ bios: '' }, /bios: it is empty/);
});

test('at most 255 OEM strings have a number', () => {
  const bios = '/b';
  assert.equal(resolveConfig({ bios, oemStrings: new Array<string>(255).fill('x') }).oemStrings.length, 255);
  refuses({ bios, oemStrings: new Array<string>(256).fill('x') }, /oemStrings: there are more than 255/);
  refuses({ bios, oemStrings: ['a\0b'] }, /oemStrings\[0\]: it holds a NUL/);
});
