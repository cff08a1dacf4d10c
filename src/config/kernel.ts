import { checkArray, checkChoice, checkKeys, checkText, checkWords, refuse } from './checks.ts';
import type { KernelOptions, MachineOptions } from './options.ts';
import type { KernelFileSpec, KernelFormat, KernelSpec } from './spec.ts';

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

/** SMBIOS numbers strings by a byte. */
const OEM_STRINGS_MAX = 255;

/** Which kernel boots, and what it is told. */
export function resolveKernel(kernel: KernelOptions): KernelSpec {
  checkKeys('kernel', kernel, ['path', 'format', 'initramfs', 'cmdline', 'firmware', 'console', 'extraArguments']);
  const { firmware, console, extraArguments } = kernel;
  const [consoleWord] = checkWords('kernel.console', console === undefined ? [] : [console]);
  const file = resolveFile(kernel);
  if (file !== undefined && firmware !== undefined) refuse('kernel.firmware', 'kernel.path is set as well');
  return {
    ...(firmware !== undefined && { firmware: checkText('kernel.firmware', firmware) }),
    ...(file !== undefined && { file }),
    ...(consoleWord !== undefined && { console: consoleWord }),
    extraArguments: checkWords('kernel.extraArguments', extraArguments),
  };
}

function resolveFile({ path, format, initramfs, cmdline }: KernelOptions): KernelFileSpec | undefined {
  if (path === undefined) {
    for (const [name, value] of Object.entries({ format, initramfs, cmdline })) {
      if (value !== undefined) refuse(`kernel.${name}`, 'it concerns kernel.path, which is not set');
    }
    return undefined;
  }
  return {
    path: checkText('kernel.path', path),
    format: checkChoice('kernel.format', format ?? 'auto', FORMATS),
    ...(initramfs !== undefined && { initramfs: checkText('kernel.initramfs', initramfs) }),
    ...(cmdline !== undefined && { commandLine: checkText('kernel.cmdline', cmdline, { empty: true }) }),
  };
}

/** Whether the machine runs what the user brought: it may do without a root and without a command then. */
export function bringsItsOwn({ kernel, bios }: MachineOptions): boolean {
  return kernel?.path !== undefined || bios !== undefined;
}

export function resolveBios({ bios, kernel }: MachineOptions): { bios?: string } {
  if (bios === undefined) return {};
  if (kernel?.path !== undefined) refuse('bios', 'kernel.path is set as well');
  return { bios: checkText('bios', bios) };
}

export function resolveOemStrings({ oemStrings }: MachineOptions): readonly string[] {
  const strings = checkArray('oemStrings', oemStrings).map((text, index) =>
    checkText(`oemStrings[${index}]`, text, { empty: true }),
  );
  if (strings.length > OEM_STRINGS_MAX) refuse('oemStrings', `there are more than ${OEM_STRINGS_MAX}`);
  return strings;
}
