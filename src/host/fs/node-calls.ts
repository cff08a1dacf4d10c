import fs from 'node:fs';
import { EINVAL, EIO, ENOENT, ENOSYS, EPERM, ESTALE } from '../../fuse/errno.ts';
import type { Attr, AttrChange, Dirent, DirentOffset, Name } from '../../fuse/file-system.ts';
import { FATTR_ATIME, FATTR_ATIME_NOW, FATTR_MTIME, FATTR_MTIME_NOW, FUSE_UNKNOWN_INO } from '../../fuse/protocol.ts';
import { encodeDevice, newAttr } from '../../fuse/records.ts';
import type { DirectoryStream, HostCalls, HostIdentity } from './host-calls.ts';
import { O_CLOEXEC, O_NOFOLLOW, S_IFMT, S_IFREG } from './linux.ts';

/** The path of the inode that a descriptor of this process holds. */
export const procPath = (fd: number): string => `/proc/self/fd/${fd}`;

/** The negated error number of whatever a Node function threw. */
export function errorOf(thrown: unknown): number {
  const errno = (thrown as { errno?: unknown }).errno;
  return typeof errno === 'number' && errno < 0 ? errno : -EIO;
}

/** Runs a Node function for its effect: 0 or -errno. */
export function attempt(act: () => void): number {
  try {
    act();
    return 0;
  } catch (error) {
    return errorOf(error);
  }
}

function pathOf(dir: number, name: Name): string | Buffer {
  const prefix = `/proc/self/fd/${dir}/`;
  // Names need not be UTF-8; plain ASCII takes the shorter way.
  for (const byte of name) if (byte >= 0x80) return Buffer.concat([Buffer.from(prefix), name]);
  return prefix + Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1');
}

const LOW = 0xffff_ffffn;

function fill(stat: fs.BigIntStats, attr: Attr, identity: HostIdentity): void {
  attr.inoLow = Number(stat.ino & LOW);
  attr.inoHigh = Number((stat.ino >> 32n) & LOW);
  attr.size = Number(stat.size);
  attr.blocks = Number(stat.blocks);
  [attr.atime, attr.atimeNs] = split(stat.atimeNs);
  [attr.mtime, attr.mtimeNs] = split(stat.mtimeNs);
  [attr.ctime, attr.ctimeNs] = split(stat.ctimeNs);
  attr.mode = Number(stat.mode);
  attr.nlink = Number(stat.nlink);
  attr.uid = Number(stat.uid);
  attr.gid = Number(stat.gid);
  attr.rdev = fromGlibcDevice(stat.rdev);
  attr.blksize = Number(stat.blksize);
  attr.flags = 0;
  // Node says the time of the last change where the host has none of birth: it cannot be told apart.
  attr.btimeKnown = false;
  identity.dev = Number(stat.dev);
  identity.mountId = 0;
}

function split(timeNs: bigint): [seconds: number, nanoseconds: number] {
  const ns = ((timeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return [Number((timeNs - ns) / 1_000_000_000n), Number(ns)];
}

function fromGlibcDevice(dev: bigint): number {
  return encodeDevice(Number((dev >> 8n) & 0xfffn), Number((dev & 0xffn) | ((dev >> 12n) & 0xfff00n)));
}

/**
 * The host's file calls with nothing but node:fs. What Node cannot do is answered ENOSYS (the guest's kernel then
 * emulates it or says so); times lose precision below a microsecond.
 */
export const nodeCalls: HostCalls = {
  openAt(dir, name, flags, mode) {
    try {
      return fs.openSync(pathOf(dir, name), flags | O_NOFOLLOW | O_CLOEXEC, mode);
    } catch (error) {
      return errorOf(error);
    }
  },
  reopen(fd, flags, mode) {
    try {
      return fs.openSync(procPath(fd), flags | O_CLOEXEC, mode);
    } catch (error) {
      return errorOf(error);
    }
  },
  close: (fd) => attempt(() => fs.closeSync(fd)),

  stat(fd, attr, identity) {
    try {
      fill(fs.fstatSync(fd, { bigint: true }), attr, identity);
      return 0;
    } catch (error) {
      return errorOf(error);
    }
  },
  statAt(dir, name, attr, identity) {
    try {
      const stat = fs.lstatSync(pathOf(dir, name), { bigint: true, throwIfNoEntry: false });
      if (stat === undefined) return -ENOENT;
      fill(stat, attr, identity);
      return 0;
    } catch (error) {
      return errorOf(error);
    }
  },
  // Node reads links only by name, so another link of that name may answer; its target means nothing on the host.
  readlink(_fd, place, into) {
    if (place === null) return -ESTALE;
    try {
      const target = fs.readlinkSync(pathOf(place.dir, place.name), 'buffer');
      const length = Math.min(target.length, into.length);
      into.set(target.subarray(0, length));
      return length;
    } catch (error) {
      return errorOf(error);
    }
  },

  mkdirAt: (dir, name, mode) => attempt(() => fs.mkdirSync(pathOf(dir, name), mode)),
  mknodAt(dir, name, mode, _rdev) {
    // POSIX has EPERM for a file system that does not make nodes of this type.
    if ((mode & S_IFMT) !== S_IFREG) return -EPERM;
    return attempt(() => fs.closeSync(fs.openSync(pathOf(dir, name), 'wx', mode & 0o7777)));
  },
  symlinkAt: (target, dir, name) => attempt(() => fs.symlinkSync(Buffer.from(target), pathOf(dir, name))),
  linkAt(fd, place, dir, name) {
    if (place === null) return -ESTALE;
    const linked = attempt(() => fs.linkSync(pathOf(place.dir, place.name), pathOf(dir, name)));
    return linked < 0 || isSame(fd, dir, name) ? linked : undoLink(dir, name);
  },
  unlinkAt: (dir, name) => attempt(() => fs.unlinkSync(pathOf(dir, name))),
  rmdirAt: (dir, name) => attempt(() => fs.rmdirSync(pathOf(dir, name))),
  renameAt(from, to, flags) {
    if (flags !== 0) return -EINVAL;
    return attempt(() => fs.renameSync(pathOf(from.dir, from.name), pathOf(to.dir, to.name)));
  },

  chmod: (fd, mode) => attempt(() => fs.chmodSync(procPath(fd), mode)),
  chown: (fd, uid, gid) => attempt(() => fs.chownSync(procPath(fd), uid, gid)),
  ftruncate: (fd, size) => attempt(() => fs.ftruncateSync(fd, size)),
  utimes(fd, change) {
    try {
      const [atime, mtime] = timesFor(fd, change);
      fs.utimesSync(procPath(fd), atime, mtime);
      return 0;
    } catch (error) {
      return errorOf(error);
    }
  },

  openStream: (fd) => new SnapshotStream(fd),
  fallocate: () => -ENOSYS,
  lseek: () => -ENOSYS,
  copyFileRange: () => -ENOSYS,
  syncfs: () => -ENOSYS,
  setxattr: () => -ENOSYS,
  getxattr: () => -ENOSYS,
  listxattr: () => -ENOSYS,
  removexattr: () => -ENOSYS,
};

const scratchAttr = newAttr();
const scratchIdentity: HostIdentity = { dev: 0, mountId: 0 };

function isSame(fd: number, dir: number, name: Name): boolean {
  if (nodeCalls.stat(fd, scratchAttr, scratchIdentity) < 0) return false;
  const { inoLow, inoHigh } = scratchAttr;
  const { dev } = scratchIdentity;
  if (nodeCalls.statAt(dir, name, scratchAttr, scratchIdentity) < 0) return false;
  return scratchAttr.inoLow === inoLow && scratchAttr.inoHigh === inoHigh && scratchIdentity.dev === dev;
}

/** Somebody put another file under the name we linked from: takes that link back. */
function undoLink(dir: number, name: Name): number {
  nodeCalls.unlinkAt(dir, name);
  return -ESTALE;
}

/** Node sets both times or none, so the one that stays is read first. */
function timesFor(fd: number, change: AttrChange): [atime: number, mtime: number] {
  const now = Date.now() / 1000;
  const old = fs.fstatSync(fd);
  const pick = (set: number, setNow: number, s: number, ns: number, oldMs: number): number => {
    if (change.valid & setNow) return now;
    return change.valid & set ? s + ns / 1e9 : oldMs / 1000;
  };
  return [
    pick(FATTR_ATIME, FATTR_ATIME_NOW, change.atime, change.atimeNs, old.atimeMs),
    pick(FATTR_MTIME, FATTR_MTIME_NOW, change.mtime, change.mtimeNs, old.mtimeMs),
  ];
}

/**
 * A listing taken once at its start, because Node cannot reposition one; a cookie is an index into it. Going back to
 * the start takes a new one. It is dropped when the end was reached, so few are in memory at a time.
 */
class SnapshotStream implements DirectoryStream {
  readonly #fd: number;
  #entries: fs.Dirent<Buffer>[] | null = null;
  #at = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  seek(offset: DirentOffset): number {
    const at = offset.high === 0 ? offset.low : Number.MAX_SAFE_INTEGER;
    if (this.#entries !== null && at === this.#at && at > 0) return 0;
    this.#at = at;
    if (this.#entries !== null && at > 0) return 0;
    try {
      this.#entries = fs.readdirSync(procPath(this.#fd), { withFileTypes: true, encoding: 'buffer' });
      return 0;
    } catch (error) {
      return errorOf(error);
    }
  }

  peek(dirent: Dirent): number {
    const entries = this.#entries;
    if (entries === null || this.#at >= entries.length + DOTS.length) {
      this.#entries = null;
      return 0;
    }
    const dot = DOTS[this.#at];
    const entry = entries[this.#at - DOTS.length];
    dirent.name = dot ?? (entry as fs.Dirent<Buffer>).name;
    dirent.type = dot !== undefined ? DT_DIR : typeOf(entry as fs.Dirent<Buffer>);
    dirent.inoLow = FUSE_UNKNOWN_INO;
    dirent.inoHigh = 0;
    dirent.offLow = this.#at + 1;
    dirent.offHigh = 0;
    return 1;
  }

  advance(): void {
    this.#at++;
  }

  close(): void {
    this.#entries = null;
  }
}

const DOTS = [Buffer.from('.'), Buffer.from('..')];
const DT_DIR = 4;

function typeOf(entry: fs.Dirent<Buffer>): number {
  if (entry.isFile()) return 8;
  if (entry.isDirectory()) return DT_DIR;
  if (entry.isSymbolicLink()) return 10;
  if (entry.isFIFO()) return 1;
  if (entry.isCharacterDevice()) return 2;
  if (entry.isBlockDevice()) return 6;
  return entry.isSocket() ? 12 : 0;
}
