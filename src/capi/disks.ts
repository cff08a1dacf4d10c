import type { DiskOptions } from '../config/options.ts';
import { BadArgument, type CString, text, textOrNull, unsigned } from './arguments.ts';
import { type Context, checking, withContext } from './contexts.ts';
import { EINVAL } from './errno.ts';
import { KRUN_FS_ROOT_TAG } from './root.ts';

/** Formats of disk images. @spec LIBKRUN-H KRUN_DISK_FORMAT_* */
export const KRUN_DISK_FORMAT_RAW = 0;
export const KRUN_DISK_FORMAT_QCOW2 = 1;
export const KRUN_DISK_FORMAT_VMDK = 2;

/** What a flush of the guest does. @spec LIBKRUN-H KRUN_SYNC_* */
export const KRUN_SYNC_NONE = 0;
export const KRUN_SYNC_RELAXED = 1;
export const KRUN_SYNC_FULL = 2;

const FORMATS = ['raw', 'qcow2', 'vmdk'] as const;
const SYNC_MODES = ['none', 'relaxed', 'full'] as const;

/** What init needs before the disk is the root. */
const ROOT_DIRECTORIES = ['dev', 'proc', 'sys', 'newroot'];

/** Adds a raw disk. The id names it here only; the guest does not see it. The file is opened at the start. */
export function krun_add_disk(ctx_id: number, block_id: CString, disk_path: CString, read_only: boolean): number {
  return krun_add_disk2(ctx_id, block_id, disk_path, KRUN_DISK_FORMAT_RAW, read_only);
}

/** The same in any format; -EINVAL for an unknown one. */
export function krun_add_disk2(
  ctx_id: number,
  block_id: CString,
  disk_path: CString,
  disk_format: number,
  read_only: boolean,
): number {
  return krun_add_disk3(ctx_id, block_id, disk_path, disk_format, read_only, false, defaultSync());
}

/** The same, optionally past the host's page cache, and with a sync mode; -EINVAL for an unknown one. */
export function krun_add_disk3(
  ctx_id: number,
  block_id: CString,
  disk_path: CString,
  disk_format: number,
  read_only: boolean,
  direct_io: boolean,
  sync_mode: number,
): number {
  return checking(() => {
    text(block_id);
    const path = text(disk_path);
    const format = oneOf(FORMATS, disk_format);
    const sync = oneOf(SYNC_MODES, sync_mode);
    return withContext(ctx_id, ({ disks }) => {
      disks.push({ path, format, sync, readOnly: read_only === true, direct: direct_io === true });
      return 0;
    });
  });
}

/** Deprecated: the raw disk that is vda when no disk is added otherwise. The last call counts. */
export function krun_set_root_disk(ctx_id: number, disk_path: CString): number {
  return checking(() => {
    const path = text(disk_path);
    return withContext(ctx_id, (context) => {
      context.oldRootDisk = path;
      return 0;
    });
  });
}

/** Deprecated: the raw disk that comes after the one of `krun_set_root_disk`. The last call counts. */
export function krun_set_data_disk(ctx_id: number, disk_path: CString): number {
  return checking(() => {
    const path = text(disk_path);
    return withContext(ctx_id, (context) => {
      context.oldDataDisk = path;
      return 0;
    });
  });
}

/**
 * Makes a disk the guest's root: init mounts it in place of the root share. A NULL type, or `auto`, tries all.
 * -EINVAL when there is a root share already, or when no disk was added.
 */
export function krun_set_root_disk_remount(ctx_id: number, device: CString, fstype: CString, options: CString): number {
  return checking(() => {
    const name = text(device);
    const type = textOrNull(fstype);
    const mountOptions = textOrNull(options);
    return withContext(ctx_id, (context) => {
      const { shares, disks, implicitInit } = context;
      if (shares.some(({ tag }) => tag === KRUN_FS_ROOT_TAG) || disks.length === 0) return -EINVAL;
      const overlay = ROOT_DIRECTORIES.map((path) => ({ path, mode: 0o755, oneShot: false }));
      shares.push({ tag: KRUN_FS_ROOT_TAG, path: null, readOnly: false, init: implicitInit, overlay });
      context.rootDisk = {
        device: name,
        ...(type !== null && type !== '' && type !== 'auto' && { fileSystem: type }),
        ...(mountOptions !== null && mountOptions !== '' && { options: mountOptions }),
      };
      return 0;
    });
  });
}

/** The disks that a context's machine gets, in order, if any. */
export function disksOf({ disks, oldRootDisk, oldDataDisk }: Context): { disks?: readonly DiskOptions[] } {
  if (disks.length > 0) return { disks };
  const old = [oldRootDisk, oldDataDisk].filter((path) => path !== undefined);
  return old.length === 0 ? {} : { disks: old.map(oldDisk) };
}

function oldDisk(path: string): DiskOptions {
  return { path, format: 'raw', readOnly: false, direct: false, sync: SYNC_MODES[defaultSync()] ?? 'full' };
}

/** Making macOS write its disk's own cache out is slow, and not what others there do. */
function defaultSync(): number {
  return process.platform === 'darwin' ? KRUN_SYNC_RELAXED : KRUN_SYNC_FULL;
}

function oneOf<T>(values: readonly T[], index: number): T {
  const value = values[unsigned(index, 32)];
  if (value === undefined) throw new BadArgument(`not 0 to ${values.length - 1}`);
  return value;
}
