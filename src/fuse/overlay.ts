import { type Attr, FOREVER_S } from './file-system.ts';
import { newAttr } from './records.ts';

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
/** Above any number a backing file system hands out, and exact in a double. */
const FIRST_NODEID = 2 ** 48;
const FIRST_INO = 0x4b52_0000;

/** What is laid over a share. Type bits in `mode` are ignored. */
export interface OverlayItem {
  /** From the share's root, with or without a slash in front. */
  readonly path: string;
  readonly mode: number;
  /** A file's bytes, not copied; absent for a directory. */
  readonly data?: Uint8Array;
  /** The name disappears when the guest has found it once; who has found it keeps it until closed. */
  readonly oneShot?: boolean;
}

/** A file or directory that exists only in the overlay. */
export interface VirtualNode {
  readonly nodeid: number;
  readonly attr: Attr;
  /** Null for a directory. */
  readonly data: Uint8Array | null;
  /** By name in bytes, one character each; null for a file. */
  readonly children: Map<string, VirtualNode> | null;
  readonly validS: number;
  readonly oneShot: boolean;
}

/** An item cannot be laid over the share. The code is what the C interface answers. */
export class OverlayError extends Error {
  override readonly name = 'OverlayError';
  readonly code: 'EINVAL' | 'ENOENT' | 'ENOTDIR';
  constructor(code: 'EINVAL' | 'ENOENT' | 'ENOTDIR', message: string) {
    super(message);
    this.code = code;
  }
}

/** The virtual names and nodes of one share. Items may be added until the guest mounts. */
export class Overlay {
  /** What lies directly in the share's root. */
  readonly root = new Map<string, VirtualNode>();
  readonly #nodes: VirtualNode[] = [];

  /** @throws {OverlayError} EINVAL no name, ENOENT no virtual parent, ENOTDIR the parent is a file */
  add(item: OverlayItem): void {
    const parts = item.path.replace(/^\//, '').split('/');
    const last = parts.pop();
    if (!last || last === '.' || last === '..' || last.includes('\0')) {
      throw new OverlayError('EINVAL', `Cannot add ${JSON.stringify(item.path)} to a share: it names nothing`);
    }
    const parent = this.#parent(item.path, parts);
    // Of two items with one name the later wins.
    parent.set(byteString(new TextEncoder().encode(last)), this.#create(item));
  }

  byId(nodeid: number): VirtualNode | undefined {
    return nodeid >= FIRST_NODEID ? this.#nodes[nodeid - FIRST_NODEID] : undefined;
  }

  #parent(path: string, parts: readonly string[]): Map<string, VirtualNode> {
    let names = this.root;
    for (const part of parts) {
      const node = names.get(byteString(new TextEncoder().encode(part)));
      if (node === undefined) throw new OverlayError('ENOENT', `Cannot add ${path} to a share: no ${part} there`);
      if (node.children === null) {
        throw new OverlayError('ENOTDIR', `Cannot add ${path} to a share: ${part} is a file`);
      }
      names = node.children;
    }
    return names;
  }

  #create({
    mode,
    data = null,
    oneShot = false,
  }: Omit<OverlayItem, 'data'> & { data?: Uint8Array | null }): VirtualNode {
    const index = this.#nodes.length;
    const size = data?.length ?? 0;
    const attr: Attr = {
      ...newAttr(),
      inoLow: FIRST_INO + index,
      mode: (mode & 0o7777) | (data === null ? S_IFDIR : S_IFREG),
      nlink: data === null ? 2 : 1,
      size,
      blocks: Math.ceil(size / 512),
    };
    const children = data === null ? new Map<string, VirtualNode>() : null;
    const validS = oneShot ? 0 : FOREVER_S;
    const node = { nodeid: FIRST_NODEID + index, attr, data, children, validS, oneShot };
    this.#nodes.push(node);
    return node;
  }
}

/** Names are bytes; as map keys they are strings of one character per byte. */
export function byteString(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
