import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { KrunError } from '../base/krun-error.ts';
import type { OverlaySpec, ShareSpec } from '../config/spec.ts';
import type { FileSystem } from '../fuse/file-system.ts';
import { nullFs } from '../fuse/null-fs.ts';
import { Overlay } from '../fuse/overlay.ts';
import { overlayFs } from '../fuse/overlay-fs.ts';
import { readOnlyFs } from '../fuse/read-only-fs.ts';
import { hostClock } from './clock.ts';
import { openPassthrough } from './passthrough-fs.ts';

/**
 * The file system behind one share: the host directory, the guard that makes it read-only, the overlay on top.
 *
 * @param extra laid over the share besides what the user asked for
 * @throws {KrunError} ERR_SHARE with the path; ERR_OVERLAY with the overlay's path
 */
export function openShare({ path, readOnly, overlay }: ShareSpec, extra: readonly OverlaySpec[]): FileSystem {
  const directory = path === null ? nullFs() : openDirectory(path);
  try {
    const guarded = readOnly ? readOnlyFs(directory) : directory;
    const items = [...extra, ...overlay];
    return items.length === 0 ? guarded : overlayFs(guarded, layOut(items), hostClock.wallMs);
  } catch (error) {
    directory.close();
    throw error;
  }
}

/**
 * Virtual directories that let a volume be mounted where the root has no such directory, without touching the host.
 * Only names directly in the root can be added; below a real directory the guest's init has to make the mount point.
 */
export function mountPoints(root: string | null, paths: readonly string[]): OverlaySpec[] {
  const made = new Map<string, OverlaySpec>();
  for (const path of paths) {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    const [top] = parts;
    if (top === undefined || parts.includes('..') || (root !== null && exists(join(root, top)))) continue;
    for (let depth = 1; depth <= parts.length; depth++) {
      const name = parts.slice(0, depth).join('/');
      made.set(name, { path: name, mode: 0o755, oneShot: false });
    }
  }
  return [...made.values()];
}

function openDirectory(path: string): FileSystem {
  try {
    return openPassthrough(path);
  } catch (cause) {
    throw new KrunError('ERR_SHARE', (cause as Error).message, {
      stage: 'resources',
      hint: 'it has to be a directory that this user may enter',
      cause,
    });
  }
}

function layOut(items: readonly OverlaySpec[]): Overlay {
  const overlay = new Overlay();
  for (const item of items) {
    try {
      overlay.add(item);
    } catch (cause) {
      throw new KrunError('ERR_OVERLAY', (cause as Error).message, { stage: 'resources', cause });
    }
  }
  return overlay;
}

/** Whether a name is there, as what it is: a dangling link counts. */
function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
