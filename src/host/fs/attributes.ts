import { EACCES, EBADF, EINVAL, EISDIR } from '../../fuse/errno.ts';
import { type AttrChange, type AttrReply, type Caller, NO_FH } from '../../fuse/file-system.ts';
import {
  FATTR_ATIME,
  FATTR_ATIME_NOW,
  FATTR_GID,
  FATTR_KILL_SUIDGID,
  FATTR_MODE,
  FATTR_MTIME,
  FATTR_MTIME_NOW,
  FATTR_SIZE,
  FATTR_UID,
} from '../../fuse/protocol.ts';
import type { Inode } from './inode-table.ts';
import { O_NONBLOCK, O_WRONLY, S_IFDIR, S_IFMT, S_IFREG } from './linux.ts';
import { killPriv } from './ownership.ts';
import { NO_NODE, type Share } from './share.ts';

const TIMES = FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW;
const ANY_EXECUTE = 0o111;

export function getattr(share: Share, nodeid: number, fh: number, reply: AttrReply): number {
  const inode = share.node(nodeid);
  if (inode === undefined) return NO_NODE;
  const fd = fh === NO_FH ? share.inodes.fd(inode) : (share.handles.get(fh, nodeid)?.fd ?? -EBADF);
  return fd < 0 ? fd : share.getattr(inode, fd, reply);
}

/** Changes mode, owner, size and times, in this order; stops at the first refusal. */
export function setattr(share: Share, nodeid: number, fh: number, change: AttrChange, reply: AttrReply): number {
  const inode = share.node(nodeid);
  if (inode === undefined) return NO_NODE;
  const fd = share.inodes.fd(inode);
  if (fd < 0) return fd;
  const { calls } = share;
  const { valid } = change;
  let error = valid & FATTR_MODE ? calls.chmod(fd, change.mode & 0o7777) : 0;
  if (error === 0 && valid & (FATTR_UID | FATTR_GID)) {
    error = calls.chown(fd, valid & FATTR_UID ? change.uid : -1, valid & FATTR_GID ? change.gid : -1);
  }
  if (error === 0 && valid & FATTR_SIZE) error = truncate(share, inode, fd, fh, change.size);
  if (error === 0 && valid & FATTR_SIZE && valid & FATTR_KILL_SUIDGID) error = killPriv(share, fd);
  if (error === 0 && valid & TIMES) error = calls.utimes(fd, change);
  return error < 0 ? error : share.getattr(inode, fd, reply);
}

function truncate(share: Share, inode: Inode, held: number, fh: number, size: number): number {
  if (inode.type !== S_IFREG) return inode.type === S_IFDIR ? -EISDIR : -EINVAL;
  if (size > Number.MAX_SAFE_INTEGER) return -EINVAL;
  if (fh !== NO_FH) {
    const handle = share.handles.get(fh, inode.nodeid);
    return handle === undefined ? -EBADF : share.calls.ftruncate(handle.fd, size);
  }
  if (share.isProcFile(inode, held)) return -EACCES;
  const fd = share.calls.reopen(held, O_WRONLY | O_NONBLOCK, 0);
  if (fd < 0) return fd;
  const error = share.calls.ftruncate(fd, size);
  share.calls.close(fd);
  return error;
}

/** Permission bits by hand: supplementary groups of the caller are not known here. */
export function access(share: Share, nodeid: number, mask: number, caller: Caller): number {
  const fd = share.inodes.fdOf(nodeid);
  if (fd < 0) return fd;
  const error = share.calls.stat(fd, share.attr, share.identity);
  if (error < 0 || mask === 0) return error;
  const { mode, uid, gid } = share.attr;
  if (caller.uid === 0) {
    const canExecute = (mode & S_IFMT) === S_IFDIR || (mode & ANY_EXECUTE) !== 0;
    return mask & 1 && !canExecute ? -EACCES : 0;
  }
  const granted = caller.uid === uid ? mode >> 6 : caller.gid === gid ? mode >> 3 : mode;
  return (granted & mask) === mask ? 0 : -EACCES;
}
