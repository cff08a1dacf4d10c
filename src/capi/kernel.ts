import { isReadableFile, pathExists } from '../api/files.ts';
import type { KernelFormat, MachineOptions } from '../config/options.ts';
import { type CString, text, textOrNull, texts, unsigned } from './arguments.ts';
import { type Context, checking, withContext } from './contexts.ts';
import { EINVAL } from './errno.ts';

/** Formats of kernel files. @spec LIBKRUN-H KRUN_KERNEL_FORMAT_* */
export const KRUN_KERNEL_FORMAT_RAW = 0;
export const KRUN_KERNEL_FORMAT_ELF = 1;
export const KRUN_KERNEL_FORMAT_PE_GZ = 2;
export const KRUN_KERNEL_FORMAT_IMAGE_BZ2 = 3;
export const KRUN_KERNEL_FORMAT_IMAGE_GZ = 4;
export const KRUN_KERNEL_FORMAT_IMAGE_ZSTD = 5;

const FORMATS: readonly KernelFormat[] = ['raw', 'elf', 'pe-gz', 'image-bz2', 'image-gz', 'image-zstd'];

/**
 * The kernel to boot in place of libkrunfw's. NULL `initramfs` and `cmdline` leave them out; a command line replaces the
 * default one. -EINVAL: an unknown format, an initramfs that is not there, a raw kernel that cannot be opened; other
 * kernels are opened at the start, where -EINVAL says that the file is not what the format says.
 *
 * @quirk a raw kernel gets its initramfs and its command line, which upstream drops; a bzImage may be called raw
 */
export function krun_set_kernel(
  ctx_id: number,
  kernel_path: CString,
  kernel_format: number,
  initramfs: CString,
  cmdline: CString,
): number {
  return checking(() => {
    const path = text(kernel_path);
    const format = FORMATS[unsigned(kernel_format, 32)];
    if (format === undefined) return -EINVAL;
    const initrd = textOrNull(initramfs);
    const line = textOrNull(cmdline);
    if (format === 'raw' && !isReadableFile(path)) return -EINVAL;
    if (initrd !== null && !pathExists(initrd)) return -EINVAL;
    return withContext(ctx_id, (context) => {
      context.kernel = {
        path,
        format,
        ...(initrd !== null && { initramfs: initrd }),
        ...(line !== null && { cmdline: line }),
      };
      return 0;
    });
  });
}

/** Raw firmware that runs where `krun_set_kernel` named no kernel; read at the start. */
export function krun_set_firmware(ctx_id: number, firmware_path: CString): number {
  return checking(() => {
    const path = text(firmware_path);
    return withContext(ctx_id, (context) => {
      context.firmware = path;
      return 0;
    });
  });
}

/**
 * SMBIOS strings of the machine's owner, in place of those set before; an empty array clears them. NULL is -EINVAL.
 *
 * @quirk upstream shows them to arm64 firmware only; here every kernel that is booted finds them
 */
export function krun_set_smbios_oem_strings(ctx_id: number, oem_strings: readonly CString[] | null): number {
  return checking(() => {
    const strings = texts(oem_strings);
    return withContext(ctx_id, (context) => {
      context.oemStrings = strings;
      return 0;
    });
  });
}

/** What runs first, as options. A kernel comes before firmware. */
export function payloadOf(context: Context): Pick<MachineOptions, 'kernel' | 'bios' | 'oemStrings'> {
  const { kernel, firmware, kernelConsole, oemStrings } = context;
  const console = kernelConsole === undefined ? {} : { console: kernelConsole };
  return {
    ...((kernel !== undefined || kernelConsole !== undefined) && { kernel: { ...kernel, ...console } }),
    ...(kernel === undefined && firmware !== undefined && { bios: firmware }),
    ...(oemStrings.length > 0 && { oemStrings }),
  };
}
