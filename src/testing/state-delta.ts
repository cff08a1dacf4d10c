import type { ByteReader, ByteWriter } from './byte-stream.ts';
import { type CpuState, copyState } from './executor.ts';

/**
 * The difference between two states as bytes: a u16 of DELTA bits saying which parts follow, then those parts in
 * the order of the bits. Register files are a mask of changed registers and their new values; memory is a count of
 * runs, each a gap to the previous run's end, a length (LEB128) and the bytes. RIP is not part of a delta.
 */
export const DELTA = {
  gpr: 1,
  rflags: 2,
  xmm: 4,
  mxcsr: 8,
  x87Control: 16,
  st: 32,
  memory: 64,
  segmentBases: 128,
} as const;

const XMM_BYTES = 16;
const ST_BYTES = 10;
/** A gap of equal bytes shorter than this costs less to repeat than a new run. */
const SHORTEST_GAP = 3;

/** Applies the delta at the reader's position to a copy of `from`. */
export function readDelta(reader: ByteReader, from: CpuState): CpuState {
  const parts = reader.u16();
  const to = copyState(from);
  if (parts & DELTA.gpr) forEachBit(reader.u16(), (i) => (to.gpr[i] = reader.u64()));
  if (parts & DELTA.rflags) to.rflags = reader.u32();
  if (parts & DELTA.xmm) forEachBit(reader.u16(), (i) => to.xmm.set(reader.bytes(XMM_BYTES), i * XMM_BYTES));
  if (parts & DELTA.mxcsr) to.mxcsr = reader.u32();
  if (parts & DELTA.x87Control) {
    to.fcw = reader.u16();
    to.fsw = reader.u16();
    to.ftw = reader.u8();
  }
  if (parts & DELTA.st) forEachBit(reader.u8(), (i) => to.st.set(reader.bytes(ST_BYTES), i * ST_BYTES));
  if (parts & DELTA.memory) readRuns(reader, to.memory);
  if (parts & DELTA.segmentBases) {
    to.fsBase = reader.u64();
    to.gsBase = reader.u64();
  }
  return to;
}

function readRuns(reader: ByteReader, memory: Uint8Array): void {
  let at = 0;
  for (let left = reader.leb(); left > 0; left--) {
    at += reader.leb();
    const bytes = reader.bytes(reader.leb());
    if (at + bytes.length > memory.length) throw new RangeError(`Cannot read delta: memory run ends at ${at}`);
    memory.set(bytes, at);
    at += bytes.length;
  }
}

/** Appends the delta that turns `from` into `to`. */
export function writeDelta(writer: ByteWriter, from: CpuState, to: CpuState): void {
  const gpr = maskOf(16, (i) => from.gpr[i] !== to.gpr[i]);
  const xmm = changedRows(from.xmm, to.xmm, XMM_BYTES);
  const st = changedRows(from.st, to.st, ST_BYTES);
  const runs = changedRuns(from.memory, to.memory);
  const control = from.fcw !== to.fcw || from.fsw !== to.fsw || from.ftw !== to.ftw;
  const bases = from.fsBase !== to.fsBase || from.gsBase !== to.gsBase;
  writer.u16(
    (gpr && DELTA.gpr) |
      (from.rflags !== to.rflags ? DELTA.rflags : 0) |
      (xmm && DELTA.xmm) |
      (from.mxcsr !== to.mxcsr ? DELTA.mxcsr : 0) |
      (control ? DELTA.x87Control : 0) |
      (st && DELTA.st) |
      (runs.length > 0 ? DELTA.memory : 0) |
      (bases ? DELTA.segmentBases : 0),
  );
  if (gpr) writer.u16(gpr);
  forEachBit(gpr, (i) => writer.u64(to.gpr[i]!));
  if (from.rflags !== to.rflags) writer.u32(to.rflags);
  if (xmm) writer.u16(xmm);
  forEachBit(xmm, (i) => writer.bytes(to.xmm.subarray(i * XMM_BYTES, (i + 1) * XMM_BYTES)));
  if (from.mxcsr !== to.mxcsr) writer.u32(to.mxcsr);
  if (control) {
    writer.u16(to.fcw);
    writer.u16(to.fsw);
    writer.u8(to.ftw);
  }
  if (st) writer.u8(st);
  forEachBit(st, (i) => writer.bytes(to.st.subarray(i * ST_BYTES, (i + 1) * ST_BYTES)));
  if (runs.length > 0) writeRuns(writer, runs, to.memory);
  if (bases) {
    writer.u64(to.fsBase);
    writer.u64(to.gsBase);
  }
}

interface Run {
  readonly start: number;
  readonly end: number;
}

function writeRuns(writer: ByteWriter, runs: readonly Run[], memory: Uint8Array): void {
  writer.leb(runs.length);
  let at = 0;
  for (const { start, end } of runs) {
    writer.leb(start - at);
    writer.leb(end - start);
    writer.bytes(memory.subarray(start, end));
    at = end;
  }
}

function changedRuns(from: Uint8Array, to: Uint8Array): Run[] {
  const runs: Run[] = [];
  for (let i = 0; i < to.length; i++) {
    if (from[i] === to[i]) continue;
    const last = runs.at(-1);
    if (last !== undefined && i - last.end < SHORTEST_GAP) runs[runs.length - 1] = { start: last.start, end: i + 1 };
    else runs.push({ start: i, end: i + 1 });
  }
  return runs;
}

function changedRows(from: Uint8Array, to: Uint8Array, row: number): number {
  return maskOf(to.length / row, (i) => {
    for (let at = i * row; at < (i + 1) * row; at++) if (from[at] !== to[at]) return true;
    return false;
  });
}

function maskOf(count: number, changed: (index: number) => boolean): number {
  let mask = 0;
  for (let i = 0; i < count; i++) if (changed(i)) mask |= 1 << i;
  return mask;
}

function forEachBit(mask: number, visit: (index: number) => void): void {
  for (let i = 0; i < 16; i++) if (mask & (1 << i)) visit(i);
}
