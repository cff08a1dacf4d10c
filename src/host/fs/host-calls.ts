import type { Attr, AttrChange, Dirent, DirentOffset, Name } from '../../fuse/file-system.ts';

/** What, beside the attributes, tells one inode of the host from all others. */
export interface HostIdentity {
  dev: number;
  /** 0 where the host does not tell. */
  mountId: number;
}

/** A listing in progress: the entry at the current position can be looked at before it is consumed. */
export interface DirectoryStream {
  /** Moves to the entry after the one with this cookie. Answers 0 or -errno. */
  seek(offset: DirentOffset): number;
  /** Answers 1 and fills `dirent`, 0 at the end, or -errno. The name is valid until the next call. */
  peek(dirent: Dirent): number;
  advance(): void;
  close(): void;
}

/** Where an inode was last seen: a directory's descriptor and a name in it. */
export interface Place {
  readonly dir: number;
  readonly name: Name;
}

/**
 * The host's file calls, relative to directory descriptors, never following a symbolic link. Two small implementations:
 * libc's own *at() functions, and Node's functions on /proc/self/fd paths. What is allowed is not decided here.
 * Answers are 0 or a count, or -errno. `name` is always one checked path component.
 *
 * "The inode itself" means: through /proc/self/fd/<fd>, which the kernel resolves to exactly that inode whatever
 * happened to its names, so `fd` may be an O_PATH descriptor, even of a symbolic link.
 */
export interface HostCalls {
  /** Opens an entry; O_NOFOLLOW and O_CLOEXEC are added. */
  openAt(dir: number, name: Name, flags: number, mode: number): number;
  /** Opens the inode itself anew; the caller knows that it is a regular file or a directory. */
  reopen(fd: number, flags: number, mode: number): number;
  close(fd: number): void;

  stat(fd: number, attr: Attr, identity: HostIdentity): number;
  statAt(dir: number, name: Name, attr: Attr, identity: HostIdentity): number;
  /** Target of the link that is the inode itself; `place` helps where that cannot be asked. */
  readlink(fd: number, place: Place | null, into: Uint8Array): number;

  mkdirAt(dir: number, name: Name, mode: number): number;
  mknodAt(dir: number, name: Name, mode: number, rdev: number): number;
  symlinkAt(target: Uint8Array, dir: number, name: Name): number;
  /** One more name for the inode itself. */
  linkAt(fd: number, place: Place | null, dir: number, name: Name): number;
  unlinkAt(dir: number, name: Name): number;
  rmdirAt(dir: number, name: Name): number;
  renameAt(from: Place, to: Place, flags: number): number;

  chmod(fd: number, mode: number): number;
  /** -1 leaves an id as it is. */
  chown(fd: number, uid: number, gid: number): number;
  ftruncate(fd: number, size: number): number;
  /** Applies the time bits of `change` to the inode itself. */
  utimes(fd: number, change: AttrChange): number;

  openStream(fd: number): DirectoryStream;
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  lseek(fd: number, offset: number, whence: number): number;
  copyFileRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number;
  syncfs(fd: number): number;

  setxattr(fd: number, name: Name, value: Uint8Array, flags: number): number;
  getxattr(fd: number, name: Name, into: Uint8Array): number;
  listxattr(fd: number, into: Uint8Array): number;
  removexattr(fd: number, name: Name): number;
}
