import { EROFS } from './errno.ts';
import type {
  AttrChange,
  AttrReply,
  Caller,
  DirentOffset,
  DirentSink,
  Entry,
  FileSystem,
  Name,
  OpenReply,
  StatfsReply,
} from './file-system.ts';
import { FUSE_WRITEBACK_CACHE } from './protocol.ts';

const O_ACCMODE = 3;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
/** O_TMPFILE without O_DIRECTORY, which every opendir may carry. */
const O_TMPFILE_BIT = 0o20000000;
const W_OK = 2;

/** Shows a file system that cannot be changed through it, whatever the guest asks. */
export function readOnlyFs(below: FileSystem): FileSystem {
  return new ReadOnlyFs(below);
}

class ReadOnlyFs implements FileSystem {
  readonly wants: bigint;
  readonly #below: FileSystem;

  constructor(below: FileSystem) {
    // The guest must not keep writes back that will be refused.
    this.wants = below.wants & ~FUSE_WRITEBACK_CACHE;
    this.#below = below;
  }

  init(flags: bigint): void {
    this.#below.init(flags);
  }
  destroy(): void {
    this.#below.destroy();
  }
  close(): void {
    this.#below.close();
  }
  save(): unknown {
    return this.#below.save?.();
  }
  restore(state: unknown): void {
    this.#below.restore?.(state);
  }
  lookup(parent: number, name: Name, entry: Entry): number {
    return this.#below.lookup(parent, name, entry);
  }
  forget(nodeid: number, nlookup: number): void {
    this.#below.forget(nodeid, nlookup);
  }
  getattr(nodeid: number, fh: number, reply: AttrReply): number {
    return this.#below.getattr(nodeid, fh, reply);
  }
  access(nodeid: number, mask: number, caller: Caller): number {
    return mask & W_OK ? -EROFS : this.#below.access(nodeid, mask, caller);
  }
  readlink(nodeid: number, into: Uint8Array): number {
    return this.#below.readlink(nodeid, into);
  }
  open(nodeid: number, flags: number, _killPriv: boolean, reply: OpenReply): number {
    if (flags & (O_ACCMODE | O_TRUNC | O_TMPFILE_BIT | O_CREAT)) return -EROFS;
    return this.#below.open(nodeid, flags, false, reply);
  }
  read(nodeid: number, fh: number, into: readonly Uint8Array[], offset: number): number {
    return this.#below.read(nodeid, fh, into, offset);
  }
  flush(nodeid: number, fh: number): number {
    return this.#below.flush(nodeid, fh);
  }
  release(nodeid: number, fh: number): number {
    return this.#below.release(nodeid, fh);
  }
  fsync(nodeid: number, fh: number, dataOnly: boolean): number {
    return this.#below.fsync(nodeid, fh, dataOnly);
  }
  lseek(nodeid: number, fh: number, offset: number, whence: number): number {
    return this.#below.lseek(nodeid, fh, offset, whence);
  }
  opendir(nodeid: number, flags: number, reply: OpenReply): number {
    return flags & O_ACCMODE ? -EROFS : this.#below.opendir(nodeid, flags, reply);
  }
  readdir(nodeid: number, fh: number, offset: DirentOffset, sink: DirentSink): number {
    return this.#below.readdir(nodeid, fh, offset, sink);
  }
  releasedir(nodeid: number, fh: number): number {
    return this.#below.releasedir(nodeid, fh);
  }
  fsyncdir(nodeid: number, fh: number, dataOnly: boolean): number {
    return this.#below.fsyncdir(nodeid, fh, dataOnly);
  }
  statfs(nodeid: number, reply: StatfsReply): number {
    return this.#below.statfs(nodeid, reply);
  }
  syncfs(nodeid: number): number {
    return this.#below.syncfs(nodeid);
  }
  getxattr(nodeid: number, name: Name, into: Uint8Array): number {
    return this.#below.getxattr(nodeid, name, into);
  }
  listxattr(nodeid: number, into: Uint8Array): number {
    return this.#below.listxattr(nodeid, into);
  }

  setattr(_nodeid: number, _fh: number, _change: AttrChange, _reply: AttrReply): number {
    return -EROFS;
  }
  symlink(): number {
    return -EROFS;
  }
  mknod(): number {
    return -EROFS;
  }
  mkdir(): number {
    return -EROFS;
  }
  link(): number {
    return -EROFS;
  }
  unlink(): number {
    return -EROFS;
  }
  rmdir(): number {
    return -EROFS;
  }
  rename(): number {
    return -EROFS;
  }
  create(): number {
    return -EROFS;
  }
  tmpfile(): number {
    return -EROFS;
  }
  write(): number {
    return -EROFS;
  }
  fallocate(): number {
    return -EROFS;
  }
  copyFileRange(): number {
    return -EROFS;
  }
  setxattr(): number {
    return -EROFS;
  }
  removexattr(): number {
    return -EROFS;
  }
}
