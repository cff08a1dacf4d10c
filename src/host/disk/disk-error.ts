import { KrunError } from '../../base/krun-error.ts';

/** The host does not let us open a disk's file, or it is no file that can be a disk. */
export function cannotOpen(path: string, found: string, cause?: unknown): KrunError {
  return new KrunError('ERR_DISK', `Cannot open disk "${path}": ${found}`, { stage: 'resources', cause });
}

/** An image breaks the rules of its format. */
export function malformed(path: string, found: string): KrunError {
  return new KrunError('ERR_DISK_MALFORMED', `Cannot read disk image "${path}": ${found}`, { stage: 'resources' });
}

/** An image uses something of its format that is not implemented, named in `found`. */
export function unsupported(path: string, found: string, hint?: string): KrunError {
  return new KrunError('ERR_DISK_UNSUPPORTED', `Cannot use disk image "${path}": ${found}`, {
    stage: 'resources',
    hint,
  });
}

/** A request of a running guest that an image cannot serve; the guest sees an I/O error. */
export class ImageIoError extends Error {
  override readonly name = 'ImageIoError';
}
