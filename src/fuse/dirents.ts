import type { Dirent, DirentSink, Entry } from './file-system.ts';
import { fuse_dirent } from './protocol.ts';
import { ENTRY_OUT_BYTES, type FuseReply } from './reply.ts';

/** Packs directory entries into a reply, each padded to 8 bytes. @spec LINUX-FUSE fuse_dirent, fuse_direntplus */
export class DirentPacker implements DirentSink {
  plus = false;
  /** Bytes packed so far. */
  length = 0;
  #limit = 0;
  readonly #reply: FuseReply;

  constructor(reply: FuseReply) {
    this.#reply = reply;
  }

  begin(plus: boolean, limit: number): void {
    this.plus = plus;
    this.length = 0;
    this.#limit = limit;
    this.#reply.reserve(limit);
  }

  fits(nameBytes: number): boolean {
    return this.length + this.#bytesFor(nameBytes) <= this.#limit;
  }

  add(dirent: Dirent, entry: Entry | null): void {
    const reply = this.#reply;
    const end = this.length + this.#bytesFor(dirent.name.length);
    let at = this.length;
    if (this.plus) {
      if (entry === null) reply.zero(at, ENTRY_OUT_BYTES);
      else reply.entryOut(at, entry);
      at += ENTRY_OUT_BYTES;
    }
    reply.u32(at + fuse_dirent.ino, dirent.inoLow);
    reply.u32(at + fuse_dirent.ino + 4, dirent.inoHigh);
    reply.u32(at + fuse_dirent.off, dirent.offLow);
    reply.u32(at + fuse_dirent.off + 4, dirent.offHigh);
    reply.u32(at + fuse_dirent.namelen, dirent.name.length);
    reply.u32(at + fuse_dirent.type, dirent.type);
    const nameAt = at + fuse_dirent.sizeof;
    reply.bytes.set(dirent.name, nameAt);
    reply.zero(nameAt + dirent.name.length, end - nameAt - dirent.name.length);
    this.length = end;
  }

  #bytesFor(nameBytes: number): number {
    const padded = (fuse_dirent.sizeof + nameBytes + 7) & ~7;
    return this.plus ? ENTRY_OUT_BYTES + padded : padded;
  }
}
