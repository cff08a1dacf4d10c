import { ENFILE, ENOENT, ESTALE } from '../../fuse/errno.ts';
import type { Attr, Name } from '../../fuse/file-system.ts';
import { FUSE_ROOT_ID } from '../../fuse/protocol.ts';
import { newAttr } from '../../fuse/records.ts';
import type { HostCalls, HostIdentity, Place } from './host-calls.ts';
import { O_PATH, S_IFMT } from './linux.ts';

/** One inode of the host that the guest knows. */
export interface Inode {
  readonly nodeid: number;
  readonly key: string;
  /** Type bits of st_mode: they never change. */
  readonly type: number;
  readonly dev: number;
  readonly mountId: number;
  /** A directory on another mount or device than the directory it was found in. */
  readonly submount: boolean;
  /** O_PATH descriptor, or -1 while it is closed to save descriptors. */
  fd: number;
  /** How often the guest was told of it and has not forgotten. */
  nlookup: number;
  /** Where it was last found, if it still has a name: what it can be opened by again. */
  parent: Inode | null;
  name: Name | null;
  /** Used since the last look for descriptors to close. */
  used: boolean;
  /** What the file looked like when it was opened last; empty if that says nothing about its content. */
  version: string;
}

/** An inode as plain data. */
export interface InodeState extends Omit<Inode, 'fd' | 'parent' | 'used' | 'version'> {
  /** Its node id. */
  readonly parent: number | null;
}

/** How deep a chain of closed directories may be to be opened again. */
const REOPEN_DEPTH_MAX = 1024;

/**
 * The inodes the guest knows, each held by an O_PATH descriptor: names may change under us, by the guest or by other
 * processes, but a descriptor stays with its inode, so nothing outside the shared directory is ever reached.
 *
 * Descriptors are limited. Beyond `softMax` the ones not used lately are closed, and opened again by their last known
 * place when needed; an inode that is no longer the same there is reported as stale. Inodes without a known name are
 * never closed. Closing happens only in `trim`, between requests, so no number is reused while one is being served.
 */
export class InodeTable {
  readonly #calls: HostCalls;
  readonly #softMax: number;
  readonly #hardMax: number;
  readonly #byId = new Map<number, Inode>();
  readonly #byKey = new Map<string, Inode>();
  /** Inodes with a descriptor, the one looked at longest ago first. */
  readonly #open = new Set<Inode>();
  readonly #attr: Attr = newAttr();
  readonly #identity: HostIdentity = { dev: 0, mountId: 0 };
  #nextId = FUSE_ROOT_ID + 1;

  constructor(calls: HostCalls, limits: { softMax: number; hardMax: number }) {
    this.#calls = calls;
    this.#softMax = limits.softMax;
    this.#hardMax = limits.hardMax;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Descriptors held. */
  get openCount(): number {
    return this.#open.size;
  }

  byId(nodeid: number): Inode | undefined {
    return this.#byId.get(nodeid);
  }

  byIdentity(attr: Attr, identity: HostIdentity): Inode | undefined {
    return this.#byKey.get(keyOf(attr, identity));
  }

  /** Puts the root in; it stays until `close`. */
  addRoot(fd: number, attr: Attr, identity: HostIdentity): void {
    this.#insert(FUSE_ROOT_ID, fd, attr, identity, { parent: null, name: null });
  }

  /** Takes over `fd` for an inode that is not in the table yet. */
  add(fd: number, attr: Attr, identity: HostIdentity, at: { parent: Inode | null; name: Name | null }): Inode {
    return this.#insert(this.#nextId++, fd, attr, identity, at);
  }

  #insert(
    nodeid: number,
    fd: number,
    attr: Attr,
    identity: HostIdentity,
    at: { parent: Inode | null; name: Name | null },
  ): Inode {
    const { parent, name } = at;
    const elsewhere = parent !== null && (parent.dev !== identity.dev || parent.mountId !== identity.mountId);
    const inode: Inode = {
      nodeid,
      key: keyOf(attr, identity),
      type: attr.mode & S_IFMT,
      dev: identity.dev,
      mountId: identity.mountId,
      submount: elsewhere,
      fd,
      nlookup: 0,
      parent,
      name: name === null ? null : name.slice(),
      used: true,
      version: '',
    };
    this.#byId.set(nodeid, inode);
    this.#byKey.set(inode.key, inode);
    this.#open.add(inode);
    return inode;
  }

  /** Records where an inode was seen. The name is copied only if it differs. */
  setPlace(inode: Inode, parent: Inode, name: Name): void {
    if (inode.nodeid === FUSE_ROOT_ID || inode === parent) return;
    inode.parent = parent;
    if (inode.name === null || !sameBytes(inode.name, name)) inode.name = name.slice();
  }

  /** The inode has lost this name: if it is the one we knew, only its descriptor leads to it from now on. */
  lostName(inode: Inode, parent: Inode, name: Name): void {
    if (inode.parent === parent && inode.name !== null && sameBytes(inode.name, name)) this.#clearPlace(inode);
  }

  #clearPlace(inode: Inode): void {
    inode.parent = null;
    inode.name = null;
  }

  forget(nodeid: number, nlookup: number): void {
    const inode = this.#byId.get(nodeid);
    if (inode === undefined || nodeid === FUSE_ROOT_ID) return;
    inode.nlookup -= nlookup;
    if (inode.nlookup <= 0) this.#drop(inode);
  }

  /** The inode's descriptor, opened again if need be; or -errno. */
  fd(inode: Inode): number {
    inode.used = true;
    return inode.fd >= 0 ? inode.fd : this.#reopenChain(inode);
  }

  /** The descriptor of a node the guest names; or -errno. */
  fdOf(nodeid: number): number {
    const inode = this.#byId.get(nodeid);
    return inode === undefined ? -ENOENT : this.fd(inode);
  }

  /** Where the inode was last found, as an open directory and a name; null if unknown. */
  placeOf(inode: Inode): Place | null {
    if (inode.parent === null || inode.name === null) return null;
    const dir = this.fd(inode.parent);
    return dir < 0 ? null : { dir, name: inode.name };
  }

  /** Whether one more descriptor may be held, counting `others` that are not inodes. */
  hasRoom(others: number): boolean {
    return this.#open.size + others < this.#hardMax;
  }

  /**
   * Closes descriptors beyond the limit; with `under`, more of them, because the host has run out.
   * Only between requests: descriptors handed out before are no longer good.
   */
  trim(under = this.#softMax): void {
    let looks = this.#open.size > under ? this.#open.size * 2 : 0;
    for (const inode of this.#open) {
      if (looks-- <= 0 || this.#open.size <= under) return;
      if (inode.parent === null || inode.used) {
        inode.used = false;
        this.#open.delete(inode);
        this.#open.add(inode);
      } else {
        this.#close(inode);
      }
    }
  }

  /** The host refused a descriptor: closes half of those held. */
  relieve(): void {
    this.trim(this.#open.size >> 1);
  }

  /** Every inode but the root, as plain data: where it was found, and what it is. */
  save(): { readonly nextId: number; readonly inodes: readonly InodeState[] } {
    const known = [...this.#byId.values()].filter(({ nodeid }) => nodeid !== FUSE_ROOT_ID);
    const inodes = known.map(({ fd: _, used: __, version: ___, parent, ...inode }) => {
      // A directory that the guest has forgotten leads nowhere any more.
      const isKnown = parent !== null && this.#byId.get(parent.nodeid) === parent;
      return { ...inode, parent: isKnown ? parent.nodeid : null };
    });
    return { nextId: this.#nextId, inodes };
  }

  /** Puts saved inodes in, all closed: each is opened by its place when it is used, if it is still the same inode. */
  restore({ nextId, inodes }: ReturnType<InodeTable['save']>): void {
    this.reset();
    for (const state of inodes) {
      // A name that leads elsewhere would leave the shared directory.
      const name = state.name !== null && isOneName(state.name) ? state.name : null;
      const inode: Inode = { ...state, name, parent: null, fd: -1, used: false, version: '' };
      this.#byId.set(inode.nodeid, inode);
      this.#byKey.set(inode.key, inode);
    }
    for (const { nodeid, parent } of inodes) {
      const inode = this.#byId.get(nodeid);
      if (inode !== undefined && parent !== null) inode.parent = this.#byId.get(parent) ?? null;
    }
    this.#nextId = nextId;
  }

  /** Drops everything but the root. */
  reset(): void {
    for (const inode of this.#byId.values()) {
      if (inode.nodeid !== FUSE_ROOT_ID) this.#drop(inode);
    }
  }

  /** Drops the root too; the table is of no more use. */
  close(): void {
    for (const inode of this.#byId.values()) this.#drop(inode);
  }

  #drop(inode: Inode): void {
    this.#byId.delete(inode.nodeid);
    if (this.#byKey.get(inode.key) === inode) this.#byKey.delete(inode.key);
    this.#close(inode);
    this.#clearPlace(inode);
  }

  #close(inode: Inode): void {
    if (inode.fd < 0) return;
    this.#calls.close(inode.fd);
    inode.fd = -1;
    this.#open.delete(inode);
  }

  /** Opens the closed directories above an inode from the top down, then the inode; keeps them if there is room. */
  #reopenChain(inode: Inode): number {
    const chain: Inode[] = [];
    let at: Inode | null = inode;
    while (at !== null && at.fd < 0) {
      if (chain.length === REOPEN_DEPTH_MAX) return -ENFILE;
      chain.push(at);
      at = at.parent;
    }
    if (at === null) return -ESTALE;
    const keep = this.#open.size + chain.length <= this.#hardMax;
    let fd = at.fd;
    let passing = -1;
    for (let next = chain.pop(); next !== undefined; next = chain.pop()) {
      fd = this.#openAgain(next, fd);
      if (passing >= 0) this.#calls.close(passing);
      if (fd < 0) return fd;
      passing = keep || next === inode ? -1 : fd;
      if (passing < 0) this.#setFd(next, fd);
    }
    return fd;
  }

  /** A descriptor for what is at the inode's last known place, if that is still the inode. */
  #openAgain(inode: Inode, dir: number): number {
    if (inode.name === null) return -ESTALE;
    const fd = this.#calls.openAt(dir, inode.name, O_PATH, 0);
    if (fd < 0) return fd === -ENOENT ? -ESTALE : fd;
    const error = this.#calls.stat(fd, this.#attr, this.#identity);
    const same = error === 0 && keyOf(this.#attr, this.#identity) === inode.key;
    if (same && (this.#attr.mode & S_IFMT) === inode.type) return fd;
    this.#calls.close(fd);
    return -ESTALE;
  }

  #setFd(inode: Inode, fd: number): void {
    inode.fd = fd;
    inode.used = true;
    this.#open.add(inode);
  }
}

function keyOf(attr: Attr, identity: HostIdentity): string {
  return `${attr.inoHigh}:${attr.inoLow}:${identity.dev}:${identity.mountId}`;
}

/** One component of a path that stays below its directory. */
function isOneName(name: Uint8Array): boolean {
  const dots = name.every((byte) => byte === 0x2e) && name.length <= 2;
  return !dots && !name.includes(0x2f) && !name.includes(0);
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false;
  return true;
}
