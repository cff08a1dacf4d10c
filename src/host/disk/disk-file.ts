import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  openSync,
  read,
  readFileSync,
  readSync,
  readvSync,
  write,
  writevSync,
} from 'node:fs';
import { loadLibc } from '../../native/libc.ts';
import { alignedBytes, type Bounce, BouncePool } from './bounce-pool.ts';
import { Coalesced } from './coalesced.ts';
import { cannotOpen, ImageIoError } from './disk-error.ts';
import type { Done, FileIdentity, Lease } from './disk-image.ts';
import { Patience } from './patience.ts';
import { clear, gather, scatter, sliceViews, totalLength } from './views.ts';

/** @spec LINUX-UAPI falloc.h */
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;

/** How a file is used. */
export interface DiskFileOptions {
  readonly readOnly: boolean;
  /** Past the host's page cache, where offsets and lengths allow it. */
  readonly direct: boolean;
  /** False: `sync` does nothing. */
  readonly durable: boolean;
  /** How files are opened; default: by path. */
  readonly open?: OpenFile;
}

/** Opens a path with Linux's flags; answers a descriptor, and whether it is ours to close, or throws. */
export type OpenFile = (path: string, flags: number) => { readonly fd: number; readonly isOurs: boolean };

const openByPath: OpenFile = (path, flags) => ({ fd: openSync(path, flags), isOurs: true });

/**
 * A file or block device with random access. Short transfers are repeated, bytes behind the end read as zeros, and
 * descriptors stay open while a call is under way.
 */
export class DiskFile {
  readonly path: string;
  readonly readOnly: boolean;
  /** Bytes at the time of opening. */
  readonly length: number;
  readonly identity: FileIdentity;
  /** What direct transfers have to be multiples of; undefined: none are made. */
  readonly #directUnit: number | undefined;
  readonly #fd: number;
  readonly #directFd: number | undefined;
  readonly #toClose: number[] = [];
  readonly #durable: boolean;
  readonly #pool = new BouncePool();
  readonly #reading = new Patience();
  readonly #writing = new Patience();
  #underWay = 0;
  #closing = false;
  #closed = false;
  readonly #syncing = new Coalesced(() => this.#syncOnce());
  #syncFailure: Error | undefined;

  /** @throws {KrunError} ERR_DISK */
  constructor(path: string, { readOnly, direct, durable, open = openByPath }: DiskFileOptions) {
    this.path = path;
    this.readOnly = readOnly;
    this.#durable = durable && !readOnly;
    // Not to hang where somebody put a FIFO; regular files and disks do not care.
    const flags = (readOnly ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NONBLOCK;
    this.#fd = this.#open(flags, open);
    try {
      const stat = fstatSync(this.#fd, { bigint: true });
      if (!stat.isFile() && !stat.isBlockDevice()) throw cannotOpen(path, 'it is neither a file nor a block device');
      this.identity = { dev: stat.dev, ino: stat.ino, rdev: stat.rdev };
      this.length = stat.isBlockDevice() ? deviceLength(path, stat.rdev) : Number(stat.size);
      this.#directFd = direct ? this.#open(flags | constants.O_DIRECT, open) : undefined;
      this.#directUnit = this.#directFd === undefined ? undefined : directUnit(path, this.#directFd);
    } catch (error) {
      for (const fd of this.#toClose) closeSync(fd);
      throw error;
    }
  }

  /** Fills `into`, before it returns. */
  readNow(offset: number, into: Uint8Array): void {
    this.#checkOpen();
    let at = 0;
    while (at < into.length) {
      const count = readSync(this.#fd, into, at, into.length - at, offset + at);
      if (count === 0) return void into.fill(0, at);
      at += count;
    }
  }

  /** Writes all of `from`, before it returns. */
  writeNow(offset: number, from: readonly Uint8Array[]): void {
    this.#checkOpen();
    const length = totalLength(from);
    for (let at = 0; at < length; ) {
      at += writevSync(this.#fd, at === 0 ? from : sliceViews(from, at, length - at), offset + at);
    }
  }

  read(offset: number, into: readonly Uint8Array[], lease: Lease): Done {
    const length = totalLength(into);
    const aligned = this.#isDirect(offset, length);
    if (aligned || !this.#reading.direct) {
      const bounce = this.#pool.take(length);
      if (bounce !== undefined) return this.#readAside(aligned, offset, into, bounce, lease);
    }
    const start = performance.now();
    this.#readViews(offset, into, length);
    this.#reading.took(performance.now() - start, length);
    return undefined;
  }

  write(offset: number, from: readonly Uint8Array[]): Done {
    const length = totalLength(from);
    const aligned = this.#isDirect(offset, length);
    if (aligned || !this.#writing.direct) {
      const bounce = this.#pool.take(length);
      if (bounce !== undefined) {
        gather(from, bounce.bytes);
        return this.#writeAside(aligned, offset, bounce);
      }
    }
    const start = performance.now();
    this.writeNow(offset, from);
    this.#writing.took(performance.now() - start, length);
    return undefined;
  }

  /** Whether transfers may go on after the call that starts them as a rule, not as an exception. */
  get direct(): boolean {
    return this.#directUnit !== undefined;
  }

  /** All that was written before the call is durable when the promise resolves. Calls that meet share the work. */
  sync(): Promise<void> {
    if (!this.#durable) return Promise.resolve();
    return this.#syncing.run();
  }

  syncNow(): void {
    if (!this.#durable) return;
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    fdatasyncSync(this.#fd);
  }

  /** Gives room back; the bytes read as zeros. False where the host cannot. */
  punchHole(offset: number, length: number): boolean {
    return this.#fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
  }

  /** Makes bytes zeros without giving room back. False where the host cannot. */
  zeroRange(offset: number, length: number): boolean {
    return this.#fallocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length);
  }

  /** Closes the descriptors now, or when the last call that is under way is over. */
  close(): void {
    this.#closing = true;
    if (this.#underWay > 0 || this.#closed) return;
    this.#closed = true;
    for (const fd of this.#toClose) closeSync(fd);
  }

  #open(flags: number, open: OpenFile): number {
    const { fd, isOurs } = opened(this.path, flags, open);
    if (isOurs) this.#toClose.push(fd);
    return fd;
  }

  /** The number of a descriptor that was closed may be another file's by now. */
  #checkOpen(): void {
    if (this.#closing) throw new ImageIoError('Cannot use the disk: it is closed');
  }

  #isDirect(offset: number, length: number): boolean {
    const unit = this.#directUnit;
    return unit !== undefined && length > 0 && offset % unit === 0 && length % unit === 0;
  }

  #readViews(offset: number, into: readonly Uint8Array[], length: number): void {
    this.#checkOpen();
    for (let at = 0; at < length; ) {
      const rest = at === 0 ? into : sliceViews(into, at, length - at);
      const count = readvSync(this.#fd, rest, offset + at);
      if (count === 0) return clear(rest);
      at += count;
    }
  }

  async #readAside(
    direct: boolean,
    offset: number,
    into: readonly Uint8Array[],
    bounce: Bounce,
    lease: Lease,
  ): Promise<void> {
    const { bytes } = bounce;
    try {
      let at = 0;
      while (at < bytes.length) {
        // What is left after a short direct read is no longer aligned.
        const count = await this.#call(at === 0 && direct, (fd, done) =>
          read(fd, bytes, at, bytes.length - at, offset + at, done),
        );
        if (count === 0) break;
        at += count;
      }
      bytes.fill(0, at);
      if (lease.alive) scatter(bytes, into);
    } finally {
      this.#pool.giveBack(bounce);
    }
  }

  async #writeAside(direct: boolean, offset: number, bounce: Bounce): Promise<void> {
    const { bytes } = bounce;
    try {
      for (let at = 0; at < bytes.length; ) {
        at += await this.#call(at === 0 && direct, (fd, done) =>
          write(fd, bytes, at, bytes.length - at, offset + at, done),
        );
      }
    } finally {
      this.#pool.giveBack(bounce);
    }
  }

  /** A sync that failed once has lost data for good: the host may say that the next one succeeds. */
  async #syncOnce(): Promise<void> {
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    try {
      await this.#call(false, (fd, done) => fdatasync(fd, (error) => done(error, 0)));
    } catch (error) {
      this.#syncFailure = error as Error;
      throw error;
    }
  }

  async #call(
    direct: boolean,
    start: (fd: number, done: (error: Error | null, count: number) => void) => void,
  ): Promise<number> {
    this.#checkOpen();
    this.#underWay += 1;
    return new Promise<number>((resolve, reject) => {
      start(direct && this.#directFd !== undefined ? this.#directFd : this.#fd, (error, count) => {
        this.#underWay -= 1;
        if (this.#closing) this.close();
        if (error === null) resolve(count);
        else reject(error);
      });
    });
  }

  #fallocate(mode: number, offset: number, length: number): boolean {
    this.#checkOpen();
    return loadLibc()?.fallocate(this.#fd, mode, offset, length) === 0;
  }
}

function opened(path: string, flags: number, open: OpenFile): ReturnType<OpenFile> {
  try {
    return open(path, flags);
  } catch (cause) {
    throw cannotOpen(path, (cause as Error).message, cause);
  }
}

/** A block device's size in bytes, which fstat does not tell. */
function deviceLength(path: string, rdev: bigint): number {
  // dev_t as glibc packs it.
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  try {
    return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * 512;
  } catch (cause) {
    throw cannotOpen(path, 'the size of the block device cannot be found', cause);
  }
}

/** Asks the file itself what direct transfers must be multiples of: file systems differ. */
function directUnit(path: string, fd: number): number {
  const bytes = alignedBytes(4096);
  for (const unit of [512, 4096]) {
    try {
      readSync(fd, bytes, 0, unit, 0);
      return unit;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw cannotOpen(path, (error as Error).message, error);
    }
  }
  throw cannotOpen(path, 'direct I/O does not work on it');
}
