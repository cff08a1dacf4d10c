import type { Attr, AttrChange, Dirent, DirentOffset } from '../../fuse/file-system.ts';
import { FATTR_ATIME, FATTR_ATIME_NOW, FATTR_MTIME, FATTR_MTIME_NOW } from '../../fuse/protocol.ts';
import { decodeDevice, encodeDevice } from '../../fuse/records.ts';
import type { CString, Libc } from '../../native/libc.ts';
import type { DirectoryStream, HostCalls, HostIdentity } from './host-calls.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  SEEK_SET,
  UTIME_NOW,
  UTIME_OMIT,
} from './linux.ts';
import { nodeCalls } from './node-calls.ts';

/** Offsets in struct statx. @spec LINUX-UAPI stat.h */
const STX = {
  mask: 0,
  blksize: 4,
  nlink: 16,
  uid: 20,
  gid: 24,
  mode: 28,
  ino: 32,
  size: 40,
  blocks: 48,
  atime: 64,
  btime: 80,
  ctime: 96,
  mtime: 112,
  rdev_major: 128,
  rdev_minor: 132,
  dev_major: 136,
  dev_minor: 140,
  mnt_id: 144,
} as const;
const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;
const STATX_MNT_ID = 0x1000;
const STATX_BYTES = 256;

const EMPTY: CString = new Uint8Array(1);
const LIST_BYTES = 32768;

/**
 * The host's file calls by libc's *at() functions. One set of scratch buffers: calls do not overlap.
 *
 * Descriptors are still opened and closed by Node: it closes those of a worker thread that is terminated, and would
 * be confused by numbers it has not seen.
 */
export function libcCalls(libc: Libc): HostCalls {
  const statBytes = new Uint8Array(STATX_BYTES);
  const statView = new DataView(statBytes.buffer);
  const firstName = new Uint8Array(4352);
  const secondName = new Uint8Array(4352);
  const times = new Uint8Array(32);
  const timesView = new DataView(times.buffer);

  const stat = (dir: number, path: CString, flags: number, attr: Attr, identity: HostIdentity): number => {
    const error = libc.statx(dir, path, flags, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, statBytes);
    if (error === 0) decodeStatx(statView, attr, identity);
    return error;
  };

  return {
    ...nodeCalls,
    stat: (fd, attr, identity) => stat(fd, EMPTY, AT_EMPTY_PATH | AT_NO_AUTOMOUNT, attr, identity),
    statAt: (dir, name, attr, identity) =>
      stat(dir, cString(name, firstName), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, attr, identity),
    readlink: (fd, _place, into) => libc.readlinkat(fd, EMPTY, into),

    mkdirAt: (dir, name, mode) => libc.mkdirat(dir, cString(name, firstName), mode),
    mknodAt(dir, name, mode, rdev) {
      const { major, minor } = decodeDevice(rdev);
      // glibc's makedev for numbers of this size is the kernel's own encoding.
      return libc.mknodat(dir, cString(name, firstName), mode, encodeDevice(major, minor));
    },
    symlinkAt: (target, dir, name) => libc.symlinkat(cString(target, secondName), dir, cString(name, firstName)),
    linkAt: (fd, _place, dir, name) =>
      libc.linkat(AT_FDCWD, procCString(fd, secondName), dir, cString(name, firstName), AT_SYMLINK_FOLLOW),
    unlinkAt: (dir, name) => libc.unlinkat(dir, cString(name, firstName), 0),
    rmdirAt: (dir, name) => libc.unlinkat(dir, cString(name, firstName), AT_REMOVEDIR),
    renameAt: (from, to, flags) =>
      libc.renameat2(from.dir, cString(from.name, firstName), to.dir, cString(to.name, secondName), flags),

    utimes(fd, change) {
      encodeTimes(timesView, change);
      return libc.utimensat(AT_FDCWD, procCString(fd, firstName), times, 0);
    },

    openStream: (fd) => new GetdentsStream(libc, fd),
    fallocate: (fd, mode, offset, length) => libc.fallocate(fd, mode, offset, length),
    lseek: (fd, offset, whence) => libc.lseek(fd, offset, whence),
    copyFileRange: libc.copyFileRange,
    syncfs: (fd) => libc.syncfs(fd),

    setxattr: (fd, name, value, flags) =>
      libc.setxattr(procCString(fd, firstName), cString(name, secondName), value, flags),
    getxattr: (fd, name, into) => libc.getxattr(procCString(fd, firstName), cString(name, secondName), into),
    listxattr: (fd, into) => libc.listxattr(procCString(fd, firstName), into),
    removexattr: (fd, name) => libc.removexattr(procCString(fd, firstName), cString(name, secondName)),
  };
}

/** Copies into a reused buffer and ends with NUL; names were checked to be shorter than the buffer and free of NUL. */
function cString(from: Uint8Array, into: Uint8Array): CString {
  into.set(from);
  into[from.length] = 0;
  return into;
}

const PROC_PREFIX = new TextEncoder().encode('/proc/self/fd/');

function procCString(fd: number, into: Uint8Array): CString {
  into.set(PROC_PREFIX);
  const digits = String(fd);
  let at = PROC_PREFIX.length;
  for (let index = 0; index < digits.length; index++) into[at++] = digits.charCodeAt(index);
  into[at] = 0;
  return into;
}

function decodeStatx(view: DataView, attr: Attr, identity: HostIdentity): void {
  attr.inoLow = view.getUint32(STX.ino, true);
  attr.inoHigh = view.getUint32(STX.ino + 4, true);
  attr.size = u64(view, STX.size);
  attr.blocks = u64(view, STX.blocks);
  attr.atime = i64(view, STX.atime);
  attr.atimeNs = view.getUint32(STX.atime + 8, true);
  attr.mtime = i64(view, STX.mtime);
  attr.mtimeNs = view.getUint32(STX.mtime + 8, true);
  attr.ctime = i64(view, STX.ctime);
  attr.ctimeNs = view.getUint32(STX.ctime + 8, true);
  attr.mode = view.getUint16(STX.mode, true);
  attr.nlink = view.getUint32(STX.nlink, true);
  attr.uid = view.getUint32(STX.uid, true);
  attr.gid = view.getUint32(STX.gid, true);
  attr.rdev = encodeDevice(view.getUint32(STX.rdev_major, true), view.getUint32(STX.rdev_minor, true));
  attr.blksize = view.getUint32(STX.blksize, true);
  attr.flags = 0;
  attr.btime = i64(view, STX.btime);
  attr.btimeNs = view.getUint32(STX.btime + 8, true);
  attr.btimeKnown = (view.getUint32(STX.mask, true) & STATX_BTIME) !== 0;
  identity.dev = view.getUint32(STX.dev_major, true) * 0x10_0000 + view.getUint32(STX.dev_minor, true);
  identity.mountId = u64(view, STX.mnt_id);
}

function u64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

function i64(view: DataView, at: number): number {
  return view.getInt32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

function encodeTimes(view: DataView, change: AttrChange): void {
  encodeTime(view, 0, change.valid & FATTR_ATIME, change.valid & FATTR_ATIME_NOW, change.atime, change.atimeNs);
  encodeTime(view, 16, change.valid & FATTR_MTIME, change.valid & FATTR_MTIME_NOW, change.mtime, change.mtimeNs);
}

function encodeTime(view: DataView, at: number, set: number, now: number, seconds: number, ns: number): void {
  view.setBigInt64(at, BigInt(seconds), true);
  view.setBigInt64(at + 8, BigInt(now ? UTIME_NOW : set ? ns : UTIME_OMIT), true);
}

/** Offsets in struct linux_dirent64. @spec LINUX-UAPI getdents64 */
const D = { ino: 0, off: 8, reclen: 16, type: 18, name: 19 } as const;

/** A listing straight from the kernel; cookies are the host file system's own, so they stay good after changes. */
class GetdentsStream implements DirectoryStream {
  readonly #libc: Libc;
  readonly #fd: number;
  #bytes: Uint8Array | null = null;
  #view: DataView = NO_VIEW;
  #at = 0;
  #end = 0;
  /** Cookie of the position in the buffer. */
  #low = 0;
  #high = 0;

  constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
  }

  seek(offset: DirentOffset): number {
    // At the start the host is asked again, as rewinddir promises.
    if (offset.low === this.#low && offset.high === this.#high && (offset.low !== 0 || offset.high !== 0)) return 0;
    const position = (BigInt(offset.high) << 32n) | BigInt(offset.low);
    const moved = this.#libc.lseek(this.#fd, BigInt.asIntN(64, position), SEEK_SET);
    if (moved < 0) return moved;
    this.#low = offset.low;
    this.#high = offset.high;
    this.#at = 0;
    this.#end = 0;
    return 0;
  }

  peek(dirent: Dirent): number {
    if (this.#at >= this.#end) {
      const count = this.#fill();
      if (count <= 0) return count;
    }
    const bytes = this.#bytes as Uint8Array;
    const view = this.#view;
    const at = this.#at;
    dirent.inoLow = view.getUint32(at + D.ino, true);
    dirent.inoHigh = view.getUint32(at + D.ino + 4, true);
    dirent.offLow = view.getUint32(at + D.off, true);
    dirent.offHigh = view.getUint32(at + D.off + 4, true);
    dirent.type = view.getUint8(at + D.type);
    dirent.name = bytes.subarray(at + D.name, bytes.indexOf(0, at + D.name));
    return 1;
  }

  advance(): void {
    this.#low = this.#view.getUint32(this.#at + D.off, true);
    this.#high = this.#view.getUint32(this.#at + D.off + 4, true);
    this.#at += this.#view.getUint16(this.#at + D.reclen, true);
  }

  close(): void {
    this.#bytes = null;
    this.#end = 0;
  }

  #fill(): number {
    if (this.#bytes === null) {
      this.#bytes = new Uint8Array(LIST_BYTES);
      this.#view = new DataView(this.#bytes.buffer);
    }
    const count = this.#libc.getdents64(this.#fd, this.#bytes);
    this.#at = 0;
    this.#end = Math.max(count, 0);
    // The buffer is not kept by a listing that has ended: a guest may leave many directories open.
    if (count <= 0) this.close();
    return count;
  }
}

const NO_VIEW = new DataView(new ArrayBuffer(0));
