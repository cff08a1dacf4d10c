import * as op from '../fuse/protocol.ts';
import { fields } from './fuse-client.ts';
import type { Random } from './random.ts';

const NAMES = ['a', 'b', 'dir', 'link', 'out', 'canary', 'x'.repeat(255)];
const HOSTILE_NAMES = [
  '',
  '.',
  '..',
  '../out',
  'dir/../..',
  '/etc',
  'x'.repeat(256),
  'x'.repeat(1025),
  '\xff\xfe',
  'a\0b',
];
const WORDS = [
  0, 1, 2, 3, 7, 0o100, 0o2000, 0o1000, 0o200000, 0o20200002, 0o644, 0o100644, 0o010644, 0o140644, 0o170000,
];
const EDGES = [0n, 1n, 4095n, 4096n, 1n << 31n, (1n << 53n) - 1n, 1n << 53n, 1n << 63n, (1n << 64n) - 1n];

/** Operations that name one or two entries after a fixed structure, in words: [structure, names]. */
const NAMED: Readonly<Record<number, readonly [words: number, names: number]>> = {
  [op.FUSE_LOOKUP]: [0, 1],
  [op.FUSE_SYMLINK]: [0, 2],
  [op.FUSE_MKNOD]: [4, 1],
  [op.FUSE_MKDIR]: [2, 1],
  [op.FUSE_UNLINK]: [0, 1],
  [op.FUSE_RMDIR]: [0, 1],
  [op.FUSE_RENAME]: [2, 2],
  [op.FUSE_RENAME2]: [4, 2],
  [op.FUSE_LINK]: [2, 1],
  [op.FUSE_CREATE]: [4, 1],
  [op.FUSE_TMPFILE]: [4, 1],
  [op.FUSE_SETXATTR]: [2, 2],
  [op.FUSE_GETXATTR]: [2, 1],
  [op.FUSE_REMOVEXATTR]: [0, 1],
};
const OPCODES = Array.from({ length: 56 }, (_, opcode) => opcode).filter((opcode) => opcode !== op.FUSE_FALLOCATE);
const COMMON = [op.FUSE_LOOKUP, op.FUSE_OPEN, op.FUSE_READ, op.FUSE_WRITE, op.FUSE_OPENDIR, op.FUSE_READDIRPLUS];

/**
 * Requests of a guest that knows the protocol and abuses it: right, nearly right and absurd. It remembers node ids and
 * handles from replies, so that it gets far. FALLOCATE is left out: absurd lengths would fill the host's disk.
 */
export class FuseMessages {
  readonly #random: Random;
  readonly #nodes: bigint[] = [1n];
  readonly #handles: bigint[] = [0n];
  #opcode = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  next(): Uint8Array {
    const random = this.#random;
    this.#opcode = random.oneIn(2) ? random.pick(COMMON) : random.pick(OPCODES);
    // An end to everything is worth little more often.
    if (this.#opcode === op.FUSE_DESTROY && !random.oneIn(10)) this.#opcode = op.FUSE_LOOKUP;
    const body = this.#body();
    const length = op.fuse_in_header.sizeof + body.length;
    const claimed = random.oneIn(20) ? random.pick([0, 39, length - 1, length + 1, 0xffff_ffff]) : length;
    const owner = random.pick([0, 0, 0, 1000, 0xffff_ffff]);
    const header = fields(
      [4, claimed],
      [4, this.#opcode],
      [8, random.u32()],
      [8, this.#node()],
      [4, owner],
      [4, owner],
      [4, 1],
      [4, 0],
    );
    const message = new Uint8Array(length);
    message.set(header);
    message.set(body, header.length);
    return random.oneIn(30) ? message.subarray(0, random.below(length + 1)) : message;
  }

  /** Learns from the reply to the last request. */
  learn(reply: Uint8Array): void {
    if (this.#opcode === op.FUSE_DESTROY && reply.length === op.fuse_out_header.sizeof) this.#forgetAll();
    if (reply.length <= op.fuse_out_header.sizeof) return;
    const view = new DataView(reply.buffer, reply.byteOffset + op.fuse_out_header.sizeof);
    if (view.byteLength < 8) return;
    const first = view.getBigUint64(0, true);
    if (this.#opcode === op.FUSE_OPEN || this.#opcode === op.FUSE_OPENDIR) this.#remember(this.#handles, first);
    else if (NAMED[this.#opcode] !== undefined && reply.length >= 144) this.#remember(this.#nodes, first);
    if (this.#opcode === op.FUSE_CREATE && reply.length >= 160) {
      this.#remember(this.#handles, view.getBigUint64(128, true));
    }
  }

  #forgetAll(): void {
    this.#nodes.length = 1;
    this.#handles.length = 1;
  }

  #remember(pool: bigint[], value: bigint): void {
    if (pool.length >= 64) pool.splice(1 + this.#random.below(pool.length - 1), 1);
    pool.push(value);
  }

  #node(): bigint {
    const random = this.#random;
    if (random.oneIn(15)) return random.pick(EDGES);
    return random.oneIn(3) ? 1n : random.pick(this.#nodes);
  }

  #body(): Uint8Array {
    const named = NAMED[this.#opcode];
    if (named === undefined) return this.#structure();
    const [words, names] = named;
    const structure = new Uint8Array(this.#words(words));
    if (words >= 2 && [op.FUSE_RENAME, op.FUSE_RENAME2, op.FUSE_LINK].includes(this.#opcode)) {
      structure.set(fields([8, this.#node()]));
    }
    const text = Array.from({ length: names }, () => `${this.#name()}\0`).join('');
    return Uint8Array.from([...structure, ...Uint8Array.from(text, (character) => character.charCodeAt(0))]);
  }

  #name(): string {
    return this.#random.pick(this.#random.oneIn(8) ? HOSTILE_NAMES : NAMES);
  }

  #words(count: number): Uint8Array {
    const random = this.#random;
    const word = (): number => (random.oneIn(8) ? random.u32() : random.pick(WORDS));
    return new Uint8Array(Uint32Array.from({ length: count }, word).buffer);
  }

  /** A handle, an offset, a size and some flags: what most other operations begin with. */
  #structure(): Uint8Array {
    const random = this.#random;
    if (this.#opcode === op.FUSE_OPEN || this.#opcode === op.FUSE_OPENDIR) return this.#words(2);
    if (this.#opcode === op.FUSE_SETATTR) return this.#words(22);
    const offset = random.oneIn(6) ? random.pick(EDGES) : BigInt(random.below(200));
    const data = random.bytes(random.below(80));
    const size = random.oneIn(6) ? random.u32() : data.length;
    const fh = random.oneIn(10) ? random.pick(EDGES) : random.pick(this.#handles);
    const head = fields([8, fh], [8, offset], [4, size], [4, random.below(8)], [8, 0], [4, 0], [4, 0]);
    return Uint8Array.from([...head, ...data]);
  }
}
