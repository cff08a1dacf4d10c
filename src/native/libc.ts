import { bindLibc, type LibcBinding } from './libc-binding.ts';

/** A path or name for libc: bytes that end in NUL. */
export type CString = Uint8Array;

/**
 * The few libc functions that file sharing wants and Node lacks. Each answers what libc answers, or `-errno`.
 * No call keeps a pointer after it returns; buffers belong to the caller. Descriptors are plain numbers.
 * All flags and structures are Linux's.
 */
export interface Libc {
  /** `into` receives 256 bytes, the same layout on every architecture. */
  statx(dir: number, path: CString, flags: number, mask: number, into: Uint8Array): number;
  readlinkat(dir: number, path: CString, into: Uint8Array): number;
  mkdirat(dir: number, path: CString, mode: number): number;
  /** `dev` as glibc's makedev packs it, below 2**32. */
  mknodat(dir: number, path: CString, mode: number, dev: number): number;
  symlinkat(target: CString, dir: number, path: CString): number;
  linkat(fromDir: number, from: CString, toDir: number, to: CString, flags: number): number;
  unlinkat(dir: number, path: CString, flags: number): number;
  renameat2(fromDir: number, from: CString, toDir: number, to: CString, flags: number): number;
  /** `times` holds two struct timespec: 32 bytes. */
  utimensat(dir: number, path: CString, times: Uint8Array, flags: number): number;
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  lseek(fd: number, offset: number | bigint, whence: number): number;
  copyFileRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number;
  /** Fills `into` with struct linux_dirent64 records; answers bytes, 0 at the end. */
  getdents64(fd: number, into: Uint8Array): number;
  syncfs(fd: number): number;
  setxattr(path: CString, name: CString, value: Uint8Array, flags: number): number;
  getxattr(path: CString, name: CString, into: Uint8Array): number;
  listxattr(path: CString, into: Uint8Array): number;
  removexattr(path: CString, name: CString): number;
}

let loaded: Libc | null | undefined;

/** libc through koffi, or null where koffi is not installed, cannot load here, or the host is not a 64-bit Linux. */
export function loadLibc(): Libc | null {
  if (loaded === undefined) loaded = bindLibc(bind);
  return loaded;
}

function bind({ native, checked }: LibcBinding): Libc {
  const statx = native('int statx(int, const void *, int, uint32_t, void *)');
  const readlinkat = native('int64_t readlinkat(int, const void *, void *, size_t)');
  const mkdirat = native('int mkdirat(int, const void *, uint32_t)');
  const mknodat = native('int mknodat(int, const void *, uint32_t, uint64_t)');
  const symlinkat = native('int symlinkat(const void *, int, const void *)');
  const linkat = native('int linkat(int, const void *, int, const void *, int)');
  const unlinkat = native('int unlinkat(int, const void *, int)');
  const renameat2 = native('int renameat2(int, const void *, int, const void *, uint32_t)');
  const utimensat = native('int utimensat(int, const void *, const void *, int)');
  const fallocate = native('int fallocate(int, int, int64_t, int64_t)');
  const lseek = native('int64_t lseek(int, int64_t, int)');
  const copyFileRange = native('int64_t copy_file_range(int, void *, int, void *, size_t, uint32_t)');
  const getdents64 = native('int64_t getdents64(int, void *, size_t)');
  const syncfs = native('int syncfs(int)');
  const setxattr = native('int setxattr(const void *, const void *, const void *, size_t, int)');
  const getxattr = native('int64_t getxattr(const void *, const void *, void *, size_t)');
  const listxattr = native('int64_t listxattr(const void *, void *, size_t)');
  const removexattr = native('int removexattr(const void *, const void *)');
  const offsets = new BigInt64Array(2);
  const fromOffsetCell = offsets.subarray(0, 1);
  const toOffsetCell = offsets.subarray(1, 2);

  return {
    statx: (dir, path, flags, mask, into) => checked(statx(dir, path, flags, mask, into)),
    readlinkat: (dir, path, into) => checked(readlinkat(dir, path, into, into.length)),
    mkdirat: (dir, path, mode) => checked(mkdirat(dir, path, mode)),
    mknodat: (dir, path, mode, dev) => checked(mknodat(dir, path, mode, dev)),
    symlinkat: (target, dir, path) => checked(symlinkat(target, dir, path)),
    linkat: (fromDir, from, toDir, to, flags) => checked(linkat(fromDir, from, toDir, to, flags)),
    unlinkat: (dir, path, flags) => checked(unlinkat(dir, path, flags)),
    renameat2: (fromDir, from, toDir, to, flags) => checked(renameat2(fromDir, from, toDir, to, flags)),
    utimensat: (dir, path, times, flags) => checked(utimensat(dir, path, times, flags)),
    fallocate: (fd, mode, offset, length) => checked(fallocate(fd, mode, offset, length)),
    lseek: (fd, offset, whence) => checked(Number(lseek(fd, offset, whence))),
    copyFileRange(from, fromOffset, to, toOffset, length) {
      fromOffsetCell[0] = BigInt(fromOffset);
      toOffsetCell[0] = BigInt(toOffset);
      return checked(copyFileRange(from, fromOffsetCell, to, toOffsetCell, length, 0));
    },
    getdents64: (fd, into) => checked(getdents64(fd, into, into.length)),
    syncfs: (fd) => checked(syncfs(fd)),
    setxattr: (path, name, value, flags) => checked(setxattr(path, name, value, value.length, flags)),
    getxattr: (path, name, into) => checked(getxattr(path, name, into, into.length)),
    listxattr: (path, into) => checked(listxattr(path, into, into.length)),
    removexattr: (path, name) => checked(removexattr(path, name)),
  };
}
