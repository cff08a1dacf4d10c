import * as op from '../fuse/protocol.ts';
import type { FuseServer } from '../fuse/server.ts';

/** A reply as the guest sees it; `error` is 0 or a negated error number. */
export interface Reply {
  readonly error: number;
  readonly payload: Uint8Array;
  readonly view: DataView;
}

/** One entry of a directory listing. */
export interface ListedName {
  readonly name: string;
  readonly nodeid: number;
  readonly type: number;
  readonly off: bigint;
}

/** Little-endian fields in order: [width in bytes, value]. */
export type Field = readonly [width: 4 | 8, value: number | bigint];

const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** Plays the guest's kernel against a FUSE server: builds requests byte by byte and reads replies. */
export class FuseClient {
  uid = 0;
  gid = 0;
  /** Buffers of this many bytes on both sides, to exercise scattered data. */
  segmentBytes = 4096;
  readonly #server: FuseServer;
  #unique = 1n;

  constructor(server: FuseServer) {
    this.#server = server;
  }

  /** Sends one request. Reply and request are cut into segments; a 16-byte header segment leads, as Linux does. */
  call(opcode: number, nodeid: number, body: readonly Uint8Array[], replyBytes = 8192): Reply {
    const length = op.fuse_in_header.sizeof + body.reduce((sum, part) => sum + part.length, 0);
    const unique = this.#unique++;
    const header = fields(
      [4, length],
      [4, opcode],
      [8, unique],
      [8, nodeid],
      [4, this.uid],
      [4, this.gid],
      [4, 1],
      [4, 0],
    );
    const readable = [header, ...body.flatMap((part) => this.#cut(part))];
    const writable = [new Uint8Array(op.fuse_out_header.sizeof), ...this.#cut(new Uint8Array(replyBytes))];
    const written = this.#server.handle(readable, writable);
    return parseReply(writable, written, unique);
  }

  /** INIT with every capability there is, or those given. */
  init(flags = 0xffff_ffff, flags2 = 0xffff_ffff, version: readonly [number, number] = [7, 41]): Reply {
    const words: Field[] = [
      [4, version[0]],
      [4, version[1]],
      [4, 131072],
      [4, flags],
      [4, flags2],
    ];
    return this.call(op.FUSE_INIT, 0, [fields(...words), new Uint8Array(44)]);
  }

  lookup(parent: number, name: string): Reply {
    return this.call(op.FUSE_LOOKUP, parent, [cname(name)]);
  }

  /** The node id of a path below the root, looked up name by name; throws if there is none. */
  walk(path: string): number {
    let node = op.FUSE_ROOT_ID;
    for (const name of path.split('/')) {
      const reply = this.lookup(node, name);
      if (reply.error !== 0) throw new Error(`Cannot look up ${name} of ${path}: ${reply.error}`);
      node = nodeidOf(reply);
    }
    return node;
  }

  getattr(nodeid: number): Reply {
    return this.call(op.FUSE_GETATTR, nodeid, [fields([4, 0], [4, 0], [8, 0])]);
  }

  setattr(nodeid: number, valid: number, change: Partial<Record<keyof typeof op.fuse_setattr_in, number>>): Reply {
    const body = new Uint8Array(op.fuse_setattr_in.sizeof);
    const view = new DataView(body.buffer);
    view.setUint32(0, valid, true);
    for (const [field, value] of Object.entries(change)) {
      const at = op.fuse_setattr_in[field as keyof typeof op.fuse_setattr_in];
      view.setUint32(at, value % 2 ** 32, true);
      if (['fh', 'size', 'atime', 'mtime'].includes(field)) view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
    }
    return this.call(op.FUSE_SETATTR, nodeid, [body]);
  }

  open(nodeid: number, flags = 0): Reply {
    return this.call(op.FUSE_OPEN, nodeid, [fields([4, flags], [4, 0])]);
  }

  create(parent: number, name: string, mode = 0o644, flags = 0o2, umask = 0): Reply {
    return this.call(op.FUSE_CREATE, parent, [fields([4, flags], [4, mode], [4, umask], [4, 0]), cname(name)]);
  }

  mkdir(parent: number, name: string, mode = 0o755): Reply {
    return this.call(op.FUSE_MKDIR, parent, [fields([4, mode], [4, 0]), cname(name)]);
  }

  symlink(parent: number, name: string, target: string): Reply {
    return this.call(op.FUSE_SYMLINK, parent, [cname(name), cname(target)]);
  }

  read(nodeid: number, fh: bigint, offset: number | bigint, size: number): Reply {
    const body = fields([8, fh], [8, offset], [4, size], [4, 0], [8, 0], [4, 0], [4, 0]);
    return this.call(op.FUSE_READ, nodeid, [body], size);
  }

  write(nodeid: number, fh: bigint, offset: number | bigint, data: Uint8Array, writeFlags = 0): Reply {
    const body = fields([8, fh], [8, offset], [4, data.length], [4, writeFlags], [8, 0], [4, 0], [4, 0]);
    return this.call(op.FUSE_WRITE, nodeid, [body, data]);
  }

  release(nodeid: number, fh: bigint, opcode = op.FUSE_RELEASE): Reply {
    return this.call(opcode, nodeid, [fields([8, fh], [4, 0], [4, 0], [8, 0])]);
  }

  unlink(parent: number, name: string, opcode = op.FUSE_UNLINK): Reply {
    return this.call(opcode, parent, [cname(name)]);
  }

  rename(parent: number, name: string, newParent: number, newName: string, flags = 0): Reply {
    const body = fields([8, newParent], [4, flags], [4, 0]);
    return this.call(op.FUSE_RENAME2, parent, [body, cname(name), cname(newName)]);
  }

  link(nodeid: number, newParent: number, newName: string): Reply {
    return this.call(op.FUSE_LINK, newParent, [fields([8, nodeid]), cname(newName)]);
  }

  forget(nodeid: number, nlookup: number): void {
    this.call(op.FUSE_FORGET, nodeid, [fields([8, nlookup])]);
  }

  /** Lists a whole directory, `size` bytes of reply at a time. */
  list(nodeid: number, options: { plus?: boolean; size?: number } = {}): ListedName[] {
    const { plus = false, size = 4096 } = options;
    const opened = this.call(op.FUSE_OPENDIR, nodeid, [fields([4, 0], [4, 0])]);
    if (opened.error !== 0) throw new Error(`Cannot open directory ${nodeid}: ${opened.error}`);
    const fh = opened.view.getBigUint64(0, true);
    const names: ListedName[] = [];
    for (let off = 0n; ; ) {
      const part = parseDirents(this.readdir(nodeid, fh, off, { plus, size }).payload, plus);
      const last = part.at(-1);
      if (last === undefined) break;
      names.push(...part);
      off = last.off;
    }
    this.release(nodeid, fh, op.FUSE_RELEASEDIR);
    return names;
  }

  readdir(nodeid: number, fh: bigint, off: bigint, options: { plus: boolean; size: number }): Reply {
    const body = fields([8, fh], [8, off], [4, options.size], [4, 0], [8, 0], [4, 0], [4, 0]);
    return this.call(options.plus ? op.FUSE_READDIRPLUS : op.FUSE_READDIR, nodeid, [body], options.size);
  }

  #cut(bytes: Uint8Array): Uint8Array[] {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += this.segmentBytes) parts.push(bytes.subarray(at, at + this.segmentBytes));
    return parts;
  }
}

/** Bytes of little-endian fields, in order. */
export function fields(...list: readonly Field[]): Uint8Array {
  const bytes = new Uint8Array(list.reduce((sum, [width]) => sum + width, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [width, value] of list) {
    if (width === 4) view.setUint32(at, Number(value), true);
    else view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
    at += width;
  }
  return bytes;
}

/** A name as requests carry it: one byte per character, ended by NUL. */
export function cname(name: string): Uint8Array {
  return latin1(`${name}\0`);
}

export function nodeidOf(reply: Reply): number {
  return Number(reply.view.getBigUint64(op.fuse_entry_out.nodeid, true));
}

/** The handle in the reply of OPEN or OPENDIR; of CREATE with `at` 128. */
export function fhOf(reply: Reply, at = 0): bigint {
  return reply.view.getBigUint64(at, true);
}

/** An attribute of an entry (LOOKUP and the like), or with `at` 16 of GETATTR's reply. */
export function attrOf(reply: Reply, field: keyof typeof op.fuse_attr, at: number = op.fuse_entry_out.sizeof): number {
  const offset = at + op.fuse_attr[field];
  const wide = ['ino', 'size', 'blocks', 'atime', 'mtime', 'ctime'].includes(field);
  return wide ? Number(reply.view.getBigInt64(offset, true)) : reply.view.getUint32(offset, true);
}

/** Where attributes start in the reply of GETATTR and SETATTR. */
export const ATTR_OUT = op.fuse_attr_out.sizeof;

export function parseDirents(payload: Uint8Array, plus: boolean): ListedName[] {
  const names: ListedName[] = [];
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const lead = plus ? 128 : 0;
  for (let at = 0; at < payload.length; ) {
    const nodeid = plus ? Number(view.getBigUint64(at, true)) : 0;
    const dirent = at + lead;
    const length = view.getUint32(dirent + op.fuse_dirent.namelen, true);
    const start = dirent + op.fuse_dirent.sizeof;
    const name = String.fromCharCode(...payload.subarray(start, start + length));
    const off = view.getBigUint64(dirent + op.fuse_dirent.off, true);
    names.push({ name, nodeid, type: view.getUint32(dirent + op.fuse_dirent.type, true), off });
    at = lead + ((start + length - lead + 7) & ~7);
  }
  return names;
}

function parseReply(writable: readonly Uint8Array[], written: number, unique: bigint): Reply {
  const bytes = new Uint8Array(written);
  let at = 0;
  for (const segment of writable) {
    const count = Math.min(segment.length, written - at);
    bytes.set(segment.subarray(0, count), at);
    at += count;
  }
  if (written === 0) return { error: 0, payload: bytes, view: new DataView(bytes.buffer) };
  const header = new DataView(bytes.buffer);
  if (header.getUint32(0, true) !== written) throw new Error('Cannot parse reply: its length is wrong');
  if (header.getBigUint64(8, true) !== unique) throw new Error('Cannot parse reply: it answers another request');
  const payload = bytes.subarray(op.fuse_out_header.sizeof);
  return { error: header.getInt32(4, true), payload, view: new DataView(payload.buffer, payload.byteOffset) };
}
