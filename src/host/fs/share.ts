import { readFileSync, statfsSync } from 'node:fs';
import { EMFILE, ENFILE, ENOENT } from '../../fuse/errno.ts';
import type { Attr, Entry, Name } from '../../fuse/file-system.ts';
import { FUSE_ATTR_SUBMOUNT, FUSE_SUBMOUNTS } from '../../fuse/protocol.ts';
import { newAttr } from '../../fuse/records.ts';
import { HandleTable } from './handle-table.ts';
import type { HostCalls, HostIdentity } from './host-calls.ts';
import { type Inode, InodeTable } from './inode-table.ts';
import { O_PATH, PROC_SUPER_MAGIC } from './linux.ts';
import { procPath } from './node-calls.ts';

/** How long the guest trusts names and attributes of host files: others may change them meanwhile. */
const HOST_VALID_S = 5;
/** A guest that never forgets costs memory; this is about a gigabyte's worth, and far above what Linux keeps. */
const INODES_MAX = 4 << 20;

/** Everything the parts of the passthrough file system have in common. */
export class Share {
  readonly calls: HostCalls;
  readonly inodes: InodeTable;
  readonly handles = new HandleTable();
  /** Scratch for looking at inodes that are not part of the answer. */
  readonly attr: Attr = newAttr();
  readonly identity: HostIdentity = { dev: 0, mountId: 0 };
  /** Capabilities agreed with the guest. */
  flags = 0n;
  rootDev = 0;
  /** Of this process; asked once, because asking sets it for a moment. */
  readonly umask = process.umask();

  readonly wallMs: () => number;
  #rootIsProc: boolean | undefined = undefined;

  constructor(calls: HostCalls, descriptorsMax: number, wallMs: () => number) {
    this.calls = calls;
    this.wallMs = wallMs;
    this.inodes = new InodeTable(calls, { softMax: descriptorsMax >> 1, hardMax: descriptorsMax });
  }

  /** Finds a name and tells the guest of it: one more lookup for the guest to forget. */
  lookup(parent: Inode, name: Name, entry: Entry): number {
    const dir = this.inodes.fd(parent);
    if (dir < 0) return dir;
    const error = this.calls.statAt(dir, name, entry.attr, this.identity);
    if (error < 0) return error;
    const known = this.inodes.byIdentity(entry.attr, this.identity);
    if (known === undefined) return this.#adopt(parent, name, dir, entry);
    this.inodes.setPlace(known, parent, name);
    return this.answer(known, entry);
  }

  /** Like lookup, for what an open descriptor leads to: the entry is that very inode. */
  lookupOpen(fd: number, at: { parent: Inode; name: Name } | null, entry: Entry): number {
    const held = this.calls.reopen(fd, O_PATH, 0);
    return held < 0 ? held : this.#hold(held, at?.parent ?? null, at?.name ?? null, entry);
  }

  /** Fills the entry for an inode whose attributes are in it already. */
  answer(inode: Inode, entry: Entry): number {
    inode.nlookup++;
    entry.nodeid = inode.nodeid;
    entry.entryValidS = HOST_VALID_S;
    entry.attrValidS = HOST_VALID_S;
    this.finishAttr(inode, entry.attr);
    return 0;
  }

  /** Attributes of a node through `fd`, which leads to it. */
  getattr(inode: Inode, fd: number, reply: { attrValidS: number; readonly attr: Attr }): number {
    const error = this.calls.stat(fd, reply.attr, this.identity);
    if (error < 0) return error;
    reply.attrValidS = HOST_VALID_S;
    this.finishAttr(inode, reply.attr);
    return 0;
  }

  finishAttr(inode: Inode, attr: Attr): void {
    const split = (this.flags & FUSE_SUBMOUNTS) !== 0n;
    if (split && inode.submount) attr.flags = FUSE_ATTR_SUBMOUNT;
    // Without submounts the guest sees one device: numbers of different host devices must not look like hard links.
    if (!split && inode.dev !== this.rootDev) attr.inoHigh = (attr.inoHigh ^ (inode.dev & 0x7fff_ffff)) >>> 0;
  }

  hasRoom(): boolean {
    return this.inodes.hasRoom(this.handles.size);
  }

  /** Runs a request that may open descriptors; when the host has none left, closes idle ones and tries once more. */
  withDescriptors(request: () => number): number {
    this.inodes.trim();
    const result = request();
    if (result !== -EMFILE && result !== -ENFILE) return result;
    this.inodes.relieve();
    return request();
  }

  #adopt(parent: Inode, name: Name, dir: number, entry: Entry): number {
    if (this.inodes.size >= INODES_MAX || !this.hasRoom()) return -ENFILE;
    const fd = this.calls.openAt(dir, name, O_PATH, 0);
    return fd < 0 ? fd : this.#hold(fd, parent, name, entry);
  }

  #hold(fd: number, parent: Inode | null, name: Name | null, entry: Entry): number {
    // Asked again: the name may lead to another inode by now, and only the descriptor says which one we hold.
    const error = this.calls.stat(fd, entry.attr, this.identity);
    if (error < 0) {
      this.calls.close(fd);
      return error;
    }
    const known = this.inodes.byIdentity(entry.attr, this.identity);
    if (known !== undefined) {
      this.calls.close(fd);
      if (parent !== null && name !== null) this.inodes.setPlace(known, parent, name);
      return this.answer(known, entry);
    }
    return this.answer(this.inodes.add(fd, entry.attr, this.identity, { parent, name }), entry);
  }

  /** Forgets all that a guest knew; the root stays. */
  reset(): void {
    for (const handle of this.handles.drain()) {
      handle.stream?.close();
      this.calls.close(handle.fd);
    }
    this.inodes.reset();
  }

  close(): void {
    this.reset();
    this.inodes.close();
  }

  /**
   * Whether an inode is a file of procfs. Who shares `/` shares files, not processes: through /proc/<pid>/mem a guest
   * would read, or rewrite, this very process and the other guests in it.
   */
  isProcFile(inode: Inode, fd: number): boolean {
    if (inode.dev !== this.rootDev) return fileSystemType(fd) === PROC_SUPER_MAGIC;
    // The root is held open, so that its device number cannot become another file system's, as others can.
    this.#rootIsProc ??= fileSystemType(fd) === PROC_SUPER_MAGIC;
    return this.#rootIsProc;
  }

  /** What the guest knows under a name, if anything. */
  known(parent: Inode, name: Name): Inode | undefined {
    const dir = this.inodes.fd(parent);
    if (dir < 0 || this.calls.statAt(dir, name, this.attr, this.identity) < 0) return undefined;
    return this.inodes.byIdentity(this.attr, this.identity);
  }

  /** The guest's directory node; ENOENT for one it has no right to name. */
  node(nodeid: number): Inode | undefined {
    return this.inodes.byId(nodeid);
  }
}

/** An unknown type counts as procfs: the file stays closed. */
function fileSystemType(fd: number): number {
  try {
    return statfsSync(procPath(fd)).type;
  } catch {
    return PROC_SUPER_MAGIC;
  }
}

export const NO_NODE = -ENOENT;

/** A quarter of what this process may open: other virtual machines and files want their part. */
export function defaultDescriptorsMax(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(readLimits())?.[1];
  return Math.min(Math.max(Number(limit ?? 1024) >> 2, 64), 65536);
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return '';
  }
}
