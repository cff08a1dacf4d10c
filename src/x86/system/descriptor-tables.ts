import type { Instruction } from '../decode/instruction.ts';
import { S, SEG } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { isNonCanonical } from './canonical.ts';
import { GuestException, gp, ud, VECTOR } from './exception.ts';
import { checkUmip, requireCpl0 } from './flags.ts';
import { bytesOf, memoryAddress, readRm, writeGpr, writeRm } from './operands.ts';
import {
  ATTR,
  attributesOf,
  baseOf,
  type Descriptor,
  dplOf,
  findDescriptor,
  is64,
  isLong,
  isNull,
  is8086,
  limitOf,
  readDescriptor,
  setTypeBits,
  TYPE,
} from './segments.ts';
import type { SystemCpu } from './system-cpu.ts';

interface TableRegister {
  readonly base: number;
  readonly limit: number;
}

const GDTR: TableRegister = { base: S.gdtBase, limit: S.gdtLimit };
const IDTR: TableRegister = { base: S.idtBase, limit: S.idtLimit };

export const sgdt = (cpu: SystemCpu, insn: Instruction): void => storeTable(cpu, insn, GDTR);
export const sidt = (cpu: SystemCpu, insn: Instruction): void => storeTable(cpu, insn, IDTR);
export const lgdt = (cpu: SystemCpu, insn: Instruction): void => loadTable(cpu, insn, GDTR);
export const lidt = (cpu: SystemCpu, insn: Instruction): void => loadTable(cpu, insn, IDTR);

/** @spec SDM-2B "SGDT" */
function storeTable(cpu: SystemCpu, insn: Instruction, table: TableRegister): void {
  const at = memoryAddress(cpu, insn);
  checkUmip(cpu.state);
  cpu.mmu.requireAligned(Number(at & 15n), 4);
  cpu.write(at, 2, BigInt(cpu.state.get32(table.limit) & 0xffff));
  const base = cpu.state.get64(table.base);
  const words = is64(cpu.state) ? 4 : 2;
  // Two bytes at a time: behind the limit, the base is not aligned for more.
  for (let i = 0; i < words; i++) cpu.write(at + BigInt(2 + i * 2), 2, (base >> BigInt(i * 16)) & 0xffffn);
}

/** A 16-bit operand size loads 24 bits of base. @spec SDM-2A "LGDT" */
function loadTable(cpu: SystemCpu, insn: Instruction, table: TableRegister): void {
  const at = memoryAddress(cpu, insn);
  requireCpl0(cpu.state);
  const limit = cpu.read(at, 2);
  const raw = cpu.read(at + 2n, is64(cpu.state) ? 8 : 4);
  if (isNonCanonical(raw) && is64(cpu.state)) throw gp(0);
  cpu.state.set64(table.base, insn.operandSize === 16 && !is64(cpu.state) ? raw & 0xff_ffffn : raw);
  cpu.state.set32(table.limit, Number(limit));
}

export function sldt(cpu: SystemCpu, insn: Instruction): void {
  storeSelector(cpu, insn, SEG.LDTR);
}

export function str(cpu: SystemCpu, insn: Instruction): void {
  storeSelector(cpu, insn, SEG.TR);
}

function storeSelector(cpu: SystemCpu, insn: Instruction, seg: number): void {
  requireProtected(cpu);
  checkUmip(cpu.state);
  const bytes = insn.memory !== undefined ? 2 : bytesOf(insn);
  writeRm(cpu, insn, bytes, BigInt(cpu.state.selector(seg)));
}

function requireProtected({ state }: SystemCpu): void {
  if (is8086(state)) throw ud();
}

/** @spec SDM-2A "LLDT" */
export function lldt(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  requireProtected(cpu);
  requireCpl0(state);
  const selector = Number(readRm(cpu, insn, 2));
  if (isNull(selector)) {
    state.setSegment(SEG.LDTR, { selector, base: 0n, limit: 0, attributes: 0 });
    return;
  }
  const d = readSystemDescriptor(cpu, selector, (type) => type === TYPE.ldt);
  state.setSegment(SEG.LDTR, { selector, base: wideBase(cpu, d), limit: limitOf(d), attributes: attributesOf(d) });
}

/** @spec SDM-2A "LTR" */
export function ltr(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  requireProtected(cpu);
  requireCpl0(state);
  const selector = Number(readRm(cpu, insn, 2));
  if (isNull(selector)) throw gp(0);
  const long = isLong(state);
  const d = readSystemDescriptor(cpu, selector, (type) => type === TYPE.tss32 || (!long && type === TYPE.tss16));
  const base = wideBase(cpu, d);
  setTypeBits(cpu, d, 2);
  state.setSegment(SEG.TR, { selector, base, limit: limitOf(d), attributes: attributesOf(d) | 2 });
}

function readSystemDescriptor(cpu: SystemCpu, selector: number, accepts: (type: number) => boolean): Descriptor {
  if ((selector & 4) !== 0) throw gp(selector & 0xfffc);
  const d = readDescriptor(cpu, selector);
  if (!accepts(attributesOf(d) & 0x1f)) throw gp(selector & 0xfffc);
  if ((attributesOf(d) & ATTR.P) === 0) throw new GuestException(VECTOR.NP, selector & 0xfffc);
  return d;
}

/** System descriptors are 16 bytes long in IA-32e mode. @spec SDM-3A §3.5.2 */
function wideBase(cpu: SystemCpu, d: Descriptor): bigint {
  if (!isLong(cpu.state)) return BigInt(baseOf(d));
  const error = d.selector & 0xfffc;
  const next = findDescriptor(cpu, d.selector + 8);
  if (next === undefined || (next.high & 0x1f00) !== 0) throw gp(error);
  const base = (BigInt(next.low >>> 0) << 32n) | BigInt(baseOf(d));
  if (isNonCanonical(base)) throw gp(error);
  return base;
}

/** @spec SDM-2A "LAR" */
export function lar(cpu: SystemCpu, insn: Instruction): void {
  const long = isLong(cpu.state);
  const types = long ? [2, 9, 11, 12] : [1, 2, 3, 4, 5, 9, 11, 12];
  const d = inspect(cpu, insn, types);
  if (d !== undefined) writeGpr(cpu.state, insn.reg, bytesOf(insn), BigInt((d.high & 0x00ff_ff00) >>> 0));
}

/** @spec SDM-2A "LSL" */
export function lsl(cpu: SystemCpu, insn: Instruction): void {
  const types = isLong(cpu.state) ? [2, 9, 11] : [1, 2, 3, 9, 11];
  const d = inspect(cpu, insn, types);
  if (d !== undefined) writeGpr(cpu.state, insn.reg, bytesOf(insn), BigInt(limitOf(d)));
}

/** ZF tells whether the descriptor may be looked at. */
function inspect(cpu: SystemCpu, insn: Instruction, systemTypes: readonly number[]): Descriptor | undefined {
  requireProtected(cpu);
  const selector = Number(readRm(cpu, insn, 2));
  const d = isNull(selector) ? undefined : findDescriptor(cpu, selector);
  const visible = d !== undefined && isVisible(cpu, selector, attributesOf(d), systemTypes);
  setZero(cpu, visible);
  return visible ? d : undefined;
}

function isVisible({ state }: SystemCpu, selector: number, attributes: number, systemTypes: readonly number[]): boolean {
  if ((attributes & ATTR.S) === 0 && !systemTypes.includes(attributes & 0xf)) return false;
  const conforming = (attributes & (ATTR.S | ATTR.code | ATTR.conforming)) === (ATTR.S | ATTR.code | ATTR.conforming);
  return conforming || dplOf(attributes) >= Math.max(state.cpl, selector & 3);
}

function setZero({ state }: SystemCpu, zero: boolean): void {
  state.setRflags((state.rflags() & ~FLAG.ZF) | (zero ? FLAG.ZF : 0));
}

/** @spec SDM-2B "VERR" */
export function verr(cpu: SystemCpu, insn: Instruction): void {
  verify(cpu, insn, (a) => (a & ATTR.code) === 0 || (a & ATTR.readable) !== 0);
}

export function verw(cpu: SystemCpu, insn: Instruction): void {
  verify(cpu, insn, (a) => (a & ATTR.code) === 0 && (a & ATTR.writable) !== 0);
}

function verify(cpu: SystemCpu, insn: Instruction, allows: (attributes: number) => boolean): void {
  requireProtected(cpu);
  const selector = Number(readRm(cpu, insn, 2));
  const d = isNull(selector) ? undefined : findDescriptor(cpu, selector);
  const attributes = d === undefined ? 0 : attributesOf(d);
  setZero(cpu, (attributes & ATTR.S) !== 0 && isVisible(cpu, selector, attributes, []) && allows(attributes));
}

/** Raises the RPL of a selector to that of another. Legacy modes only. @spec SDM-2A "ARPL" */
export function arpl(cpu: SystemCpu, insn: Instruction): void {
  requireProtected(cpu);
  const target = readRm(cpu, insn, 2);
  const rpl = cpu.state.gpr(insn.reg) & 3n;
  const raises = (target & 3n) < rpl;
  if (raises) writeRm(cpu, insn, 2, (target & ~3n) | rpl);
  setZero(cpu, raises);
}
