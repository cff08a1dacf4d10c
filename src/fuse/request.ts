import type { Caller, Name } from './file-system.ts';
import { fuse_in_header } from './protocol.ts';

const HEADER = fuse_in_header.sizeof;
/** The longest name Linux sends; what is too long for the file system behind us is for that to say. */
const FUSE_NAME_MAX = 1024;
const SLASH = 0x2f;
const DOT = 0x2e;

/** A 64-bit offset, size or id that no double holds exactly reads as this; no valid request carries it. */
export const TOO_LARGE = Number.MAX_VALUE;

/**
 * One request, copied out of guest memory once so that the guest cannot change what was checked. One object and one
 * buffer serve all requests. Fields read past the end are zero, so no access can fail; the server has checked by then
 * that the operation's own structure is complete.
 */
export class FuseRequest implements Caller {
  bytes: Uint8Array = new Uint8Array(8192);
  view: DataView = new DataView(this.bytes.buffer);
  /** Valid bytes, header included. */
  length = 0;
  opcode = 0;
  nodeid = 0;
  uid = 0;
  gid = 0;
  /** The buffers the request came in; only the data of a WRITE is read from them again, and it is not interpreted. */
  segments: readonly Uint8Array[] = [];

  /** Takes the header from buffers that hold at least that much. */
  begin(segments: readonly Uint8Array[]): void {
    this.segments = segments;
    this.length = HEADER;
    this.#copy(0, HEADER);
    this.opcode = this.u32(fuse_in_header.opcode);
    this.nodeid = this.u64(fuse_in_header.nodeid);
    this.uid = this.u32(fuse_in_header.uid);
    this.gid = this.u32(fuse_in_header.gid);
  }

  /** Takes what follows the header: `copied` bytes of the request's `length` are needed here, header included. */
  extend(copied: number, length: number): void {
    if (copied > this.bytes.length) this.#grow(copied);
    this.#copy(HEADER, Math.min(copied, length));
    this.length = length;
  }

  u32(at: number): number {
    return at + 4 <= this.length ? this.view.getUint32(at, true) : 0;
  }

  u64(at: number): number {
    const high = this.u32(at + 4);
    return high < 0x20_0000 ? high * 0x1_0000_0000 + this.u32(at) : TOO_LARGE;
  }

  /** Signed seconds; what does not fit is cut to 53 bits. */
  i64(at: number): number {
    const high = this.u32(at + 4) | 0;
    const value = high * 0x1_0000_0000 + this.u32(at);
    return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value));
  }

  /** The NUL-terminated bytes at `at`, or undefined when no NUL follows. */
  string(at: number): Uint8Array | undefined {
    const end = at < this.length ? this.bytes.indexOf(0, at) : -1;
    return end >= 0 && end < this.length ? this.bytes.subarray(at, end) : undefined;
  }

  /** The NUL-terminated file name at `at`, or undefined if it cannot be one component of a path. */
  name(at: number): Name | undefined {
    const name = this.string(at);
    return name !== undefined && isName(name) ? name : undefined;
  }

  /** The data after `at`, in the guest's own buffers: `size` bytes, which the caller knows to be there. */
  data(at: number, size: number): Uint8Array[] {
    return slice(this.segments, at, size);
  }

  #copy(start: number, end: number): void {
    let base = 0;
    for (const segment of this.segments) {
      const from = Math.max(start - base, 0);
      const to = Math.min(end - base, segment.length);
      if (from < to) {
        const whole = from === 0 && to === segment.length;
        this.bytes.set(whole ? segment : segment.subarray(from, to), base + from);
      }
      base += segment.length;
      if (base >= end) return;
    }
  }

  #grow(length: number): void {
    const header = this.bytes.subarray(0, HEADER);
    this.bytes = new Uint8Array(length + 4096);
    this.bytes.set(header);
    this.view = new DataView(this.bytes.buffer);
  }
}

/** Whether these bytes name an entry of a directory and nothing else. */
export function isName(name: Uint8Array): boolean {
  if (name.length === 0 || name.length > FUSE_NAME_MAX) return false;
  if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) return false;
  return !name.includes(SLASH) && !name.includes(0);
}

/** Views of `size` bytes from `at` on of a list of buffers; fewer if the buffers end before. */
export function slice(segments: readonly Uint8Array[], at: number, size: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  let skip = at;
  let left = size;
  for (const segment of segments) {
    if (left === 0) break;
    const from = Math.min(skip, segment.length);
    const count = Math.min(segment.length - from, left);
    skip -= from;
    left -= count;
    if (count > 0) found.push(count === segment.length ? segment : segment.subarray(from, from + count));
  }
  return found;
}

export function totalBytes(segments: readonly Uint8Array[]): number {
  let total = 0;
  for (const segment of segments) total += segment.length;
  return total;
}
