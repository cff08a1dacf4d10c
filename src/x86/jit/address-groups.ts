import { resultType, type Value } from '../ir/value.ts';

/** A 64-bit value as a sum: what has the same root differs by the difference of the offsets. */
export interface Affine {
  readonly root: string;
  readonly offset: bigint;
}

/** An access to memory at an address of which the root is known. */
export interface Access extends Affine {
  readonly bytes: number;
  readonly write: boolean;
}

/** Bytes from `low` to `high` beside a root, which are translated together when they lie in one page. */
export interface AddressGroup {
  low: bigint;
  high: bigint;
  write: boolean;
  /** How many accesses are in it. */
  count: number;
}

/** Widest group: the wider, the more often one crosses a page, and then nothing is gained. */
const SPAN_MAX = 256n;

/** What accesses of a block can share a look-up. */
export function groupAccesses(accesses: Iterable<Access>): Map<string, AddressGroup> {
  const groups = new Map<string, AddressGroup>();
  for (const { root, offset, bytes, write } of accesses) {
    const end = offset + BigInt(bytes);
    const group = groups.get(root);
    if (group === undefined) {
      groups.set(root, { low: offset, high: end, write, count: 1 });
      continue;
    }
    if (end - group.low > SPAN_MAX || group.high - offset > SPAN_MAX) continue;
    if (offset < group.low) group.low = offset;
    if (end > group.high) group.high = end;
    group.write ||= write;
    group.count++;
  }
  for (const [root, { count }] of groups) if (count < 2) groups.delete(root);
  return groups;
}

/** Values of operations on affine values, where they are affine themselves. */
export function affineOperation(name: string, args: readonly Value[], of: (value: Value) => Affine | undefined): Affine | undefined {
  if (name !== 'i64_add' && name !== 'i64_sub' && name !== 'i64_shl') return undefined;
  const [a, c] = args as readonly [Value, Value];
  const x = of(a);
  if (name === 'i64_add') {
    const y = of(c);
    if (x === undefined || y === undefined) return undefined;
    const root = x.root === '' ? y.root : y.root === '' ? x.root : `(${x.root}+${y.root})`;
    return { root, offset: signed(x.offset + y.offset) };
  }
  if (x === undefined || c.constant === undefined) return undefined;
  if (name === 'i64_sub') return { root: x.root, offset: signed(x.offset - c.constant) };
  return x.root === '' ? undefined : { root: `${x.root}<<${c.constant}`, offset: signed(x.offset << (c.constant & 63n)) };
}

/** A constant has the empty root. */
export function affineConstant(value: Value): Affine | undefined {
  return value.constant === undefined || resultType('i64_add') !== value.type ? undefined : { root: '', offset: signed(value.constant) };
}

function signed(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}
