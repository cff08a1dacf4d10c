/**
 * The FUSE wire format, in the words of `linux/fuse.h`: what crosses the border between guest and server.
 * Structures are records of byte offsets; all fields are little-endian. No behaviour here.
 *
 * @spec LINUX-FUSE linux/fuse.h
 */

type FieldBytes = 2 | 4 | 8;

/** Turns field widths, in wire order, into field offsets. `sizeof` is the length of the whole structure. */
function struct<Field extends string>(fields: Record<Field, FieldBytes>): Readonly<Record<Field | 'sizeof', number>> {
  const offsets: Record<string, number> = {};
  let at = 0;
  for (const [field, width] of Object.entries<FieldBytes>(fields)) {
    offsets[field] = at;
    at += width;
  }
  offsets['sizeof'] = at;
  return Object.freeze(offsets) as Readonly<Record<Field | 'sizeof', number>>;
}

export const FUSE_KERNEL_VERSION = 7;
/** The minor version we speak; a guest that speaks less is refused. */
export const FUSE_KERNEL_MINOR_VERSION = 27;
export const FUSE_ROOT_ID = 1;
/** The inode number of a directory entry whose number is not known. */
export const FUSE_UNKNOWN_INO = 0xffff_ffff;

export const FUSE_LOOKUP = 1;
export const FUSE_FORGET = 2;
export const FUSE_GETATTR = 3;
export const FUSE_SETATTR = 4;
export const FUSE_READLINK = 5;
export const FUSE_SYMLINK = 6;
export const FUSE_MKNOD = 8;
export const FUSE_MKDIR = 9;
export const FUSE_UNLINK = 10;
export const FUSE_RMDIR = 11;
export const FUSE_RENAME = 12;
export const FUSE_LINK = 13;
export const FUSE_OPEN = 14;
export const FUSE_READ = 15;
export const FUSE_WRITE = 16;
export const FUSE_STATFS = 17;
export const FUSE_RELEASE = 18;
export const FUSE_FSYNC = 20;
export const FUSE_SETXATTR = 21;
export const FUSE_GETXATTR = 22;
export const FUSE_LISTXATTR = 23;
export const FUSE_REMOVEXATTR = 24;
export const FUSE_FLUSH = 25;
export const FUSE_INIT = 26;
export const FUSE_OPENDIR = 27;
export const FUSE_READDIR = 28;
export const FUSE_RELEASEDIR = 29;
export const FUSE_FSYNCDIR = 30;
export const FUSE_ACCESS = 34;
export const FUSE_CREATE = 35;
export const FUSE_INTERRUPT = 36;
export const FUSE_DESTROY = 38;
export const FUSE_IOCTL = 39;
export const FUSE_BATCH_FORGET = 42;
export const FUSE_FALLOCATE = 43;
export const FUSE_READDIRPLUS = 44;
export const FUSE_RENAME2 = 45;
export const FUSE_LSEEK = 46;
export const FUSE_COPY_FILE_RANGE = 47;
export const FUSE_SETUPMAPPING = 48;
export const FUSE_REMOVEMAPPING = 49;
export const FUSE_SYNCFS = 50;
export const FUSE_TMPFILE = 51;
export const FUSE_STATX = 52;

export const FUSE_ASYNC_READ = 1n << 0n;
export const FUSE_ATOMIC_O_TRUNC = 1n << 3n;
export const FUSE_BIG_WRITES = 1n << 5n;
export const FUSE_HAS_IOCTL_DIR = 1n << 11n;
export const FUSE_AUTO_INVAL_DATA = 1n << 12n;
export const FUSE_DO_READDIRPLUS = 1n << 13n;
export const FUSE_READDIRPLUS_AUTO = 1n << 14n;
export const FUSE_ASYNC_DIO = 1n << 15n;
export const FUSE_WRITEBACK_CACHE = 1n << 16n;
export const FUSE_PARALLEL_DIROPS = 1n << 18n;
export const FUSE_MAX_PAGES = 1n << 22n;
export const FUSE_SUBMOUNTS = 1n << 27n;
export const FUSE_HANDLE_KILLPRIV_V2 = 1n << 28n;
export const FUSE_INIT_EXT = 1n << 30n;
export const FUSE_ALLOW_IDMAP = 1n << 40n;

export const FUSE_GETATTR_FH = 1 << 0;
export const FOPEN_KEEP_CACHE = 1 << 1;
export const FUSE_OPEN_KILL_SUIDGID = 1 << 0;
/** The guest writes back pages of a mapped file; nobody asked for these bytes just now. */
export const FUSE_WRITE_CACHE = 1 << 0;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
export const FUSE_FSYNC_FDATASYNC = 1 << 0;
export const FUSE_ATTR_SUBMOUNT = 1 << 0;

export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;
export const FATTR_FH = 1 << 6;
export const FATTR_ATIME_NOW = 1 << 7;
export const FATTR_MTIME_NOW = 1 << 8;
export const FATTR_KILL_SUIDGID = 1 << 11;

export const fuse_in_header = struct({
  len: 4,
  opcode: 4,
  unique: 8,
  nodeid: 8,
  uid: 4,
  gid: 4,
  pid: 4,
  padding: 4,
});

export const fuse_out_header = struct({ len: 4, error: 4, unique: 8 });

export const fuse_attr = struct({
  ino: 8,
  size: 8,
  blocks: 8,
  atime: 8,
  mtime: 8,
  ctime: 8,
  atimensec: 4,
  mtimensec: 4,
  ctimensec: 4,
  mode: 4,
  nlink: 4,
  uid: 4,
  gid: 4,
  rdev: 4,
  blksize: 4,
  flags: 4,
});

/** Followed by a `fuse_attr`. */
export const fuse_entry_out = struct({
  nodeid: 8,
  generation: 8,
  entry_valid: 8,
  attr_valid: 8,
  entry_valid_nsec: 4,
  attr_valid_nsec: 4,
});

/** Followed by a `fuse_attr`. */
export const fuse_attr_out = struct({ attr_valid: 8, attr_valid_nsec: 4, dummy: 4 });

export const fuse_init_in = struct({ major: 4, minor: 4, max_readahead: 4, flags: 4 });
/** What follows `fuse_init_in` when the guest sets FUSE_INIT_EXT; 11 unused words come after it. */
export const fuse_init_in_ext = struct({ flags2: 4 });

export const fuse_init_out = struct({
  major: 4,
  minor: 4,
  max_readahead: 4,
  flags: 4,
  max_background: 2,
  congestion_threshold: 2,
  max_write: 4,
  time_gran: 4,
  max_pages: 2,
  map_alignment: 2,
  flags2: 4,
  max_stack_depth: 4,
  unused0: 8,
  unused1: 8,
  unused2: 8,
});

export const fuse_forget_in = struct({ nlookup: 8 });
export const fuse_batch_forget_in = struct({ count: 4, dummy: 4 });
export const fuse_forget_one = struct({ nodeid: 8, nlookup: 8 });
export const fuse_getattr_in = struct({ getattr_flags: 4, dummy: 4, fh: 8 });

export const fuse_setattr_in = struct({
  valid: 4,
  padding: 4,
  fh: 8,
  size: 8,
  lock_owner: 8,
  atime: 8,
  mtime: 8,
  ctime: 8,
  atimensec: 4,
  mtimensec: 4,
  ctimensec: 4,
  mode: 4,
  unused4: 4,
  uid: 4,
  gid: 4,
  unused5: 4,
});

export const fuse_mknod_in = struct({ mode: 4, rdev: 4, umask: 4, padding: 4 });
export const fuse_mkdir_in = struct({ mode: 4, umask: 4 });
export const fuse_rename_in = struct({ newdir: 8 });
export const fuse_rename2_in = struct({ newdir: 8, flags: 4, padding: 4 });
export const fuse_link_in = struct({ oldnodeid: 8 });
export const fuse_open_in = struct({ flags: 4, open_flags: 4 });
export const fuse_open_out = struct({ fh: 8, open_flags: 4, padding: 4 });
export const fuse_create_in = struct({ flags: 4, mode: 4, umask: 4, open_flags: 4 });
export const fuse_release_in = struct({ fh: 8, flags: 4, release_flags: 4, lock_owner: 8 });
export const fuse_flush_in = struct({ fh: 8, unused: 4, padding: 4, lock_owner: 8 });

export const fuse_read_in = struct({
  fh: 8,
  offset: 8,
  size: 4,
  read_flags: 4,
  lock_owner: 8,
  flags: 4,
  padding: 4,
});

export const fuse_write_in = struct({
  fh: 8,
  offset: 8,
  size: 4,
  write_flags: 4,
  lock_owner: 8,
  flags: 4,
  padding: 4,
});

export const fuse_write_out = struct({ size: 4, padding: 4 });

/** Followed by 24 spare bytes up to FUSE_STATFS_OUT_BYTES. */
export const fuse_kstatfs = struct({
  blocks: 8,
  bfree: 8,
  bavail: 8,
  files: 8,
  ffree: 8,
  bsize: 4,
  namelen: 4,
  frsize: 4,
  padding: 4,
});
export const FUSE_STATFS_OUT_BYTES = 80;

export const fuse_fsync_in = struct({ fh: 8, fsync_flags: 4, padding: 4 });
export const fuse_setxattr_in = struct({ size: 4, flags: 4 });
export const fuse_getxattr_in = struct({ size: 4, padding: 4 });
export const fuse_getxattr_out = struct({ size: 4, padding: 4 });
export const fuse_access_in = struct({ mask: 4, padding: 4 });

export const fuse_ioctl_in = struct({ fh: 8, flags: 4, cmd: 4, arg: 8, in_size: 4, out_size: 4 });
export const fuse_ioctl_out = struct({ result: 4, flags: 4, in_iovs: 4, out_iovs: 4 });

export const fuse_fallocate_in = struct({ fh: 8, offset: 8, length: 8, mode: 4, padding: 4 });
export const fuse_dirent = struct({ ino: 8, off: 8, namelen: 4, type: 4 });
export const fuse_lseek_in = struct({ fh: 8, offset: 8, whence: 4, padding: 4 });
export const fuse_lseek_out = struct({ offset: 8 });

export const fuse_copy_file_range_in = struct({
  fh_in: 8,
  off_in: 8,
  nodeid_out: 8,
  fh_out: 8,
  off_out: 8,
  len: 8,
  flags: 8,
});

export const fuse_syncfs_in = struct({ padding: 8 });
export const fuse_statx_in = struct({ getattr_flags: 4, reserved: 4, fh: 8, sx_flags: 4, sx_mask: 4 });

/** Followed by a `fuse_statx`. */
export const fuse_statx_out = struct({ attr_valid: 8, attr_valid_nsec: 4, flags: 4, spare0: 8, spare1: 8 });

/** Times are seconds, nanoseconds and 4 reserved bytes. Spare bytes follow, up to FUSE_STATX_BYTES. */
export const fuse_statx = struct({
  mask: 4,
  blksize: 4,
  attributes: 8,
  nlink: 4,
  uid: 4,
  gid: 4,
  mode: 2,
  spare0: 2,
  ino: 8,
  size: 8,
  blocks: 8,
  attributes_mask: 8,
  atime: 8,
  atime_nsec: 8,
  btime: 8,
  btime_nsec: 8,
  ctime: 8,
  ctime_nsec: 8,
  mtime: 8,
  mtime_nsec: 8,
  rdev_major: 4,
  rdev_minor: 4,
  dev_major: 4,
  dev_minor: 4,
});
export const FUSE_STATX_BYTES = 256;
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;

/** Ends the guest's program: krun's own ioctl, whose `arg` is the exit code. */
export const KRUN_IOCTL_EXIT_CODE = 0x7602;
