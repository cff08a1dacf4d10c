import { KrunError } from '../../base/krun-error.ts';

export type KernelErrorCode =
  | 'ERR_KERNEL_NOT_FOUND' // the file that the user named does not exist or cannot be read
  | 'ERR_KERNEL_FORMAT' // the file that the user named is no libkrunfw for x86-64
  | 'ERR_KERNEL_OFFLINE' // nothing answered
  | 'ERR_KERNEL_DOWNLOAD' // a server answered, but not with the whole file
  | 'ERR_KERNEL_INTEGRITY' // what came is not what was pinned
  | 'ERR_KERNEL_DISK_FULL'
  | 'ERR_KERNEL_CACHE'; // the cache directory cannot be written

/** No usable guest kernel: `code` says why, `hint` what to do about it. */
export class KernelError extends KrunError {
  override readonly name = 'KernelError';
  declare readonly code: KernelErrorCode;

  constructor(code: KernelErrorCode, message: string, details: { hint?: string; cause?: unknown } = {}) {
    super(code, message, { stage: 'kernel', ...details });
  }
}

const NAME_A_FILE = 'set KRUN_FIRMWARE to the path of a libkrunfw.so.5';

/** Turns what a file operation in the cache threw into a typed error. */
export function cacheError(attempt: string, cause: unknown): unknown {
  const code = errnoOf(cause);
  if (code === undefined || cause instanceof KernelError) return cause;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new KernelError('ERR_KERNEL_DISK_FULL', `Cannot ${attempt}: no space left (${code})`, {
      hint: 'free about 25 MB there, or set XDG_CACHE_HOME to another disk',
      cause,
    });
  return new KernelError('ERR_KERNEL_CACHE', `Cannot ${attempt}: ${code}`, {
    hint: `make the directory writable, set XDG_CACHE_HOME to another one, or ${NAME_A_FILE}`,
    cause,
  });
}

/** The hint of everything that went wrong on the network. */
export const NETWORK_HINT = `check the network and \`npm config get registry\`, or ${NAME_A_FILE}`;

/** The errno name of a Node error, such as "ENOENT". */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** What an unknown thrown value says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
