import { ByteReader } from './byte-stream.ts';
import type { CpuCase, CpuFault, CpuResult, CpuState } from './executor.ts';
import { LAYOUT, MEMORY_WINDOWS } from './layout.ts';
import { readDelta } from './state-delta.ts';

/**
 * Recorded cases: what one instruction did on a real processor.
 *
 * File, little-endian: "KRUNVEC1", u32 length of a JSON header (VectorHeader), the JSON, then the cases. A case is:
 * template index (LEB128), instruction length and bytes, kind byte (VECTOR_KIND), undefined RFLAGS bits and FSW bits
 * (u32 each, if flagged), undefined memory ranges (if flagged: count, then LEB128 offset and length), the state
 * before as a delta to the header's base state, the state after as a delta to the state before, RIP (u64, if
 * flagged), and the fault (if flagged: vector u8, error code u32, address u64).
 */
export const VECTOR_MAGIC = 'KRUNVEC1';

/** Optional parts of a case. */
export const VECTOR_KIND = { undefinedBits: 1, undefinedMemory: 2, rip: 4, fault: 8 } as const;

/** One form of one instruction, named so that a failure reads well: "ADD Ev,Gv 32 mem". */
export interface VectorTemplate {
  readonly name: string;
  /** CPUID feature without which the instruction is not available, "" for the x86-64 baseline. */
  readonly feature: string;
  /** Units in the last place by which ST registers and single-precision lanes may differ; 0 demands equality. */
  readonly toleranceUlps: number;
}

export interface VectorHeader {
  readonly tool: string;
  readonly cpu: string;
  readonly family: string;
  readonly seed: number;
  readonly layout: string;
  readonly caseCount: number;
  readonly templates: readonly VectorTemplate[];
  /** The base state, as a delta to a state of zeroes, in hexadecimal. */
  readonly base: string;
}

/** Bytes `[offset, offset + length)` of CpuState.memory whose content the architecture leaves open. */
export interface MemoryRange {
  readonly offset: number;
  readonly length: number;
}

export interface Vector extends CpuCase, CpuResult {
  readonly template: VectorTemplate;
  /** Position in the file, for "run only this one". */
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly before: CpuState;
  readonly after: CpuState;
  readonly fault: CpuFault | undefined;
  /** RFLAGS bits that the architecture leaves undefined for this instruction with these operands. */
  readonly undefinedFlags: number;
  /** The same for the x87 status word (condition codes). */
  readonly undefinedFsw: number;
  readonly undefinedMemory: readonly MemoryRange[];
}

/** Names the layout that vectors were recorded with; a reader with another one must not run them. */
export function layoutKey(): string {
  const windows = MEMORY_WINDOWS.map((w) => `${w.address.toString(16)}+${w.length}`);
  return [...Object.values(LAYOUT).map((address) => address.toString(16)), ...windows].join(' ');
}

/** Reads only the header. */
export function readVectorHeader(file: Uint8Array): VectorHeader {
  return openFile(file).header;
}

/**
 * Yields the cases of an uncompressed vector file, in order.
 *
 * @throws {RangeError} not a vector file, truncated, or recorded with another memory layout
 */
export function* readVectors(file: Uint8Array): Generator<Vector, void, undefined> {
  const { header, reader } = openFile(file);
  const base = readDelta(new ByteReader(fromHex(header.base)), zeroState());
  for (let index = 0; index < header.caseCount; index++) yield readVector(reader, header, base, index);
  if (!reader.atEnd()) throw new RangeError('Cannot read vectors: bytes after the last case');
}

function openFile(file: Uint8Array): { header: VectorHeader; reader: ByteReader } {
  const reader = new ByteReader(file);
  const magic = asciiText(reader.bytes(VECTOR_MAGIC.length));
  if (magic !== VECTOR_MAGIC) throw new RangeError(`Cannot read vectors: file starts with ${JSON.stringify(magic)}`);
  const header = JSON.parse(asciiText(reader.bytes(reader.u32()))) as VectorHeader;
  if (header.layout !== layoutKey()) {
    throw new RangeError(`Cannot use vectors: recorded with layout ${header.layout}, now ${layoutKey()}`);
  }
  return { header, reader };
}

function readVector(reader: ByteReader, header: VectorHeader, base: CpuState, index: number): Vector {
  const templateIndex = reader.leb();
  const template = header.templates[templateIndex];
  if (template === undefined) throw new RangeError(`Cannot read vector ${index}: template ${templateIndex} is missing`);
  const bytes = reader.bytes(reader.u8()).slice();
  const kind = reader.u8();
  const open = kind & VECTOR_KIND.undefinedBits;
  const undefinedFlags = open ? reader.u32() : 0;
  const undefinedFsw = open ? reader.u32() : 0;
  const undefinedMemory = kind & VECTOR_KIND.undefinedMemory ? readRanges(reader) : [];
  const before = readDelta(reader, base);
  const after = readDelta(reader, before);
  const fault = kind & VECTOR_KIND.fault ? { vector: 0, errorCode: 0, address: 0n } : undefined;
  after.rip = fault === undefined ? before.rip + BigInt(bytes.length) : before.rip;
  if (kind & VECTOR_KIND.rip) after.rip = reader.u64();
  if (fault !== undefined) {
    fault.vector = reader.u8();
    fault.errorCode = reader.u32();
    fault.address = reader.u64();
  }
  return { template, index, bytes, before, after, fault, undefinedFlags, undefinedFsw, undefinedMemory };
}

function readRanges(reader: ByteReader): MemoryRange[] {
  const ranges: MemoryRange[] = [];
  for (let left = reader.leb(); left > 0; left--) ranges.push({ offset: reader.leb(), length: reader.leb() });
  return ranges;
}

/** The start of every delta chain: all zero but RIP. */
export function zeroState(): CpuState {
  return {
    gpr: new BigUint64Array(16),
    rip: BigInt(LAYOUT.instruction),
    rflags: 0,
    fsBase: 0n,
    gsBase: 0n,
    xmm: new Uint8Array(256),
    mxcsr: 0,
    fcw: 0,
    fsw: 0,
    ftw: 0,
    st: new Uint8Array(80),
    memory: new Uint8Array(MEMORY_WINDOWS.reduce((sum, w) => sum + w.length, 0)),
  };
}

function asciiText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}
