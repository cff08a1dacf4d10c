import { EEXIST, EINVAL, ENFILE, ENOENT, EPERM } from '../../fuse/errno.ts';
import type { Caller, Entry, Name, NewNode, OpenReply } from '../../fuse/file-system.ts';
import type { Inode } from './inode-table.ts';
import { O_CREAT, O_EXCL, O_RDWR, O_TMPFILE, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from './linux.ts';
import { fileHandle, hostOpenFlags, openInode } from './files.ts';
import { abandon, finishNew, type Owner, ownerFor } from './ownership.ts';
import { NO_NODE, type Share } from './share.ts';

const RENAME_EXCHANGE = 2;

/** Makes one new inode by name, whatever its kind, and tells the guest of it. */
function make(
  share: Share,
  parent: number,
  name: Name,
  mode: number,
  caller: Caller,
  entry: Entry,
  act: (dir: number) => number,
): number {
  const owner = ownerFor(caller);
  if (owner === undefined) return -EPERM;
  const directory = share.node(parent);
  if (directory === undefined) return NO_NODE;
  const dir = share.inodes.fd(directory);
  if (dir < 0) return dir;
  if (!share.hasRoom()) return -ENFILE;
  const error = act(dir);
  if (error < 0) return error;
  const found = share.lookup(directory, name, entry);
  if (found < 0) {
    // Without descriptors the guest must not find it made when it tries again.
    if (found !== -ENOENT) abandon(share, { dir, name }, mode);
    return found;
  }
  return finishMade(share, directory, name, { mode, dir, owner }, entry);
}

function finishMade(
  share: Share,
  directory: Inode,
  name: Name,
  made: { mode: number; dir: number; owner: Owner },
  entry: Entry,
): number {
  const inode = share.node(entry.nodeid) as Inode;
  const fd = share.inodes.fd(inode);
  const error = fd < 0 ? fd : finishNew(share, fd, { ...made, exclusive: false });
  if (error === 0) return 0;
  if (error > 0) return share.getattr(inode, fd, entry);
  abandon(share, { dir: share.inodes.fd(directory), name }, made.mode);
  share.inodes.forget(inode.nodeid, 1);
  return error;
}

export function mkdir(share: Share, parent: number, name: Name, node: NewNode, caller: Caller, entry: Entry): number {
  const mode = S_IFDIR | (node.mode & 0o7777 & ~node.umask);
  return make(share, parent, name, mode, caller, entry, (dir) => share.calls.mkdirAt(dir, name, mode & 0o7777));
}

export function mknod(share: Share, parent: number, name: Name, node: NewNode, caller: Caller, entry: Entry): number {
  const type = (node.mode & S_IFMT) === 0 ? S_IFREG : node.mode & S_IFMT;
  if (type === S_IFDIR || type === S_IFLNK) return -EINVAL;
  const mode = type | (node.mode & 0o7777 & ~node.umask);
  return make(share, parent, name, mode, caller, entry, (dir) => share.calls.mknodAt(dir, name, mode, node.rdev));
}

export function symlink(
  share: Share,
  parent: number,
  name: Name,
  target: Uint8Array,
  caller: Caller,
  entry: Entry,
): number {
  const act = (dir: number): number => share.calls.symlinkAt(target, dir, name);
  return make(share, parent, name, S_IFLNK | 0o777, caller, entry, act);
}

/** What CREATE and TMPFILE ask for. */
export interface NewFile {
  readonly node: NewNode;
  readonly flags: number;
  readonly killPriv: boolean;
  readonly caller: Caller;
}

/**
 * Creates and opens a file. Always exclusively first: opening what is there by name could open a pipe or a device.
 * If the name exists and the guest does not mind, it is looked up and opened like any other inode.
 */
export function create(
  share: Share,
  parent: number,
  name: Name,
  file: NewFile,
  entry: Entry,
  reply: OpenReply,
): number {
  const owner = ownerFor(file.caller);
  if (owner === undefined) return -EPERM;
  const directory = share.node(parent);
  if (directory === undefined) return NO_NODE;
  const dir = share.inodes.fd(directory);
  if (dir < 0) return dir;
  if (!share.hasRoom()) return -ENFILE;
  const flags = hostOpenFlags(file.flags);
  if (flags < 0) return flags;
  const mode = file.node.mode & 0o7777 & ~file.node.umask;
  const fd = share.calls.openAt(dir, name, flags | O_CREAT | O_EXCL, mode);
  if (fd === -EEXIST && (file.flags & O_EXCL) === 0) return openExisting(share, directory, name, file, entry, reply);
  if (fd < 0) return fd;
  const finished = finishNew(share, fd, { mode: S_IFREG | mode, dir, owner, exclusive: true });
  const error = finished < 0 ? finished : share.lookupOpen(fd, { parent: directory, name }, entry);
  if (error === 0) return opened(share, fd, file.flags, entry, reply);
  share.calls.close(fd);
  abandon(share, { dir, name }, S_IFREG);
  return error;
}

function openExisting(
  share: Share,
  directory: Inode,
  name: Name,
  file: NewFile,
  entry: Entry,
  reply: OpenReply,
): number {
  const found = share.lookup(directory, name, entry);
  if (found < 0) return found;
  const inode = share.node(entry.nodeid) as Inode;
  const error = openInode(share, inode, file.flags, file.killPriv, reply);
  if (error < 0) share.inodes.forget(inode.nodeid, 1);
  return error;
}

/** An unnamed file. Given a name later by LINK. */
export function tmpfile(share: Share, parent: number, file: NewFile, entry: Entry, reply: OpenReply): number {
  const owner = ownerFor(file.caller);
  if (owner === undefined) return -EPERM;
  const directory = share.node(parent);
  if (directory === undefined) return NO_NODE;
  if (directory.type !== S_IFDIR) return -EINVAL;
  const dir = share.inodes.fd(directory);
  if (dir < 0) return dir;
  if (!share.hasRoom()) return -ENFILE;
  const access = hostOpenFlags(file.flags);
  if (access < 0) return access;
  const mode = file.node.mode & 0o7777 & ~file.node.umask;
  const fd = share.calls.reopen(dir, access | O_RDWR | O_TMPFILE, mode);
  if (fd < 0) return fd;
  const finished = finishNew(share, fd, { mode: S_IFREG | mode, dir, owner, exclusive: true });
  const error = finished < 0 ? finished : share.lookupOpen(fd, null, entry);
  if (error === 0) return opened(share, fd, file.flags, entry, reply);
  share.calls.close(fd);
  return error;
}

function opened(share: Share, fd: number, flags: number, entry: Entry, reply: OpenReply): number {
  const inode = share.node(entry.nodeid) as Inode;
  reply.fh = share.handles.add(fileHandle(fd, inode, flags));
  reply.openFlags = 0;
  return 0;
}

export function link(share: Share, nodeid: number, newParent: number, newName: Name, entry: Entry): number {
  const inode = share.node(nodeid);
  const directory = share.node(newParent);
  if (inode === undefined || directory === undefined) return NO_NODE;
  const fd = share.inodes.fd(inode);
  if (fd < 0) return fd;
  const dir = share.inodes.fd(directory);
  if (dir < 0) return dir;
  const error = share.calls.linkAt(fd, share.inodes.placeOf(inode), dir, newName);
  return error < 0 ? error : share.lookup(directory, newName, entry);
}

export function unlink(share: Share, parent: number, name: Name, isDirectory: boolean): number {
  const directory = share.node(parent);
  if (directory === undefined) return NO_NODE;
  const dir = share.inodes.fd(directory);
  if (dir < 0) return dir;
  const lost = share.known(directory, name);
  // Held from here on: once the name is gone, nothing else leads to it.
  if (lost !== undefined) share.inodes.fd(lost);
  const error = isDirectory ? share.calls.rmdirAt(dir, name) : share.calls.unlinkAt(dir, name);
  if (error === 0 && lost !== undefined) share.inodes.lostName(lost, directory, name);
  return error;
}

export function rename(
  share: Share,
  parent: number,
  name: Name,
  newParent: number,
  newName: Name,
  flags: number,
): number {
  const directory = share.node(parent);
  const newDirectory = share.node(newParent);
  if (directory === undefined || newDirectory === undefined) return NO_NODE;
  const dir = share.inodes.fd(directory);
  if (dir < 0) return dir;
  const newDir = share.inodes.fd(newDirectory);
  if (newDir < 0) return newDir;
  const moved = share.known(directory, name);
  const replaced = share.known(newDirectory, newName);
  if (replaced !== undefined) share.inodes.fd(replaced);
  const error = share.calls.renameAt({ dir, name }, { dir: newDir, name: newName }, flags);
  if (error < 0 || moved === replaced) return error;
  if (moved !== undefined) share.inodes.setPlace(moved, newDirectory, newName);
  if (replaced === undefined) return 0;
  if (flags & RENAME_EXCHANGE) share.inodes.setPlace(replaced, directory, name);
  else share.inodes.lostName(replaced, newDirectory, newName);
  return 0;
}
