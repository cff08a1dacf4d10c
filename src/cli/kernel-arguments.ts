import type { KernelFormat, MicroVmOptions } from '../index.ts';
import { UsageError } from './usage-error.ts';

/** Options of `krun run` about what runs first. */
export const KERNEL_OPTIONS = {
  firmware: { type: 'string' },
  kernel: { type: 'string' },
  'kernel-format': { type: 'string' },
  initrd: { type: 'string' },
  append: { type: 'string' },
  bios: { type: 'string' },
  'oem-string': { type: 'string', multiple: true },
} as const;

interface Values {
  readonly firmware?: string | undefined;
  readonly kernel?: string | undefined;
  readonly 'kernel-format'?: string | undefined;
  readonly initrd?: string | undefined;
  readonly append?: string | undefined;
  readonly bios?: string | undefined;
  readonly 'oem-string'?: readonly string[] | undefined;
}

const FORMATS: readonly KernelFormat[] = [
  'auto',
  'raw',
  'elf',
  'pe-gz',
  'image-bz2',
  'image-gz',
  'image-zstd',
  'bzimage',
];

/** @throws {UsageError} an option about a kernel file without one, or an unknown format */
export function parseKernel(values: Values): Pick<MicroVmOptions, 'kernel' | 'bios' | 'oemStrings'> {
  const { bios } = values;
  const kernel = parseFile(values);
  return {
    ...(kernel !== undefined && { kernel }),
    ...(bios !== undefined && { bios }),
    ...(values['oem-string'] !== undefined && { oemStrings: values['oem-string'] }),
  };
}

/** Whether there may be no command: the user's kernel or firmware decides what runs. */
export function bringsItsOwn({ kernel, bios }: Values): boolean {
  return kernel !== undefined || bios !== undefined;
}

function parseFile(values: Values): MicroVmOptions['kernel'] {
  const { firmware, kernel: path, initrd, append } = values;
  if (path === undefined) {
    for (const name of ['kernel-format', 'initrd', 'append'] as const) {
      if (values[name] !== undefined) throw new UsageError(`Cannot use --${name}: there is no --kernel`);
    }
    return firmware === undefined ? undefined : { firmware };
  }
  if (firmware !== undefined) throw new UsageError('Cannot use --firmware: it holds another kernel than --kernel');
  return {
    path,
    format: parseFormat(values['kernel-format'] ?? 'auto'),
    ...(initrd !== undefined && { initramfs: initrd }),
    ...(append !== undefined && { cmdline: append }),
  };
}

function parseFormat(text: string): KernelFormat {
  const format = FORMATS.find((candidate) => candidate === text);
  if (format === undefined) throw new UsageError(`Cannot use --kernel-format ${text}: expected ${FORMATS.join(', ')}`);
  return format;
}
