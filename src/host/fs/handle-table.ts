import type { DirectoryStream } from './host-calls.ts';
import type { Inode } from './inode-table.ts';

/** A file or directory the guest has open. */
export interface Handle {
  readonly fd: number;
  readonly inode: Inode;
  /** Set for directories. */
  readonly stream: DirectoryStream | null;
  /** Opened to append. */
  readonly append: boolean;
  /** How the host was asked to open it: what opens it again in another process. */
  readonly flags: number;
}

/** An open file as plain data. */
export interface HandleState {
  readonly fh: number;
  readonly nodeid: number;
  readonly isDirectory: boolean;
  readonly append: boolean;
  readonly flags: number;
}

/** Open handles by the number the guest knows. A number is never used twice, so a stale one finds nothing. */
export class HandleTable {
  readonly #handles = new Map<number, Handle>();
  #next = 1;

  get size(): number {
    return this.#handles.size;
  }

  add(handle: Handle): number {
    const fh = this.#next++;
    this.#handles.set(fh, handle);
    return fh;
  }

  save(): { readonly next: number; readonly handles: readonly HandleState[] } {
    const handles = [...this.#handles].map(([fh, { inode, stream, append, flags }]) => {
      return { fh, nodeid: inode.nodeid, isDirectory: stream !== null, append, flags };
    });
    return { next: this.#next, handles };
  }

  /** @param open opens a file again; undefined: it is gone, and the guest's number finds nothing */
  restore({ next, handles }: ReturnType<HandleTable['save']>, open: (state: HandleState) => Handle | undefined): void {
    this.#next = next;
    for (const state of handles) {
      const handle = open(state);
      if (handle !== undefined) this.#handles.set(state.fh, handle);
    }
  }

  /** The handle if it is open and belongs to that node. */
  get(fh: number, nodeid: number): Handle | undefined {
    const handle = this.#handles.get(fh);
    return handle !== undefined && handle.inode.nodeid === nodeid ? handle : undefined;
  }

  remove(fh: number): void {
    this.#handles.delete(fh);
  }

  /** Empties the table; the caller closes what it gets. */
  *drain(): Generator<Handle> {
    for (const [fh, handle] of this.#handles) {
      this.#handles.delete(fh);
      yield handle;
    }
  }
}
