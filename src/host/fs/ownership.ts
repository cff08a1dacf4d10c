import { ESTALE } from '../../fuse/errno.ts';
import type { Caller } from '../../fuse/file-system.ts';
import type { Place } from './host-calls.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_ISGID, S_ISUID, S_IXGRP } from './linux.ts';
import type { Share } from './share.ts';

/** -1 leaves the id that the host gave. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const OURS: Owner = { uid: -1, gid: -1 };

/**
 * Whom a new file shall belong to. The guest's root, and our own id, are this process; for any other id this process
 * must be privileged. Undefined: it is not.
 */
export function ownerFor(caller: Caller): Owner | undefined {
  const euid = process.geteuid?.() ?? 0;
  const egid = process.getegid?.() ?? 0;
  const gid = caller.gid === 0 || caller.gid === egid ? -1 : caller.gid;
  const uid = caller.uid === 0 || caller.uid === euid ? -1 : caller.uid;
  if (uid === -1 && gid === -1) return OURS;
  return euid === 0 ? { uid, gid } : undefined;
}

/**
 * Gives a file that was just made its owner and exact mode. Made by us in this process's name, it may have lost mode
 * bits to the process's umask, which a worker thread cannot change.
 *
 * Answers 1 if something had to change, 0 if not, or -errno.
 *
 * @param fd descriptor of the new inode
 * @param exclusive the descriptor came from the creating call itself, so it cannot be another file
 */
export function finishNew(
  share: Share,
  fd: number,
  made: { mode: number; dir: number; owner: Owner; exclusive: boolean },
): number {
  const { mode, dir, owner, exclusive } = made;
  const isLink = (mode & S_IFMT) === S_IFLNK;
  const lost = isLink ? 0 : mode & (share.umask | S_ISUID | S_ISGID);
  if (lost === 0 && owner === OURS) return 0;
  if (!exclusive && !isOurs(share, fd, mode)) return owner === OURS ? 0 : -ESTALE;
  if (owner !== OURS) {
    const error = share.calls.chown(fd, owner.uid, inheritsGroup(share, dir) ? -1 : owner.gid);
    if (error < 0) return error;
  }
  const error = lost === 0 ? 0 : share.calls.chmod(fd, modeToSet(share, fd, mode));
  return error < 0 ? error : 1;
}

/** Removes what was made and could not be finished. */
export function abandon(share: Share, place: Place, mode: number): void {
  if ((mode & S_IFMT) === S_IFDIR) share.calls.rmdirAt(place.dir, place.name);
  else share.calls.unlinkAt(place.dir, place.name);
}

/** Clears set-user-id, and set-group-id where it means that, as the host would for an unprivileged writer. */
export function killPriv(share: Share, fd: number): number {
  const error = share.calls.stat(fd, share.attr, share.identity);
  if (error < 0) return error;
  const { mode } = share.attr;
  let kept = mode & ~S_ISUID;
  if (mode & S_IXGRP) kept &= ~S_ISGID;
  return kept === mode ? 0 : share.calls.chmod(fd, kept & 0o7777);
}

/** Between making a name and opening it another process may have swapped it; only what can be ours is changed. */
function isOurs(share: Share, fd: number, mode: number): boolean {
  const { attr, identity } = share;
  if (share.calls.stat(fd, attr, identity) < 0) return false;
  const type = mode & S_IFMT;
  return (attr.mode & S_IFMT) === type && attr.uid === process.geteuid?.() && (type === S_IFDIR || attr.nlink === 1);
}

function inheritsGroup(share: Share, dir: number): boolean {
  return share.calls.stat(dir, share.attr, share.identity) === 0 && (share.attr.mode & S_ISGID) !== 0;
}

/** A directory in a set-group-id directory keeps the bit it inherited. */
function modeToSet(share: Share, fd: number, mode: number): number {
  if ((mode & S_IFMT) !== S_IFDIR || share.calls.stat(fd, share.attr, share.identity) < 0) return mode & 0o7777;
  return (mode & 0o7777) | (share.attr.mode & S_ISGID);
}
