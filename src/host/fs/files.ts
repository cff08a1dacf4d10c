import { readSync, readvSync, writeSync, writevSync } from 'node:fs';
import { EACCES, EBADF, EFBIG, EINVAL, EISDIR, ENFILE, ENOTDIR } from '../../fuse/errno.ts';
import type { Dirent, DirentOffset, DirentSink, Entry, OpenReply } from '../../fuse/file-system.ts';
import { FOPEN_KEEP_CACHE, FUSE_WRITE_CACHE, FUSE_WRITE_KILL_SUIDGID } from '../../fuse/protocol.ts';
import { newEntry } from '../../fuse/records.ts';
import type { Handle, HandleState } from './handle-table.ts';
import type { Inode } from './inode-table.ts';
import {
  O_ACCMODE,
  O_APPEND,
  O_DIRECTORY,
  O_DSYNC,
  O_NOATIME,
  O_NOCTTY,
  O_NONBLOCK,
  O_SYNC,
  O_TRUNC,
  O_WRONLY,
  S_IFDIR,
  S_IFREG,
} from './linux.ts';
import { errorOf } from './node-calls.ts';
import { killPriv } from './ownership.ts';
import { NO_NODE, type Share } from './share.ts';

const IOV_MAX = 1024;
/** Longer than a tick of any host's file clock. */
const RESTED_MS = 200;
const DIRECTORY_FLAGS = O_DIRECTORY | O_NONBLOCK;
const KEPT_FLAGS = O_ACCMODE | O_APPEND | O_TRUNC | O_DSYNC | O_SYNC;

/**
 * Flags for the host of an open by the guest; -EINVAL for nonsense. Only flags known to be harmless pass. O_NONBLOCK
 * is added because some regular files, such as /proc/kmsg, would otherwise make a read wait, and the machine with it.
 */
export function hostOpenFlags(flags: number): number {
  if ((flags & O_ACCMODE) === O_ACCMODE) return -EINVAL;
  const privileged = process.geteuid?.() === 0;
  return (flags & (privileged ? KEPT_FLAGS | O_NOATIME : KEPT_FLAGS)) | O_NONBLOCK | O_NOCTTY;
}

/** Opens a regular file by its inode. Nothing else is ever opened: a pipe would block, a device is not a shared file. */
export function openInode(share: Share, inode: Inode, flags: number, kill: boolean, reply: OpenReply): number {
  if (inode.type !== S_IFREG) return inode.type === S_IFDIR ? -EISDIR : -EINVAL;
  if (!share.hasRoom()) return -ENFILE;
  const hostFlags = hostOpenFlags(flags);
  if (hostFlags < 0) return hostFlags;
  const held = share.inodes.fd(inode);
  if (held < 0) return held;
  if (share.isProcFile(inode, held)) return -EACCES;
  const fd = share.calls.reopen(held, hostFlags, 0);
  if (fd < 0) return fd;
  if (kill && flags & O_TRUNC) killPriv(share, fd);
  reply.fh = share.handles.add(fileHandle(fd, inode, flags));
  reply.openFlags = isUnchanged(share, inode, fd) ? FOPEN_KEEP_CACHE : 0;
  return 0;
}

/**
 * Whether the file is as it was when the guest opened it last, so that the guest may keep what it has read: programs
 * and libraries are opened again and again. A file that changed a moment ago could change once more in the same tick
 * of the host's clock, so its looks say nothing yet.
 */
function isUnchanged(share: Share, inode: Inode, fd: number): boolean {
  const { attr } = share;
  if (share.calls.stat(fd, attr, share.identity) < 0) return false;
  const rested = share.wallMs() - attr.ctime * 1000 - attr.ctimeNs / 1e6 > RESTED_MS;
  const version = rested ? `${attr.size} ${attr.mtime} ${attr.mtimeNs} ${attr.ctime} ${attr.ctimeNs}` : '';
  const unchanged = rested && version === inode.version;
  inode.version = version;
  return unchanged;
}

export function openDirectory(share: Share, nodeid: number, reply: OpenReply): number {
  const inode = share.node(nodeid);
  if (inode === undefined) return NO_NODE;
  if (inode.type !== S_IFDIR) return -ENOTDIR;
  if (!share.hasRoom()) return -ENFILE;
  const held = share.inodes.fd(inode);
  if (held < 0) return held;
  const fd = share.calls.reopen(held, DIRECTORY_FLAGS, 0);
  if (fd < 0) return fd;
  reply.fh = share.handles.add({
    fd,
    inode,
    stream: share.calls.openStream(fd),
    append: false,
    flags: DIRECTORY_FLAGS,
  });
  reply.openFlags = 0;
  return 0;
}

/** A handle for a file that the guest opened with these flags. */
export function fileHandle(fd: number, inode: Inode, flags: number): Handle {
  return { fd, inode, stream: null, append: (flags & O_APPEND) !== 0, flags: hostOpenFlags(flags) & ~O_TRUNC };
}

/** Opens what a saved guest had open; undefined when it is gone, or may not be opened any more. */
export function openAgain(share: Share, { nodeid, isDirectory, append, flags }: HandleState): Handle | undefined {
  const inode = share.node(nodeid);
  const held = inode === undefined || !share.hasRoom() ? -1 : share.inodes.fd(inode);
  if (inode === undefined || held < 0 || inode.type !== (isDirectory ? S_IFDIR : S_IFREG)) return undefined;
  if (!isDirectory && share.isProcFile(inode, held)) return undefined;
  const fd = share.calls.reopen(held, flags, 0);
  if (fd < 0) return undefined;
  return { fd, inode, stream: isDirectory ? share.calls.openStream(fd) : null, append, flags };
}

export function release(share: Share, nodeid: number, fh: number): number {
  const handle = share.handles.get(fh, nodeid);
  if (handle === undefined) return -EBADF;
  share.handles.remove(fh);
  handle.stream?.close();
  share.calls.close(handle.fd);
  return 0;
}

export function read(share: Share, nodeid: number, fh: number, into: readonly Uint8Array[], offset: number): number {
  const handle = share.handles.get(fh, nodeid);
  if (handle === undefined) return -EBADF;
  const [first] = into;
  if (first === undefined) return 0;
  try {
    if (into.length === 1) return readSync(handle.fd, first, 0, first.length, offset);
    return readvSync(handle.fd, into.slice(0, IOV_MAX), offset);
  } catch (error) {
    return errorOf(error);
  }
}

/** What a WRITE asks for; `flags` holds FUSE_WRITE_* bits. */
export interface FileWrite {
  readonly from: readonly Uint8Array[];
  readonly offset: number;
  readonly flags: number;
}

/** Writes at an offset, or at the end of a file opened to append. */
export function write(share: Share, nodeid: number, fh: number, { from, offset, flags }: FileWrite): number {
  const handle = share.handles.get(fh, nodeid);
  if (handle === undefined) return -EBADF;
  if (offset > Number.MAX_SAFE_INTEGER) return -EFBIG;
  if (flags & FUSE_WRITE_KILL_SUIDGID) killPriv(share, handle.fd);
  if (!handle.append || (flags & FUSE_WRITE_CACHE) === 0) return writeAt(handle.fd, from, offset);
  // Linux appends even what is written to an offset: mapped pages need a descriptor that does not.
  const fd = share.calls.reopen(handle.fd, O_WRONLY | O_NONBLOCK, 0);
  if (fd < 0) return fd;
  const written = writeAt(fd, from, offset);
  share.calls.close(fd);
  return written;
}

function writeAt(fd: number, from: readonly Uint8Array[], offset: number): number {
  const [first] = from;
  if (first === undefined) return 0;
  try {
    if (from.length === 1) return writeSync(fd, first, 0, first.length, offset);
    return writevSync(fd, from.slice(0, IOV_MAX), offset);
  } catch (error) {
    return errorOf(error);
  }
}

const dirent: Dirent = {
  inoLow: 0,
  inoHigh: 0,
  offLow: 0,
  offHigh: 0,
  type: 0,
  name: new Uint8Array(0),
};
const entry: Entry = newEntry();

/** Lists a directory into the sink; for READDIRPLUS every entry but "." and ".." is also looked up. */
export function readDirectory(
  share: Share,
  nodeid: number,
  fh: number,
  offset: DirentOffset,
  sink: DirentSink,
): number {
  const handle = share.handles.get(fh, nodeid);
  const stream = handle?.stream;
  if (handle === undefined || stream === null || stream === undefined) return -EBADF;
  const moved = stream.seek(offset);
  if (moved < 0) return moved;
  for (let listed = false; ; listed = true) {
    const found = stream.peek(dirent);
    if (found < 0 && !listed) return found;
    if (found <= 0 || !sink.fits(dirent.name.length)) return 0;
    const known = sink.plus && !isDots(dirent.name) && share.lookup(handle.inode, dirent.name, entry) === 0;
    sink.add(dirent, known ? entry : null);
    stream.advance();
  }
}

function isDots(name: Uint8Array): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}
