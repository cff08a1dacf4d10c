import { fdatasyncSync, fsyncSync, openSync, statfsSync } from 'node:fs';
import { EBADF, EINVAL, ENOSYS } from '../fuse/errno.ts';
import type {
  AttrChange,
  AttrReply,
  Caller,
  DirentOffset,
  DirentSink,
  Entry,
  FilePosition,
  FileSystem,
  Name,
  NewNode,
  OpenReply,
  StatfsReply,
} from '../fuse/file-system.ts';
import { FUSE_DO_READDIRPLUS, FUSE_READDIRPLUS_AUTO } from '../fuse/protocol.ts';
import { loadLibc } from '../native/libc.ts';
import * as attributes from './fs/attributes.ts';
import * as files from './fs/files.ts';
import type { HostCalls } from './fs/host-calls.ts';
import { libcCalls } from './fs/libc-calls.ts';
import { O_CLOEXEC, O_DIRECTORY, O_PATH, S_IFDIR, S_IFLNK } from './fs/linux.ts';
import * as names from './fs/names.ts';
import { attempt, errorOf, nodeCalls, procPath } from './fs/node-calls.ts';
import { defaultDescriptorsMax, NO_NODE, Share } from './fs/share.ts';

/** A directory cannot be shared. */
export class ShareError extends Error {
  override readonly name = 'ShareError';
  readonly code = 'ERR_SHARE';
}

export interface PassthroughOptions {
  /** Descriptors this share may hold; a quarter of the process's limit unless given. */
  readonly descriptorsMax?: number;
  /** Without the native library: plain Node, with fewer operations. For tests. */
  readonly plain?: boolean;
  /** The host's wall clock in milliseconds. For tests. */
  readonly wallMs?: () => number;
  /** Stands between us and the host. For tests. */
  readonly intercept?: (calls: HostCalls) => HostCalls;
}

/**
 * A host directory as a file system. The guest cannot leave it, by construction: every inode is reached through a
 * descriptor that was opened relative to its parent's descriptor, by one checked name, without following links.
 *
 * @throws {ShareError} not a directory, or not a Linux host with /proc
 */
export function openPassthrough(path: string, options: PassthroughOptions = {}): FileSystem {
  const libc = options.plain === true ? null : loadLibc();
  const calls = libc === null ? nodeCalls : libcCalls(libc);
  return new PassthroughFs(path, options.intercept?.(calls) ?? calls, options);
}

/** What a guest knows of a share: places and identities, no content. It means something over the same host files only. */
interface PassthroughState {
  readonly version: 1;
  readonly flags: bigint;
  readonly inodes: ReturnType<Share['inodes']['save']>;
  readonly handles: ReturnType<Share['handles']['save']>;
}

class PassthroughFs implements FileSystem {
  readonly wants = FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO;
  readonly #share: Share;

  constructor(path: string, calls: HostCalls, options: PassthroughOptions) {
    this.#share = new Share(calls, options.descriptorsMax ?? defaultDescriptorsMax(), options.wallMs ?? Date.now);
    openRoot(this.#share, path);
  }

  init(flags: bigint): void {
    this.#share.reset();
    this.#share.flags = flags;
  }
  destroy(): void {
    this.#share.reset();
  }
  close(): void {
    this.#share.close();
  }
  save(): PassthroughState {
    const { flags, inodes, handles } = this.#share;
    return { version: 1, flags, inodes: inodes.save(), handles: handles.save() };
  }
  restore(state: unknown): void {
    const share = this.#share;
    const { flags, inodes, handles } = state as PassthroughState;
    share.reset();
    share.flags = flags;
    share.inodes.restore(inodes);
    share.handles.restore(handles, (handle) => files.openAgain(share, handle));
    share.inodes.trim();
  }

  lookup(parent: number, name: Name, entry: Entry): number {
    const share = this.#share;
    const directory = share.node(parent);
    if (directory === undefined) return NO_NODE;
    return share.withDescriptors(() => share.lookup(directory, name, entry));
  }
  forget(nodeid: number, nlookup: number): void {
    this.#share.inodes.forget(nodeid, nlookup);
  }

  getattr(nodeid: number, fh: number, reply: AttrReply): number {
    return attributes.getattr(this.#ready, nodeid, fh, reply);
  }
  setattr(nodeid: number, fh: number, change: AttrChange, reply: AttrReply): number {
    return attributes.setattr(this.#ready, nodeid, fh, change, reply);
  }
  access(nodeid: number, mask: number, caller: Caller): number {
    return attributes.access(this.#ready, nodeid, mask, caller);
  }
  readlink(nodeid: number, into: Uint8Array): number {
    const { inodes, calls } = this.#ready;
    const inode = inodes.byId(nodeid);
    if (inode === undefined) return NO_NODE;
    if (inode.type !== S_IFLNK) return -EINVAL;
    const fd = inodes.fd(inode);
    return fd < 0 ? fd : calls.readlink(fd, inodes.placeOf(inode), into);
  }

  symlink(parent: number, name: Name, target: Uint8Array, caller: Caller, entry: Entry): number {
    const share = this.#share;
    return share.withDescriptors(() => names.symlink(share, parent, name, target, caller, entry));
  }
  mknod(parent: number, name: Name, node: NewNode, caller: Caller, entry: Entry): number {
    const share = this.#share;
    return share.withDescriptors(() => names.mknod(share, parent, name, node, caller, entry));
  }
  mkdir(parent: number, name: Name, node: NewNode, caller: Caller, entry: Entry): number {
    const share = this.#share;
    return share.withDescriptors(() => names.mkdir(share, parent, name, node, caller, entry));
  }
  link(nodeid: number, newParent: number, newName: Name, entry: Entry): number {
    return names.link(this.#ready, nodeid, newParent, newName, entry);
  }
  unlink(parent: number, name: Name): number {
    return names.unlink(this.#ready, parent, name, false);
  }
  rmdir(parent: number, name: Name): number {
    return names.unlink(this.#ready, parent, name, true);
  }
  rename(parent: number, name: Name, newParent: number, newName: Name, flags: number): number {
    return names.rename(this.#ready, parent, name, newParent, newName, flags);
  }

  open(nodeid: number, flags: number, killPriv: boolean, reply: OpenReply): number {
    const share = this.#share;
    const inode = share.node(nodeid);
    if (inode === undefined) return NO_NODE;
    return share.withDescriptors(() => files.openInode(share, inode, flags, killPriv, reply));
  }
  create(
    parent: number,
    name: Name,
    node: NewNode,
    flags: number,
    killPriv: boolean,
    caller: Caller,
    entry: Entry,
    reply: OpenReply,
  ): number {
    const share = this.#share;
    const file = { node, flags, killPriv, caller };
    return share.withDescriptors(() => names.create(share, parent, name, file, entry, reply));
  }
  tmpfile(parent: number, node: NewNode, flags: number, caller: Caller, entry: Entry, reply: OpenReply): number {
    const share = this.#share;
    const file = { node, flags, killPriv: false, caller };
    return share.withDescriptors(() => names.tmpfile(share, parent, file, entry, reply));
  }
  read(nodeid: number, fh: number, into: readonly Uint8Array[], offset: number): number {
    return files.read(this.#ready, nodeid, fh, into, offset);
  }
  write(nodeid: number, fh: number, from: readonly Uint8Array[], offset: number, flags: number): number {
    return files.write(this.#ready, nodeid, fh, { from, offset, flags });
  }
  /** Nothing is buffered here. Linux takes ENOSYS for success and does not ask again: one request less per close. */
  flush(): number {
    return -ENOSYS;
  }
  release(nodeid: number, fh: number): number {
    return files.release(this.#ready, nodeid, fh);
  }
  fsync(nodeid: number, fh: number, dataOnly: boolean): number {
    const fd = this.#fd(nodeid, fh);
    return fd < 0 ? fd : attempt(() => (dataOnly ? fdatasyncSync(fd) : fsyncSync(fd)));
  }
  fallocate(nodeid: number, fh: number, mode: number, range: { offset: number; length: number }): number {
    const fd = this.#fd(nodeid, fh);
    return fd < 0 ? fd : this.#share.calls.fallocate(fd, mode, range.offset, range.length);
  }
  lseek(nodeid: number, fh: number, offset: number, whence: number): number {
    const fd = this.#fd(nodeid, fh);
    return fd < 0 ? fd : this.#share.calls.lseek(fd, offset, whence);
  }
  copyFileRange(from: FilePosition, to: FilePosition, length: number): number {
    const source = this.#fd(from.nodeid, from.fh);
    const target = this.#fd(to.nodeid, to.fh);
    if (source < 0 || target < 0) return -EBADF;
    return this.#share.calls.copyFileRange(source, from.offset, target, to.offset, length);
  }

  opendir(nodeid: number, _flags: number, reply: OpenReply): number {
    const share = this.#share;
    return share.withDescriptors(() => files.openDirectory(share, nodeid, reply));
  }
  readdir(nodeid: number, fh: number, offset: DirentOffset, sink: DirentSink): number {
    return files.readDirectory(this.#ready, nodeid, fh, offset, sink);
  }
  releasedir(nodeid: number, fh: number): number {
    return files.release(this.#ready, nodeid, fh);
  }
  fsyncdir(nodeid: number, fh: number, dataOnly: boolean): number {
    return this.fsync(nodeid, fh, dataOnly);
  }

  statfs(nodeid: number, reply: StatfsReply): number {
    const fd = this.#ready.inodes.fdOf(nodeid);
    if (fd < 0) return fd;
    try {
      const found = statfsSync(procPath(fd));
      reply.blocks = found.blocks;
      reply.bfree = found.bfree;
      reply.bavail = found.bavail;
      reply.files = found.files;
      reply.ffree = found.ffree;
      reply.bsize = found.bsize;
      reply.frsize = found.bsize;
      reply.namelen = 255;
      return 0;
    } catch (error) {
      return errorOf(error);
    }
  }
  syncfs(nodeid: number): number {
    const { inodes, calls } = this.#ready;
    const inode = inodes.byId(nodeid);
    if (inode === undefined || inode.type !== S_IFDIR) return NO_NODE;
    const held = inodes.fd(inode);
    const fd = held < 0 ? held : calls.reopen(held, O_DIRECTORY, 0);
    if (fd < 0) return fd;
    const error = calls.syncfs(fd);
    calls.close(fd);
    return error;
  }

  setxattr(nodeid: number, name: Name, value: Uint8Array, flags: number): number {
    const fd = this.#ready.inodes.fdOf(nodeid);
    return fd < 0 ? fd : this.#share.calls.setxattr(fd, name, value, flags);
  }
  getxattr(nodeid: number, name: Name, into: Uint8Array): number {
    const fd = this.#ready.inodes.fdOf(nodeid);
    return fd < 0 ? fd : this.#share.calls.getxattr(fd, name, into);
  }
  listxattr(nodeid: number, into: Uint8Array): number {
    const fd = this.#ready.inodes.fdOf(nodeid);
    return fd < 0 ? fd : this.#share.calls.listxattr(fd, into);
  }
  removexattr(nodeid: number, name: Name): number {
    const fd = this.#ready.inodes.fdOf(nodeid);
    return fd < 0 ? fd : this.#share.calls.removexattr(fd, name);
  }

  /** The share before a request: the only moment at which descriptors may be closed to save some. */
  get #ready(): Share {
    this.#share.inodes.trim();
    return this.#share;
  }

  #fd(nodeid: number, fh: number): number {
    return this.#share.handles.get(fh, nodeid)?.fd ?? -EBADF;
  }
}

function openRoot(share: Share, path: string): void {
  const { calls, inodes, attr, identity } = share;
  let fd: number;
  try {
    fd = openSync(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  } catch (cause) {
    throw new ShareError(`Cannot share ${path}: ${(cause as Error).message}`, { cause });
  }
  const again = calls.reopen(fd, O_PATH | O_DIRECTORY, 0);
  if (again >= 0) calls.close(again);
  if (again < 0 || calls.stat(fd, attr, identity) < 0) {
    calls.close(fd);
    throw new ShareError(`Cannot share ${path}: /proc/self/fd does not work here`);
  }
  share.rootDev = identity.dev;
  inodes.addRoot(fd, attr, identity);
}
