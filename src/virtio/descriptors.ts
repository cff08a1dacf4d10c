import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Segment } from './buffers.ts';
import {
  DESC_ADDR,
  DESC_FLAGS,
  DESC_LEN,
  DESC_NEXT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
} from './protocol.ts';

/** What is wrong with a ring or chain; counted and logged, and the driver has to reset the device. */
export type RingFault =
  | 'avail-idx-too-far'
  | 'head-out-of-range'
  | 'too-many-in-flight'
  | 'next-out-of-range'
  | 'chain-too-long'
  | 'buffer-outside-memory'
  | 'readable-after-writable'
  | 'indirect-not-negotiated'
  | 'indirect-nested'
  | 'indirect-with-next'
  | 'indirect-bad-length';

/** Longest indirect table. The spec's bound is the queue size, but Linux goes beyond it on short queues. */
const INDIRECT_MAX = 1024;

export interface DescriptorTable {
  readonly memory: GuestMemory;
  /** Guest-physical start; `count` descriptors from here lie in memory. */
  readonly gpa: number;
  readonly count: number;
  readonly indirectAllowed: boolean;
}

/** The segments of one chain, in order. */
export interface ChainSegments {
  readonly readable: Segment[];
  readonly writable: Segment[];
}

/**
 * Reads a chain from the descriptor table: each descriptor once, at most `count` of them (and one indirect table),
 * so a loop ends as a fault. Writable buffers come after readable ones.
 *
 * @returns undefined when the chain is sound
 * @spec VIRTIO-1.2 §2.7.5
 */
export function readChain(table: DescriptorTable, head: number, into: ChainSegments): RingFault | undefined {
  if (head >= table.count) return 'head-out-of-range';
  let index = head;
  for (let walked = 0; walked < table.count; walked++) {
    const at = table.gpa + index * VIRTQ_DESC_SIZE;
    const flags = table.memory.readU16(at + DESC_FLAGS);
    if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) return readIndirect(table, at, flags, into);
    const next = table.memory.readU16(at + DESC_NEXT);
    const fault = addSegment(table.memory, at, flags, into);
    if (fault !== undefined) return fault;
    if ((flags & VIRTQ_DESC_F_NEXT) === 0) return undefined;
    if (next >= table.count) return 'next-out-of-range';
    index = next;
  }
  return 'chain-too-long';
}

/** @spec VIRTIO-1.2 §2.7.5.3 */
function readIndirect(table: DescriptorTable, at: number, flags: number, into: ChainSegments): RingFault | undefined {
  if (!table.indirectAllowed) return 'indirect-not-negotiated';
  if ((flags & VIRTQ_DESC_F_NEXT) !== 0) return 'indirect-with-next';
  const { memory } = table;
  const gpa = readAddress(memory, at + DESC_ADDR);
  const bytes = memory.readU32(at + DESC_LEN);
  const count = bytes / VIRTQ_DESC_SIZE;
  if (bytes === 0 || !Number.isInteger(count) || count > INDIRECT_MAX) return 'indirect-bad-length';
  if (!memory.contains(gpa, bytes)) return 'buffer-outside-memory';
  return readIndirectTable({ memory, gpa, count, indirectAllowed: false }, into);
}

function readIndirectTable(table: DescriptorTable, into: ChainSegments): RingFault | undefined {
  const fault = readChain(table, 0, into);
  return fault === 'indirect-not-negotiated' ? 'indirect-nested' : fault;
}

function addSegment(memory: GuestMemory, at: number, flags: number, into: ChainSegments): RingFault | undefined {
  const gpa = readAddress(memory, at + DESC_ADDR);
  const length = memory.readU32(at + DESC_LEN);
  if (!memory.contains(gpa, length)) return 'buffer-outside-memory';
  if ((flags & VIRTQ_DESC_F_WRITE) !== 0) into.writable.push({ gpa, length });
  else if (into.writable.length > 0) return 'readable-after-writable';
  else into.readable.push({ gpa, length });
  return undefined;
}

/** A 64-bit address as a double: rounded above 2**53, but then it is outside memory either way. */
function readAddress(memory: GuestMemory, at: number): number {
  return memory.readU32(at) + memory.readU32(at + 4) * 2 ** 32;
}
