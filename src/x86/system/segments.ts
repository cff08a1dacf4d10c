import { ACCESS } from '../mmu/access.ts';
import { S, SEG } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { CR0, EFER } from './control-bits.ts';
import { GuestException, gp, VECTOR } from './exception.ts';
import type { SystemCpu } from './system-cpu.ts';
import { isV86 } from './v86.ts';

/** Attribute bits of a segment, as in the upper half of a descriptor. @spec SDM-3A §3.4.5 */
export const ATTR = {
  accessed: 0x1,
  writable: 0x2,
  readable: 0x2,
  conforming: 0x4,
  expandDown: 0x4,
  code: 0x8,
  S: 0x10,
  P: 0x80,
  L: 0x2000,
  DB: 0x4000,
  G: 0x8000,
} as const;

/** System descriptor types. @spec SDM-3A §3.5 table 3-2 */
export const TYPE = {
  tss16: 1,
  ldt: 2,
  tss16Busy: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss32: 9,
  tss32Busy: 11,
  callGate32: 12,
  interruptGate32: 14,
  trapGate32: 15,
} as const;

/** The two words of a descriptor-table entry, and the upper half of its base (16-byte system descriptors of IA-32e mode). */
export interface Descriptor {
  readonly selector: number;
  readonly low: number;
  readonly high: number;
}

export function attributesOf(d: Descriptor): number {
  return (d.high >>> 8) & 0xf0ff;
}

export function dplOf(attributes: number): number {
  return (attributes >> 5) & 3;
}

export function limitOf(d: Descriptor): number {
  const limit = (d.low & 0xffff) | (d.high & 0xf_0000);
  return d.high & 0x80_0000 ? ((limit << 12) | 0xfff) >>> 0 : limit;
}

export function baseOf(d: Descriptor): number {
  return ((d.low >>> 16) | ((d.high & 0xff) << 16) | (d.high & 0xff00_0000)) >>> 0;
}

export function isNull(selector: number): boolean {
  return (selector & 0xfffc) === 0;
}

export function isLong(state: CpuState): boolean {
  return (state.get32(S.efer) & EFER.LMA) !== 0;
}

/** 64-bit mode: IA-32e mode with CS.L. */
export function is64(state: CpuState): boolean {
  return isLong(state) && (state.attributes(SEG.CS) & ATTR.L) !== 0;
}

export function isProtected(state: CpuState): boolean {
  return (state.get32(S.cr0) & CR0.PE) !== 0;
}

/** Selectors are paragraphs, not descriptors: real mode and virtual-8086 mode. */
export function is8086(state: CpuState): boolean {
  return !isProtected(state) || isV86(state);
}

/** Reads 32 bits at a table's base plus an offset, as the CPU itself. */
export function readTable(cpu: SystemCpu, baseSlot: number, offset: number): number {
  const baseLow = cpu.state.get32(baseSlot);
  const low = (baseLow + offset) | 0;
  const carry = low >>> 0 < baseLow >>> 0 ? 1 : 0;
  return cpu.mmu.read(low, wrapHigh(cpu.state, cpu.state.get32(baseSlot + 4) + carry), 4, ACCESS.implicit);
}

function wrapHigh(state: CpuState, high: number): number {
  return isLong(state) ? high | 0 : 0;
}

/**
 * Reads a descriptor that must exist.
 * @param vector raised with the selector when it lies outside its table
 */
export function readDescriptor(cpu: SystemCpu, selector: number, vector: number = VECTOR.GP, ext = 0): Descriptor {
  const found = findDescriptor(cpu, selector);
  if (found === undefined) throw new GuestException(vector, (selector & 0xfffc) | ext);
  return found;
}

/** @returns undefined when the selector lies outside its table */
export function findDescriptor(cpu: SystemCpu, selector: number): Descriptor | undefined {
  const offset = selector & 0xfff8;
  const local = (selector & 4) !== 0;
  if (local && (cpu.state.attributes(SEG.LDTR) & ATTR.P) === 0) return undefined;
  const limit = local ? cpu.state.limit(SEG.LDTR) : cpu.state.get32(S.gdtLimit) & 0xffff;
  if (offset + 7 > limit) return undefined;
  const base = local ? S.ldtrBase : S.gdtBase;
  return { selector, low: readTable(cpu, base, offset), high: readTable(cpu, base, offset + 4) };
}

/** Sets the accessed bit in memory, when it is clear. */
export function markAccessed(cpu: SystemCpu, d: Descriptor): void {
  if ((d.high & 0x100) !== 0) return;
  setTypeBits(cpu, d, 0x01);
}

/** Sets bits in the type field of a descriptor in memory (accessed; busy for a TSS). */
export function setTypeBits(cpu: SystemCpu, d: Descriptor, bits: number): void {
  writeAccessByte(cpu, d, ((d.high >>> 8) & 0xff) | bits);
}

export function clearTypeBits(cpu: SystemCpu, d: Descriptor, bits: number): void {
  writeAccessByte(cpu, d, (d.high >>> 8) & 0xff & ~bits);
}

function writeAccessByte(cpu: SystemCpu, d: Descriptor, value: number): void {
  const base = cpu.state.get64((d.selector & 4) !== 0 ? S.ldtrBase : S.gdtBase);
  cpu.writeSystem(base + BigInt((d.selector & 0xfff8) + 5), 1, BigInt(value));
}

/** Fills a segment register from a descriptor; the descriptor's accessed bit is set on the way. */
export function setFromDescriptor(cpu: SystemCpu, seg: number, selector: number, d: Descriptor): void {
  markAccessed(cpu, d);
  setRaw(cpu.state, seg, selector, baseOf(d), limitOf(d), attributesOf(d) | ATTR.accessed);
}

/** All parts of ES..GS without BigInt. The base is 32 bits. */
export function setRaw(state: CpuState, seg: number, selector: number, base: number, limit: number, attributes: number): void {
  const at = S.seg + seg * 16;
  state.set32(at, selector);
  state.set32(at + 4, limit);
  state.set32(at + 8, attributes);
  const slot = S.segBase + seg * 8;
  state.set32(slot, base);
  state.set32(slot + 4, 0);
}

/** A null selector: unusable outside 64-bit mode. FS and GS lose their base on Intel parts, and so here. */
export function setNull(state: CpuState, seg: number, selector: number): void {
  setRaw(state, seg, selector, 0, 0, 0);
}

/** MOV Sreg, POP Sreg, LDS and their kin, for all but CS. @spec SDM-2B "MOV" protected mode exceptions */
export function loadSegment(cpu: SystemCpu, seg: number, selector: number): void {
  const { state } = cpu;
  if (is8086(state)) {
    loadRealSegment(state, seg, selector);
  } else if (isNull(selector)) {
    if (seg === SEG.SS && !mayLoadNullSs(state, selector)) throw gp(0);
    setNull(state, seg, selector);
    if (seg === SEG.SS) state.set32(S.seg + seg * 16 + 8, nullSsAttributes(selector & 3));
  } else {
    const d = readDescriptor(cpu, selector);
    if (seg === SEG.SS) checkStackSegment(state, selector, d);
    else checkDataSegment(state, selector, d);
    setFromDescriptor(cpu, seg, selector, d);
  }
}

/** Real and virtual-8086 mode change base and selector only; limit and attributes stay ("unreal mode" depends on it). */
export function loadRealSegment(state: CpuState, seg: number, selector: number): void {
  state.set32(S.seg + seg * 16, selector);
  state.set32(S.segBase + seg * 8, selector << 4);
  state.set32(S.segBase + seg * 8 + 4, 0);
}

/** Only 64-bit mode below CPL 3 accepts a null SS, with RPL = CPL. */
function mayLoadNullSs(state: CpuState, selector: number): boolean {
  return is64(state) && state.cpl !== 3 && (selector & 3) === state.cpl;
}

/** A null SS works as a flat writable one in 64-bit mode. */
export function nullSsAttributes(cpl: number): number {
  return ATTR.S | ATTR.P | ATTR.writable | ATTR.accessed | ATTR.DB | (cpl << 5);
}

function checkStackSegment(state: CpuState, selector: number, d: Descriptor): void {
  const attributes = attributesOf(d);
  const writableData = (attributes & (ATTR.S | ATTR.code | ATTR.writable)) === (ATTR.S | ATTR.writable);
  if ((selector & 3) !== state.cpl || dplOf(attributes) !== state.cpl || !writableData) throw gp(selector & 0xfffc);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.SS, selector & 0xfffc);
}

function checkDataSegment(state: CpuState, selector: number, d: Descriptor): void {
  const attributes = attributesOf(d);
  const code = (attributes & ATTR.code) !== 0;
  if ((attributes & ATTR.S) === 0 || (code && (attributes & ATTR.readable) === 0)) throw gp(selector & 0xfffc);
  const conforming = code && (attributes & ATTR.conforming) !== 0;
  if (!conforming && dplOf(attributes) < Math.max(selector & 3, state.cpl)) throw gp(selector & 0xfffc);
  if ((attributes & ATTR.P) === 0) throw new GuestException(VECTOR.NP, selector & 0xfffc);
}

/** Whether a code descriptor's L and D bits may stand together in this mode. */
export function isValidCodeWidth(state: CpuState, attributes: number): boolean {
  return !isLong(state) || (attributes & (ATTR.L | ATTR.DB)) !== (ATTR.L | ATTR.DB);
}

/** Loads CS after all checks; CPL becomes `cpl`. */
export function setCodeSegment(cpu: SystemCpu, selector: number, d: Descriptor, cpl: number): void {
  setFromDescriptor(cpu, SEG.CS, (selector & 0xfffc) | cpl, d);
  cpu.state.set32(S.cpl, cpl);
}

/** On a return to an outer level, data segments that it may not use become null. @spec SDM-2A "IRET" */
export function dropPrivilegedSegments(state: CpuState): void {
  for (const seg of [SEG.ES, SEG.DS, SEG.FS, SEG.GS]) {
    const attributes = state.attributes(seg);
    if (isNull(state.selector(seg)) || (attributes & ATTR.P) === 0) continue;
    const conforming = (attributes & (ATTR.code | ATTR.conforming)) === (ATTR.code | ATTR.conforming);
    if (!conforming && dplOf(attributes) < state.cpl) setNull(state, seg, 0);
  }
}
