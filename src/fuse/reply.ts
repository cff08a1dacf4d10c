import type { Attr, AttrReply, Entry } from './file-system.ts';
import { fuse_attr, fuse_attr_out, fuse_entry_out, fuse_out_header } from './protocol.ts';
import { slice } from './request.ts';

const HEADER = fuse_out_header.sizeof;

/**
 * The reply under construction. Small structures are built in one reused buffer and copied out at the end; file data
 * goes straight into the guest's buffers.
 */
export class FuseReply {
  /** Payload, after the header. */
  bytes: Uint8Array = new Uint8Array(8192);
  view: DataView = new DataView(this.bytes.buffer);
  /** Bytes the guest has room for after the header. */
  capacity = 0;
  /** The operation has written its payload into the guest's buffers itself. */
  direct = false;
  #segments: readonly Uint8Array[] = [];
  readonly #header = new Uint8Array(HEADER);
  readonly #headerView = new DataView(this.#header.buffer);

  begin(segments: readonly Uint8Array[], capacity: number): void {
    this.#segments = segments;
    this.capacity = capacity;
    this.direct = false;
  }

  /** Makes room for a payload of this many bytes. What it holds is not zeroed. */
  reserve(size: number): void {
    if (size <= this.bytes.length) return;
    this.bytes = new Uint8Array(size + 4096);
    this.view = new DataView(this.bytes.buffer);
  }

  /** The guest's buffers after the header, at most `size` bytes. */
  data(size: number): Uint8Array[] {
    return slice(this.#segments, HEADER, size);
  }

  /** Writes header and payload out; `error` is 0 or negative. Answers all bytes written. */
  finish(request: { bytes: Uint8Array }, uniqueAt: number, error: number, payload: number): number {
    const length = HEADER + payload;
    this.#headerView.setUint32(fuse_out_header.len, length, true);
    this.#headerView.setInt32(fuse_out_header.error, error, true);
    this.#header.set(request.bytes.subarray(uniqueAt, uniqueAt + 8), fuse_out_header.unique);
    scatter(this.#segments, 0, this.#header, HEADER);
    if (!this.direct && payload > 0) scatter(this.#segments, HEADER, this.bytes, payload);
    return length;
  }

  zero(at: number, length: number): void {
    this.bytes.fill(0, at, at + length);
  }

  u16(at: number, value: number): void {
    this.view.setUint16(at, value, true);
  }

  u32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  /** Any integer a double holds; negative ones in two's complement. */
  u64(at: number, value: number): void {
    this.view.setUint32(at, value % 0x1_0000_0000, true);
    this.view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  }

  attr(at: number, attr: Attr): void {
    this.u32(at + fuse_attr.ino, attr.inoLow);
    this.u32(at + fuse_attr.ino + 4, attr.inoHigh);
    this.u64(at + fuse_attr.size, attr.size);
    this.u64(at + fuse_attr.blocks, attr.blocks);
    this.u64(at + fuse_attr.atime, attr.atime);
    this.u64(at + fuse_attr.mtime, attr.mtime);
    this.u64(at + fuse_attr.ctime, attr.ctime);
    this.u32(at + fuse_attr.atimensec, attr.atimeNs);
    this.u32(at + fuse_attr.mtimensec, attr.mtimeNs);
    this.u32(at + fuse_attr.ctimensec, attr.ctimeNs);
    this.u32(at + fuse_attr.mode, attr.mode);
    this.u32(at + fuse_attr.nlink, attr.nlink);
    this.u32(at + fuse_attr.uid, attr.uid);
    this.u32(at + fuse_attr.gid, attr.gid);
    this.u32(at + fuse_attr.rdev, attr.rdev);
    this.u32(at + fuse_attr.blksize, attr.blksize);
    this.u32(at + fuse_attr.flags, attr.flags);
  }

  attrOut(reply: AttrReply): number {
    this.u64(fuse_attr_out.attr_valid, reply.attrValidS);
    this.u32(fuse_attr_out.attr_valid_nsec, 0);
    this.u32(fuse_attr_out.dummy, 0);
    this.attr(fuse_attr_out.sizeof, reply.attr);
    return fuse_attr_out.sizeof + fuse_attr.sizeof;
  }

  entryOut(at: number, entry: Entry): number {
    this.u64(at + fuse_entry_out.nodeid, entry.nodeid);
    this.u64(at + fuse_entry_out.generation, 0);
    this.u64(at + fuse_entry_out.entry_valid, entry.entryValidS);
    this.u64(at + fuse_entry_out.attr_valid, entry.attrValidS);
    this.u32(at + fuse_entry_out.entry_valid_nsec, 0);
    this.u32(at + fuse_entry_out.attr_valid_nsec, 0);
    this.attr(at + fuse_entry_out.sizeof, entry.attr);
    return ENTRY_OUT_BYTES;
  }
}

/** Length of an entry with its attributes. */
export const ENTRY_OUT_BYTES = fuse_entry_out.sizeof + fuse_attr.sizeof;

/** Copies `length` bytes of `from` into the buffers, from `at` on. The caller knows that they fit. */
function scatter(segments: readonly Uint8Array[], at: number, from: Uint8Array, length: number): void {
  let skip = at;
  let done = 0;
  for (const segment of segments) {
    if (done === length) return;
    if (skip >= segment.length) {
      skip -= segment.length;
      continue;
    }
    const count = Math.min(segment.length - skip, length - done);
    segment.set(from.subarray(done, done + count), skip);
    done += count;
    skip = 0;
  }
}
