import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SyntheticFirmware, syntheticFirmware } from '../../testing/synthetic-firmware.ts';
import { FirmwareError } from './firmware-error.ts';
import { parseFirmware } from './libkrunfw.ts';

const refuses = (options: SyntheticFirmware, reason: RegExp): void => {
  assert.throws(() => parseFirmware(syntheticFirmware(options)), reason);
};

test('parseFirmware reads image, addresses, ABI and release without running anything', () => {
  const file = syntheticFirmware({ load: 0x1000000, entry: 0x1000123, size: 0x3000, release: '6.12.109' });
  const { image, ...rest } = parseFirmware(file);
  const numbers = { loadAddress: 0x1000000, entryAddress: 0x1000123, size: 0x3000 };
  assert.deepEqual(rest, { ...numbers, abiVersion: 5, release: '6.12.109' });
  assert.equal(image.length, 0x3000);
  assert.equal(image.buffer, file.buffer);
});

test('parseFirmware reads a file that starts in the middle of its buffer', () => {
  const file = syntheticFirmware();
  const shifted = new Uint8Array(file.length + 5);
  shifted.set(file, 5);
  assert.deepEqual(parseFirmware(shifted.subarray(5)).image, parseFirmware(file).image);
});

test('parseFirmware maps the stores of optimised code by argument register', () => {
  // size through RDX first, then load through RDI, then entry through RSI.
  const file = syntheticFirmware({ stores: [2, 7, 6], values: [0x2000, 0x1000000, 0x1000123] });
  const { loadAddress, entryAddress, size } = parseFirmware(file);
  assert.deepEqual([loadAddress, entryAddress, size], [0x1000000, 0x1000123, 0x2000]);
});

test('parseFirmware takes a library without a version function', () => {
  const file = syntheticFirmware({ symbolNames: ['KERNEL_BUNDLE', 'krunfw_get_kernel', 'other'] });
  assert.equal(parseFirmware(file).abiVersion, undefined);
});

test('parseFirmware leaves the release empty when there is only a format string', () => {
  assert.equal(parseFirmware(syntheticFirmware({ release: '%s' })).release, '');
});

test('parseFirmware says what is wrong with other files', () => {
  refuses({ machine: 183 }, /machine 183/);
  refuses({ symbolNames: ['A', 'krunfw_get_kernel', 'c'] }, /KERNEL_BUNDLE/);
  refuses({ symbolNames: ['KERNEL_BUNDLE', 'b', 'c'] }, /krunfw_get_kernel/);
  refuses({ stores: [0, 0] }, /2 constants/);
  refuses({ stores: [7, 1, 2] }, /unexpected registers/);
  refuses({ load: 0x1000001 }, /load address/);
  refuses({ load: 0, entry: 1 }, /load address/);
  refuses({ size: 0x2001 }, /kernel size/);
  refuses({ size: 0 }, /kernel size/);
  refuses({ bundleBytes: 0x1fff }, /in a bundle of/);
  refuses({ entry: 0x1002000 }, /outside the kernel/);
  refuses({ load: 0x80000000 }, /constant 0x80000000/);
  for (const text of ['', 'short', '#!/bin/sh\n'.repeat(20)])
    assert.throws(() => parseFirmware(new TextEncoder().encode(text)), FirmwareError);
});

test('every truncation of a firmware is refused or read, never anything else', () => {
  const file = syntheticFirmware();
  for (let length = 0; length < file.length; length += 7)
    assert.throws(() => parseFirmware(file.slice(0, length)), FirmwareError);
});

test('every damaged header byte is refused or read, never anything else', () => {
  // A wild offset must not become a RangeError of DataView, a wild count not a long loop.
  const file = syntheticFirmware();
  for (let at = 0; at < 0x600; at++) {
    for (const value of [0x00, 0x7f, 0x80, 0xff]) {
      const damaged = file.slice();
      damaged[at] = value;
      try {
        parseFirmware(damaged);
      } catch (error) {
        assert.ok(error instanceof FirmwareError, `byte ${at} = ${value}: ${String(error)}`);
      }
    }
  }
});
