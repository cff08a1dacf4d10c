import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { createContext, removeContext } from './contexts.ts';
import { EINVAL, ENOENT } from './errno.ts';
import { krun_set_kernel_console } from './console.ts';
import {
  KRUN_KERNEL_FORMAT_ELF,
  KRUN_KERNEL_FORMAT_RAW,
  krun_set_firmware,
  krun_set_kernel,
  krun_set_smbios_oem_strings,
} from './kernel.ts';
import { toOptions } from './start.ts';

const here = fileURLToPath(import.meta.url);
const INVALID = Uint8Array.of(0xff, 0xfe);

function options(id: number): ReturnType<typeof toOptions> {
  const context = removeContext(id);
  assert(context !== undefined);
  return toOptions(context);
}

test('a kernel, its initramfs and its command line are kept as given; without one nothing is said about kernels', () => {
  const id = createContext();
  assert.equal(krun_set_kernel(id, '/nonexistent', KRUN_KERNEL_FORMAT_ELF, here, 'console=ttyS0 a="b c"'), 0);
  assert.equal(krun_set_kernel_console(id, 'hvc1'), 0);
  assert.deepEqual(options(id).kernel, {
    path: '/nonexistent',
    format: 'elf',
    initramfs: here,
    cmdline: 'console=ttyS0 a="b c"',
    console: 'hvc1',
  });
  const plain = options(createContext());
  assert.deepEqual([plain.kernel, plain.bios, plain.oemStrings], [undefined, undefined, undefined]);
});

test('NULL initramfs and command line are left out, an empty command line is kept', () => {
  const id = createContext();
  krun_set_kernel(id, '/k', KRUN_KERNEL_FORMAT_ELF, null, null);
  krun_set_kernel(id, here, KRUN_KERNEL_FORMAT_RAW, null, '');
  assert.deepEqual(options(id).kernel, { path: here, format: 'raw', cmdline: '' });
});

test('all six formats have a name, and no seventh one', () => {
  const id = createContext();
  const formats = [0, 1, 2, 3, 4, 5].map((format) => {
    assert.equal(krun_set_kernel(id, here, format, null, null), 0);
    return format;
  });
  assert.equal(formats.length, 6);
  for (const format of [6, -1, 1.5, 2 ** 32]) assert.equal(krun_set_kernel(id, here, format, null, null), -EINVAL);
});

test('what upstream refuses at once is refused at once: a raw kernel or an initramfs that is not there, bad strings', () => {
  const id = createContext();
  assert.equal(krun_set_kernel(id, '/nonexistent', KRUN_KERNEL_FORMAT_RAW, null, null), -EINVAL);
  assert.equal(krun_set_kernel(id, '/', KRUN_KERNEL_FORMAT_RAW, null, null), -EINVAL);
  assert.equal(krun_set_kernel(id, here, KRUN_KERNEL_FORMAT_ELF, '/nonexistent', null), -EINVAL);
  assert.equal(krun_set_kernel(id, null, KRUN_KERNEL_FORMAT_ELF, null, null), -EINVAL);
  assert.equal(krun_set_kernel(id, INVALID, KRUN_KERNEL_FORMAT_ELF, null, null), -EINVAL);
  assert.equal(krun_set_kernel(id, here, KRUN_KERNEL_FORMAT_ELF, null, INVALID), -EINVAL);
  assert.equal(krun_set_firmware(id, null), -EINVAL);
  assert.equal(krun_set_firmware(id, INVALID), -EINVAL);
  assert.equal(options(id).kernel, undefined);
});

test('an unknown context is -ENOENT', () => {
  assert.equal(krun_set_kernel(99_999, here, KRUN_KERNEL_FORMAT_ELF, null, null), -ENOENT);
  assert.equal(krun_set_firmware(99_999, '/x'), -ENOENT);
  assert.equal(krun_set_smbios_oem_strings(99_999, []), -ENOENT);
});

test('firmware runs only where there is no kernel', () => {
  const id = createContext();
  assert.equal(krun_set_firmware(id, '/bios.bin'), 0);
  assert.equal(krun_set_kernel(id, '/k', KRUN_KERNEL_FORMAT_ELF, null, null), 0);
  const both = options(id);
  assert.deepEqual([both.kernel?.path, both.bios], ['/k', undefined]);
  const alone = createContext();
  krun_set_firmware(alone, '/bios.bin');
  assert.equal(options(alone).bios, '/bios.bin');
});

test('OEM strings end at NULL, replace those before, and an empty array clears them', () => {
  const id = createContext();
  assert.equal(krun_set_smbios_oem_strings(id, ['a', 'b=c', null, 'd']), 0);
  assert.equal(krun_set_smbios_oem_strings(id, null), -EINVAL);
  assert.equal(krun_set_smbios_oem_strings(id, ['x', INVALID]), -EINVAL);
  assert.deepEqual(options(id).oemStrings, ['a', 'b=c']);
  const cleared = createContext();
  krun_set_smbios_oem_strings(cleared, ['a']);
  assert.equal(krun_set_smbios_oem_strings(cleared, []), 0);
  assert.equal(options(cleared).oemStrings, undefined);
});
