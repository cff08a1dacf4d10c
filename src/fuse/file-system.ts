import { ENOSYS } from './errno.ts';

/** One component of a path as raw bytes: 1 to 1024 of them, no NUL, no slash, neither "." nor "..". The server checks. */
export type Name = Uint8Array;

/** Who asks: the guest's file system ids. Nothing on the host may be decided by them alone. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
}

/** Attributes of an inode. The server owns one and reuses it, so file systems fill every field. */
export interface Attr {
  /** The 64-bit inode number in two halves: some hosts use all bits, and a double cannot hold them. */
  inoLow: number;
  inoHigh: number;
  /** Bytes. */
  size: number;
  /** Units of 512 bytes. */
  blocks: number;
  /** Seconds since the Unix epoch, possibly negative, and nanoseconds within them. */
  atime: number;
  mtime: number;
  ctime: number;
  atimeNs: number;
  mtimeNs: number;
  ctimeNs: number;
  /** Type and permission bits, as st_mode. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  /** In the kernel's 32-bit encoding, see encodeDevice. */
  rdev: number;
  blksize: number;
  /** FUSE_ATTR_SUBMOUNT or 0. */
  flags: number;
  /** When the inode was made; only STATX shows it, and only if it is known. */
  btime: number;
  btimeNs: number;
  btimeKnown: boolean;
}

/** An inode the guest now knows by name: each one handed out counts as one lookup until the guest forgets it. */
export interface Entry {
  nodeid: number;
  /** How long the guest may trust the name and the attributes, in seconds; FOREVER_S for always. */
  entryValidS: number;
  attrValidS: number;
  readonly attr: Attr;
}

export interface AttrReply {
  attrValidS: number;
  readonly attr: Attr;
}

export interface OpenReply {
  fh: number;
  openFlags: number;
}

export interface StatfsReply {
  blocks: number;
  bfree: number;
  bavail: number;
  files: number;
  ffree: number;
  bsize: number;
  namelen: number;
  frsize: number;
}

/** What SETATTR changes; `valid` holds FATTR_* bits, other fields count only if their bit is set. */
export interface AttrChange {
  valid: number;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  atime: number;
  atimeNs: number;
  mtime: number;
  mtimeNs: number;
}

/** A position in a directory: the 64-bit cookie of the entry before, in two halves; 0 is the start. */
export interface DirentOffset {
  readonly low: number;
  readonly high: number;
}

/** One entry of a directory listing; reused by whoever produces it. */
export interface Dirent {
  inoLow: number;
  inoHigh: number;
  /** Cookie of the entry that follows. */
  offLow: number;
  offHigh: number;
  /** DT_* value: the type bits of st_mode shifted right by 12, 0 if unknown. */
  type: number;
  name: Uint8Array;
}

/** Receives directory entries until the reply is full. */
export interface DirentSink {
  /** Whether entries carry an Entry (READDIRPLUS). */
  readonly plus: boolean;
  /** Whether an entry with a name of this many bytes still fits. */
  fits(nameBytes: number): boolean;
  /** Adds an entry that fits. `entry` is null for names that were not looked up. */
  add(dirent: Dirent, entry: Entry | null): void;
}

/** A reply that may be trusted for ever. */
export const FOREVER_S = 0xffff_ffff;

/** Names no open file: the request came without a handle. */
export const NO_FH = -1;

/**
 * A file system behind the FUSE server. All calls are synchronous and answer 0 or a count, or a negated error number;
 * results other than a count go into the record passed last. Node ids, handles, names and flags come from a hostile
 * guest: the server checks their form, the file system that they exist. No method throws because of the guest.
 */
export interface FileSystem {
  /** FUSE_* capability flags that this file system wants beyond those the server always offers. */
  readonly wants: bigint;
  /** A guest mounts: every node but the root and every handle of an earlier mount is gone. */
  init(flags: bigint): void;
  /** The guest unmounts, or is gone: back to what there was before `init`. */
  destroy(): void;
  /** The host ends the share for good. */
  close(): void;
  /** What the guest knows of it, as plain data; one that cannot tell leaves it out. */
  save?(): unknown;
  /** Goes on where another file system over the same files was saved, after `init`'s reset. What is gone is stale. */
  restore?(state: unknown): void;

  lookup(parent: number, name: Name, entry: Entry): number;
  forget(nodeid: number, nlookup: number): void;

  getattr(nodeid: number, fh: number, reply: AttrReply): number;
  setattr(nodeid: number, fh: number, change: AttrChange, reply: AttrReply): number;
  access(nodeid: number, mask: number, caller: Caller): number;
  /** Writes the link's target and answers its length. */
  readlink(nodeid: number, into: Uint8Array): number;

  symlink(parent: number, name: Name, target: Uint8Array, caller: Caller, entry: Entry): number;
  mknod(parent: number, name: Name, node: NewNode, caller: Caller, entry: Entry): number;
  mkdir(parent: number, name: Name, node: NewNode, caller: Caller, entry: Entry): number;
  link(nodeid: number, newParent: number, newName: Name, entry: Entry): number;
  unlink(parent: number, name: Name): number;
  rmdir(parent: number, name: Name): number;
  rename(parent: number, name: Name, newParent: number, newName: Name, flags: number): number;

  open(nodeid: number, flags: number, killPriv: boolean, reply: OpenReply): number;
  create(
    parent: number,
    name: Name,
    node: NewNode,
    flags: number,
    killPriv: boolean,
    caller: Caller,
    entry: Entry,
    reply: OpenReply,
  ): number;
  /** An unnamed file in a directory (O_TMPFILE). */
  tmpfile(parent: number, node: NewNode, flags: number, caller: Caller, entry: Entry, reply: OpenReply): number;
  /** Fills the buffers in order, as readv does; answers bytes read. */
  read(nodeid: number, fh: number, into: readonly Uint8Array[], offset: number): number;
  /** `flags` holds FUSE_WRITE_* bits. */
  write(nodeid: number, fh: number, from: readonly Uint8Array[], offset: number, flags: number): number;
  flush(nodeid: number, fh: number): number;
  release(nodeid: number, fh: number): number;
  fsync(nodeid: number, fh: number, dataOnly: boolean): number;
  fallocate(nodeid: number, fh: number, mode: number, range: { offset: number; length: number }): number;
  /** Answers the new offset. */
  lseek(nodeid: number, fh: number, offset: number, whence: number): number;
  /** Answers bytes copied. */
  copyFileRange(from: FilePosition, to: FilePosition, length: number): number;

  opendir(nodeid: number, flags: number, reply: OpenReply): number;
  readdir(nodeid: number, fh: number, offset: DirentOffset, sink: DirentSink): number;
  releasedir(nodeid: number, fh: number): number;
  fsyncdir(nodeid: number, fh: number, dataOnly: boolean): number;

  statfs(nodeid: number, reply: StatfsReply): number;
  syncfs(nodeid: number): number;

  setxattr(nodeid: number, name: Name, value: Uint8Array, flags: number): number;
  /** Answers the value's length; an empty `into` asks for the length only. */
  getxattr(nodeid: number, name: Name, into: Uint8Array): number;
  /** NUL-terminated names, one after the other; same convention as getxattr. */
  listxattr(nodeid: number, into: Uint8Array): number;
  removexattr(nodeid: number, name: Name): number;
}

/** Mode bits and the like of an inode about to be made. */
export interface NewNode {
  /** File type (for mknod) and permission bits, before the umask. */
  readonly mode: number;
  readonly umask: number;
  /** Device number of a special file in the kernel's 32-bit encoding, otherwise 0. */
  readonly rdev: number;
}

export interface FilePosition {
  readonly nodeid: number;
  readonly fh: number;
  readonly offset: number;
}

/** Answers every operation with ENOSYS: what file systems start from that implement only some. */
export class UnimplementedFileSystem implements FileSystem {
  readonly wants: bigint = 0n;
  init(_flags: bigint): void {}
  destroy(): void {}
  close(): void {}
  forget(_nodeid: number, _nlookup: number): void {}

  lookup(_parent: number, _name: Name, _entry: Entry): number {
    return -ENOSYS;
  }
  getattr(_nodeid: number, _fh: number, _reply: AttrReply): number {
    return -ENOSYS;
  }
  setattr(_nodeid: number, _fh: number, _change: AttrChange, _reply: AttrReply): number {
    return -ENOSYS;
  }
  access(_nodeid: number, _mask: number, _caller: Caller): number {
    return -ENOSYS;
  }
  readlink(_nodeid: number, _into: Uint8Array): number {
    return -ENOSYS;
  }
  symlink(_parent: number, _name: Name, _target: Uint8Array, _caller: Caller, _entry: Entry): number {
    return -ENOSYS;
  }
  mknod(_parent: number, _name: Name, _node: NewNode, _caller: Caller, _entry: Entry): number {
    return -ENOSYS;
  }
  mkdir(_parent: number, _name: Name, _node: NewNode, _caller: Caller, _entry: Entry): number {
    return -ENOSYS;
  }
  link(_nodeid: number, _newParent: number, _newName: Name, _entry: Entry): number {
    return -ENOSYS;
  }
  unlink(_parent: number, _name: Name): number {
    return -ENOSYS;
  }
  rmdir(_parent: number, _name: Name): number {
    return -ENOSYS;
  }
  rename(_parent: number, _name: Name, _newParent: number, _newName: Name, _flags: number): number {
    return -ENOSYS;
  }
  open(_nodeid: number, _flags: number, _killPriv: boolean, _reply: OpenReply): number {
    return -ENOSYS;
  }
  create(
    _parent: number,
    _name: Name,
    _node: NewNode,
    _flags: number,
    _killPriv: boolean,
    _caller: Caller,
    _entry: Entry,
    _reply: OpenReply,
  ): number {
    return -ENOSYS;
  }
  tmpfile(_parent: number, _node: NewNode, _flags: number, _caller: Caller, _entry: Entry, _reply: OpenReply): number {
    return -ENOSYS;
  }
  read(_nodeid: number, _fh: number, _into: readonly Uint8Array[], _offset: number): number {
    return -ENOSYS;
  }
  write(_nodeid: number, _fh: number, _from: readonly Uint8Array[], _offset: number, _flags: number): number {
    return -ENOSYS;
  }
  flush(_nodeid: number, _fh: number): number {
    return -ENOSYS;
  }
  release(_nodeid: number, _fh: number): number {
    return -ENOSYS;
  }
  fsync(_nodeid: number, _fh: number, _dataOnly: boolean): number {
    return -ENOSYS;
  }
  fallocate(_nodeid: number, _fh: number, _mode: number, _range: { offset: number; length: number }): number {
    return -ENOSYS;
  }
  lseek(_nodeid: number, _fh: number, _offset: number, _whence: number): number {
    return -ENOSYS;
  }
  copyFileRange(_from: FilePosition, _to: FilePosition, _length: number): number {
    return -ENOSYS;
  }
  opendir(_nodeid: number, _flags: number, _reply: OpenReply): number {
    return -ENOSYS;
  }
  readdir(_nodeid: number, _fh: number, _offset: DirentOffset, _sink: DirentSink): number {
    return -ENOSYS;
  }
  releasedir(_nodeid: number, _fh: number): number {
    return -ENOSYS;
  }
  fsyncdir(_nodeid: number, _fh: number, _dataOnly: boolean): number {
    return -ENOSYS;
  }
  statfs(_nodeid: number, _reply: StatfsReply): number {
    return -ENOSYS;
  }
  syncfs(_nodeid: number): number {
    return -ENOSYS;
  }
  setxattr(_nodeid: number, _name: Name, _value: Uint8Array, _flags: number): number {
    return -ENOSYS;
  }
  getxattr(_nodeid: number, _name: Name, _into: Uint8Array): number {
    return -ENOSYS;
  }
  listxattr(_nodeid: number, _into: Uint8Array): number {
    return -ENOSYS;
  }
  removexattr(_nodeid: number, _name: Name): number {
    return -ENOSYS;
  }
}
