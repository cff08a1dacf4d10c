import { EACCES, EBADF, EEXIST, EINVAL, EISDIR, ENODATA, ENOENT, ENOTDIR, ENXIO, EPERM, EXDEV } from './errno.ts';
import type {
  AttrChange,
  AttrReply,
  Caller,
  Dirent,
  DirentOffset,
  DirentSink,
  Entry,
  FilePosition,
  FileSystem,
  Name,
  NewNode,
  OpenReply,
  StatfsReply,
} from './file-system.ts';
import { byteString, type Overlay, type VirtualNode } from './overlay.ts';
import { FUSE_ROOT_ID } from './protocol.ts';

const O_ACCMODE = 3;
const W_OK = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const DT_DIR = 4;
const DT_REG = 8;

/**
 * Lays virtual files and directories over a file system: an exact name match wins over what lies below.
 *
 * @param wallMs the time that a one-shot file carries when it is found, so that it can set the guest's clock
 */
export function overlayFs(below: FileSystem, overlay: Overlay, wallMs: () => number = () => 0): FileSystem {
  return new OverlayFs(below, overlay, wallMs);
}

/**
 * Names in virtual directories are listed, names laid over a directory of the share are not: who needs them knows
 * them. All that a guest cannot do to a virtual node is refused the same way whether or not the share is writable.
 */
interface OverlayFsState {
  readonly version: 1;
  /** Node ids of the one-shot names that were found. */
  readonly spent: readonly number[];
  readonly below: unknown;
}

class OverlayFs implements FileSystem {
  readonly wants: bigint;
  readonly #below: FileSystem;
  readonly #overlay: Overlay;
  readonly #wallMs: () => number;
  /** One-shot names that were found in this mount. */
  readonly #spent = new Set<VirtualNode>();

  constructor(below: FileSystem, overlay: Overlay, wallMs: () => number) {
    this.wants = below.wants;
    this.#below = below;
    this.#overlay = overlay;
    this.#wallMs = wallMs;
  }

  init(flags: bigint): void {
    this.#spent.clear();
    this.#below.init(flags);
  }
  destroy(): void {
    this.#spent.clear();
    this.#below.destroy();
  }
  close(): void {
    this.#below.close();
  }

  save(): OverlayFsState {
    return { version: 1, spent: [...this.#spent].map(({ nodeid }) => nodeid), below: this.#below.save?.() };
  }
  restore(state: unknown): void {
    const { spent, below } = state as OverlayFsState;
    this.#spent.clear();
    for (const nodeid of spent) {
      const node = this.#overlay.byId(nodeid);
      if (node !== undefined) this.#spent.add(node);
    }
    this.#below.restore?.(below);
  }

  lookup(parent: number, name: Name, entry: Entry): number {
    const node = this.#find(parent, name);
    if (node === undefined) return this.#isVirtual(parent) ? -ENOENT : this.#below.lookup(parent, name, entry);
    if (node.oneShot) this.#spent.add(node);
    this.#fillAttr(node, entry);
    entry.nodeid = node.nodeid;
    entry.entryValidS = node.validS;
    return 0;
  }
  forget(nodeid: number, nlookup: number): void {
    if (!this.#isVirtual(nodeid)) this.#below.forget(nodeid, nlookup);
  }

  getattr(nodeid: number, fh: number, reply: AttrReply): number {
    const node = this.#overlay.byId(nodeid);
    if (node === undefined) return this.#below.getattr(nodeid, fh, reply);
    this.#fillAttr(node, reply);
    return 0;
  }
  setattr(nodeid: number, fh: number, change: AttrChange, reply: AttrReply): number {
    return this.#isVirtual(nodeid) ? -EPERM : this.#below.setattr(nodeid, fh, change, reply);
  }
  access(nodeid: number, mask: number, caller: Caller): number {
    if (!this.#isVirtual(nodeid)) return this.#below.access(nodeid, mask, caller);
    return mask & W_OK ? -EACCES : 0;
  }
  readlink(nodeid: number, into: Uint8Array): number {
    return this.#isVirtual(nodeid) ? -EINVAL : this.#below.readlink(nodeid, into);
  }

  symlink(parent: number, name: Name, target: Uint8Array, caller: Caller, entry: Entry): number {
    const refused = this.#refuseNew(parent, name);
    return refused < 0 ? refused : this.#below.symlink(parent, name, target, caller, entry);
  }
  mknod(parent: number, name: Name, node: NewNode, caller: Caller, entry: Entry): number {
    const refused = this.#refuseNew(parent, name);
    return refused < 0 ? refused : this.#below.mknod(parent, name, node, caller, entry);
  }
  mkdir(parent: number, name: Name, node: NewNode, caller: Caller, entry: Entry): number {
    const refused = this.#refuseNew(parent, name);
    return refused < 0 ? refused : this.#below.mkdir(parent, name, node, caller, entry);
  }
  link(nodeid: number, newParent: number, newName: Name, entry: Entry): number {
    if (this.#isVirtual(nodeid)) return -EPERM;
    const refused = this.#refuseNew(newParent, newName);
    return refused < 0 ? refused : this.#below.link(nodeid, newParent, newName, entry);
  }
  unlink(parent: number, name: Name): number {
    return this.#touches(parent, name) ? -EPERM : this.#below.unlink(parent, name);
  }
  rmdir(parent: number, name: Name): number {
    return this.#touches(parent, name) ? -EPERM : this.#below.rmdir(parent, name);
  }
  rename(parent: number, name: Name, newParent: number, newName: Name, flags: number): number {
    if (this.#touches(parent, name) || this.#touches(newParent, newName)) return -EPERM;
    return this.#below.rename(parent, name, newParent, newName, flags);
  }

  open(nodeid: number, flags: number, killPriv: boolean, reply: OpenReply): number {
    const node = this.#overlay.byId(nodeid);
    if (node === undefined) return this.#below.open(nodeid, flags, killPriv, reply);
    if (node.data === null) return -EISDIR;
    return (flags & O_ACCMODE) !== 0 ? -EACCES : openVirtual(reply);
  }
  create(
    parent: number,
    name: Name,
    node: NewNode,
    flags: number,
    killPriv: boolean,
    caller: Caller,
    entry: Entry,
    reply: OpenReply,
  ): number {
    const refused = this.#refuseNew(parent, name);
    return refused < 0 ? refused : this.#below.create(parent, name, node, flags, killPriv, caller, entry, reply);
  }
  tmpfile(parent: number, node: NewNode, flags: number, caller: Caller, entry: Entry, reply: OpenReply): number {
    return this.#isVirtual(parent) ? -EPERM : this.#below.tmpfile(parent, node, flags, caller, entry, reply);
  }
  read(nodeid: number, fh: number, into: readonly Uint8Array[], offset: number): number {
    const node = this.#overlay.byId(nodeid);
    if (node === undefined) return this.#below.read(nodeid, fh, into, offset);
    return node.data === null ? -EISDIR : copyOut(node.data, into, offset);
  }
  write(nodeid: number, fh: number, from: readonly Uint8Array[], offset: number, flags: number): number {
    return this.#isVirtual(nodeid) ? -EPERM : this.#below.write(nodeid, fh, from, offset, flags);
  }
  flush(nodeid: number, fh: number): number {
    return this.#isVirtual(nodeid) ? 0 : this.#below.flush(nodeid, fh);
  }
  release(nodeid: number, fh: number): number {
    return this.#isVirtual(nodeid) ? 0 : this.#below.release(nodeid, fh);
  }
  fsync(nodeid: number, fh: number, dataOnly: boolean): number {
    return this.#isVirtual(nodeid) ? 0 : this.#below.fsync(nodeid, fh, dataOnly);
  }
  fallocate(nodeid: number, fh: number, mode: number, range: { offset: number; length: number }): number {
    return this.#isVirtual(nodeid) ? -EPERM : this.#below.fallocate(nodeid, fh, mode, range);
  }
  lseek(nodeid: number, fh: number, offset: number, whence: number): number {
    const node = this.#overlay.byId(nodeid);
    if (node === undefined) return this.#below.lseek(nodeid, fh, offset, whence);
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return -EINVAL;
    if (offset >= node.attr.size) return -ENXIO;
    return whence === SEEK_DATA ? offset : node.attr.size;
  }
  copyFileRange(from: FilePosition, to: FilePosition, length: number): number {
    if (this.#isVirtual(from.nodeid) || this.#isVirtual(to.nodeid)) return -EXDEV;
    return this.#below.copyFileRange(from, to, length);
  }

  opendir(nodeid: number, flags: number, reply: OpenReply): number {
    const node = this.#overlay.byId(nodeid);
    if (node === undefined) return this.#below.opendir(nodeid, flags, reply);
    return node.children === null ? -ENOTDIR : openVirtual(reply);
  }
  readdir(nodeid: number, fh: number, offset: DirentOffset, sink: DirentSink): number {
    const node = this.#overlay.byId(nodeid);
    if (node !== undefined) {
      return node.children === null ? -EBADF : list(node, node.children, this.#spent, offset, sink);
    }
    return this.#below.readdir(nodeid, fh, offset, sink.plus ? this.#withoutHidden(nodeid, sink) : sink);
  }
  releasedir(nodeid: number, fh: number): number {
    return this.#isVirtual(nodeid) ? 0 : this.#below.releasedir(nodeid, fh);
  }
  fsyncdir(nodeid: number, fh: number, dataOnly: boolean): number {
    return this.#isVirtual(nodeid) ? 0 : this.#below.fsyncdir(nodeid, fh, dataOnly);
  }
  statfs(nodeid: number, reply: StatfsReply): number {
    return this.#below.statfs(this.#isVirtual(nodeid) ? FUSE_ROOT_ID : nodeid, reply);
  }
  syncfs(nodeid: number): number {
    return this.#isVirtual(nodeid) ? 0 : this.#below.syncfs(nodeid);
  }

  setxattr(nodeid: number, name: Name, value: Uint8Array, flags: number): number {
    return this.#isVirtual(nodeid) ? -EPERM : this.#below.setxattr(nodeid, name, value, flags);
  }
  getxattr(nodeid: number, name: Name, into: Uint8Array): number {
    return this.#isVirtual(nodeid) ? -ENODATA : this.#below.getxattr(nodeid, name, into);
  }
  listxattr(nodeid: number, into: Uint8Array): number {
    return this.#isVirtual(nodeid) ? 0 : this.#below.listxattr(nodeid, into);
  }
  removexattr(nodeid: number, name: Name): number {
    return this.#isVirtual(nodeid) ? -EPERM : this.#below.removexattr(nodeid, name);
  }

  #isVirtual(nodeid: number): boolean {
    return this.#overlay.byId(nodeid) !== undefined;
  }

  #find(parent: number, name: Name): VirtualNode | undefined {
    const names = parent === FUSE_ROOT_ID ? this.#overlay.root : this.#overlay.byId(parent)?.children;
    // Most lookups are below real directories: they cost no string.
    if (names === undefined || names === null || names.size === 0) return undefined;
    const node = names.get(byteString(name));
    return node !== undefined && !this.#spent.has(node) ? node : undefined;
  }

  /** Whether a change of this name would be a change of the overlay. */
  #touches(parent: number, name: Name): boolean {
    return this.#isVirtual(parent) || this.#find(parent, name) !== undefined;
  }

  /** New names: taken ones exist, and a virtual directory takes no more. */
  #refuseNew(parent: number, name: Name): number {
    if (this.#find(parent, name) !== undefined) return -EEXIST;
    return this.#isVirtual(parent) ? -EPERM : 0;
  }

  /** READDIRPLUS looks entries up below: those with a name of ours must not replace what our lookup answers. */
  #withoutHidden(nodeid: number, sink: DirentSink): DirentSink {
    return {
      plus: sink.plus,
      fits: (nameBytes) => sink.fits(nameBytes),
      add: (dirent, entry) => {
        const hidden = entry !== null && this.#find(nodeid, dirent.name) !== undefined;
        if (hidden) this.#below.forget(entry.nodeid, 1);
        sink.add(dirent, hidden ? null : entry);
      },
    };
  }

  #fillAttr(node: VirtualNode, reply: AttrReply): void {
    Object.assign(reply.attr, node.attr);
    reply.attrValidS = node.validS;
    if (!node.oneShot) return;
    const wallMs = this.#wallMs();
    reply.attr.mtime = Math.floor(wallMs / 1000);
    reply.attr.mtimeNs = Math.floor((wallMs % 1000) * 1e6);
  }
}

function openVirtual(reply: OpenReply): number {
  reply.fh = 0;
  reply.openFlags = 0;
  return 0;
}

function copyOut(data: Uint8Array, into: readonly Uint8Array[], offset: number): number {
  let at = Math.min(offset, data.length);
  const start = at;
  for (const buffer of into) {
    const count = Math.min(buffer.length, data.length - at);
    buffer.set(data.subarray(at, at + count));
    at += count;
  }
  return at - start;
}

/** Lists a virtual directory; a cookie is an index. */
function list(
  node: VirtualNode,
  children: ReadonlyMap<string, VirtualNode>,
  spent: ReadonlySet<VirtualNode>,
  offset: DirentOffset,
  sink: DirentSink,
): number {
  const names: [string, VirtualNode][] = [['.', node], ['..', node], ...children];
  const start = offset.high === 0 ? offset.low : names.length;
  for (let index = start; index < names.length; index++) {
    const [text, child] = names[index] as [string, VirtualNode];
    if (spent.has(child)) continue;
    const name = Uint8Array.from(text, (character) => character.charCodeAt(0));
    if (!sink.fits(name.length)) return 0;
    sink.add(direntOf(child, name, index + 1), null);
  }
  return 0;
}

function direntOf(node: VirtualNode, name: Uint8Array, off: number): Dirent {
  const type = node.data === null ? DT_DIR : DT_REG;
  return { inoLow: node.attr.inoLow, inoHigh: 0, offLow: off, offHigh: 0, type, name };
}
