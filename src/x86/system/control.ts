import type { Instruction } from '../decode/instruction.ts';
import { PHYSICAL_BITS } from '../mmu/access.ts';
import { S, SEG } from '../state/layout.ts';
import { CR0, CR4, EFER } from './control-bits.ts';
import { gp, ud } from './exception.ts';
import { requireCpl0 } from './flags.ts';
import { readRm, writeGpr, writeRm } from './operands.ts';
import { ATTR, is64, isLong } from './segments.ts';
import type { SystemCpu } from './system-cpu.ts';

const CR0_WRITABLE = CR0.PE | CR0.MP | CR0.EM | CR0.TS | CR0.NE | CR0.WP | CR0.AM | CR0.NW | CR0.CD | CR0.PG;
/** A change of these makes every cached translation invalid. @spec SDM-3A §4.10.4.1 */
const CR0_FLUSH = CR0.PG | CR0.PE | CR0.WP;
const CR4_FLUSH = CR4.PSE | CR4.PAE | CR4.PGE | CR4.SMEP | CR4.SMAP | CR4.PCIDE;
const PCID_MASK = 0xfffn;
const NO_FLUSH = 1n << 63n;

/** MOV r, CRn. @spec SDM-2B "MOV - Move to/from Control Registers" */
export function readControl(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  requireCpl0(state);
  writeGpr(state, insn.rm, is64(state) ? 8 : 4, controlValue(cpu, insn.reg));
}

function controlValue({ state, io }: SystemCpu, index: number): bigint {
  switch (index) {
    case 0:
      return state.get64(S.cr0);
    case 2:
      return state.get64(S.cr2);
    case 3:
      return state.get64(S.cr3);
    case 4:
      return state.get64(S.cr4);
    case 8:
      return BigInt(io.readTpr());
    default:
      throw ud();
  }
}

/** MOV CRn, r. */
export function writeControl(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  requireCpl0(state);
  const value = is64(state) ? state.gpr(insn.rm) : state.gpr(insn.rm) & 0xffff_ffffn;
  switch (insn.reg) {
    case 0:
      return writeCr0(cpu, value);
    case 2:
      return state.set64(S.cr2, value);
    case 3:
      return writeCr3(cpu, value);
    case 4:
      return writeCr4(cpu, value);
    case 8:
      return writeCr8(cpu, value);
    default:
      throw ud();
  }
}

export function writeCr0(cpu: SystemCpu, value: bigint): void {
  const { state } = cpu;
  const old = state.get32(S.cr0);
  const next = (Number(BigInt.asIntN(32, value)) & CR0_WRITABLE) | CR0.ET;
  if (value >> 32n !== 0n) throw gp(0);
  if ((next & CR0.PG) !== 0 && (next & CR0.PE) === 0) throw gp(0);
  if ((next & CR0.NW) !== 0 && (next & CR0.CD) === 0) throw gp(0);
  const enabling = (next & ~old & CR0.PG) !== 0;
  const disabling = (old & ~next & CR0.PG) !== 0;
  if (enabling) checkEnablePaging(cpu);
  if (disabling && (is64(state) || (state.get32(S.cr4) & CR4.PCIDE) !== 0)) throw gp(0);
  if (enabling && (state.get32(S.efer) & EFER.LME) !== 0) state.set32(S.efer, state.get32(S.efer) | EFER.LMA);
  if (disabling) state.set32(S.efer, state.get32(S.efer) & ~EFER.LMA);
  state.set64(S.cr0, BigInt(next >>> 0));
  cpu.mmu.updateMode();
  if (((next ^ old) & CR0_FLUSH) !== 0) cpu.mmu.flushAll();
  cpu.modeChanged();
}

function checkEnablePaging({ state, mmu }: SystemCpu): void {
  const pae = (state.get32(S.cr4) & CR4.PAE) !== 0;
  if ((state.get32(S.efer) & EFER.LME) !== 0) {
    if (!pae || (state.attributes(SEG.CS) & ATTR.L) !== 0) throw gp(0);
  } else if (pae) {
    checkPointerTable(state.get32(S.cr3) & -32, mmu);
  }
}

/** PAE paging reads its four top entries when CR3 is loaded; reserved bits in one raise #GP. @spec SDM-3A §4.4.1 */
function checkPointerTable(at: number, mmu: SystemCpu['mmu']): void {
  for (let i = 0; i < 4; i++) {
    const low = mmu.readPhysical32((at >>> 0) + i * 8);
    const high = mmu.readPhysical32((at >>> 0) + i * 8 + 4);
    if ((low & 1) !== 0 && ((low & 0x1e6) !== 0 || high >>> (PHYSICAL_BITS - 32) !== 0)) throw gp(0);
  }
}

export function writeCr3(cpu: SystemCpu, value: bigint): void {
  const { state } = cpu;
  const pcide = (state.get32(S.cr4) & CR4.PCIDE) !== 0;
  const next = pcide ? value & ~NO_FLUSH : value;
  if (next >> BigInt(PHYSICAL_BITS) !== 0n) throw gp(0);
  const pae = !isLong(state) && (state.get32(S.cr4) & CR4.PAE) !== 0 && (state.get32(S.cr0) & CR0.PG) !== 0;
  if (pae) checkPointerTable(Number(next & 0xffff_ffe0n), cpu.mmu);
  state.set64(S.cr3, next);
  cpu.mmu.flushNonGlobal();
}

function writeCr4(cpu: SystemCpu, value: bigint): void {
  const { state } = cpu;
  const old = state.get32(S.cr4);
  const next = Number(BigInt.asIntN(32, value));
  if (value >> 32n !== 0n || (next & ~allowedCr4(cpu)) !== 0) throw gp(0);
  if (isLong(state) && (next & CR4.PAE) === 0) throw gp(0);
  if ((next & ~old & CR4.PCIDE) !== 0 && (!isLong(state) || (state.get64(S.cr3) & PCID_MASK) !== 0n)) throw gp(0);
  const pae = (next & CR4.PAE) !== 0 && !isLong(state) && (state.get32(S.cr0) & CR0.PG) !== 0;
  if (pae && ((next ^ old) & (CR4.PAE | CR4.PGE | CR4.PSE | CR4.SMEP)) !== 0) checkPointerTable(state.get32(S.cr3) & -32, cpu.mmu);
  state.set64(S.cr4, BigInt(next >>> 0));
  cpu.mmu.updateMode();
  if (((next ^ old) & CR4_FLUSH) !== 0) cpu.mmu.flushAll();
  cpu.modeChanged();
}

/** Bits whose feature CPUID claims. */
function allowedCr4({ model: { features: f } }: SystemCpu): number {
  return (
    CR4.TSD |
    CR4.DE |
    CR4.PSE |
    CR4.PAE |
    CR4.MCE |
    CR4.PGE |
    CR4.PCE |
    CR4.OSFXSR |
    CR4.OSXMMEXCPT |
    (f.umip ? CR4.UMIP : 0) |
    (f.fsgsbase ? CR4.FSGSBASE : 0) |
    (f.pcid ? CR4.PCIDE : 0) |
    (f.xsave ? CR4.OSXSAVE : 0) |
    (f.smep ? CR4.SMEP : 0) |
    (f.smap ? CR4.SMAP : 0)
  );
}

function writeCr8({ io }: SystemCpu, value: bigint): void {
  if (value > 15n) throw gp(0);
  io.writeTpr(Number(value));
}

/** CLTS. */
export function clts(cpu: SystemCpu): void {
  requireCpl0(cpu.state);
  cpu.state.set32(S.cr0, cpu.state.get32(S.cr0) & ~CR0.TS);
  cpu.modeChanged();
}

/** LMSW changes PE (only to 1), MP, EM and TS. */
export function lmsw(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  requireCpl0(state);
  const value = Number(readRm(cpu, insn, 2)) & 0xf;
  const old = state.get32(S.cr0) >>> 0;
  const next = ((old & ~0xe) | value) >>> 0;
  writeCr0(cpu, BigInt(next));
}

/** SMSW stores all of CR0 into a register, 16 bits into memory. */
export function smsw(cpu: SystemCpu, insn: Instruction): void {
  const bytes = insn.memory !== undefined ? 2 : ((insn.operandSize / 8) as 2 | 4 | 8);
  writeRm(cpu, insn, bytes, cpu.state.get64(S.cr0));
}

const INVPCID = { address: 0n, context: 1n, all: 2n, allNonGlobal: 3n } as const;

/** @spec SDM-2A "INVLPG" */
export function invlpg(cpu: SystemCpu, insn: Instruction): void {
  requireCpl0(cpu.state);
  flushAddress(cpu, cpu.address(insn));
}

function flushAddress(cpu: SystemCpu, linear: bigint): void {
  cpu.mmu.invlpg(Number(BigInt.asIntN(32, linear)), Number(BigInt.asIntN(32, linear >> 32n)));
}

/** Only the current PCID's translations are ever cached, so another one's need no work. @spec SDM-2A "INVPCID" */
export function invpcid(cpu: SystemCpu, insn: Instruction): void {
  const { state, mmu } = cpu;
  if (!cpu.model.features.invpcid) throw ud();
  requireCpl0(state);
  const type = is64(state) ? state.gpr(insn.reg) : state.gpr(insn.reg) & 0xffff_ffffn;
  if (type > INVPCID.allNonGlobal) throw gp(0);
  const at = cpu.address(insn);
  const pcid = cpu.read(at, 8);
  const linear = cpu.read(at + 8n, 8);
  if (pcid > PCID_MASK) throw gp(0);
  const pcide = (state.get32(S.cr4) & CR4.PCIDE) !== 0;
  if (!pcide && pcid !== 0n && (type === INVPCID.address || type === INVPCID.context)) throw gp(0);
  const current = pcide ? state.get64(S.cr3) & PCID_MASK : 0n;
  if (type === INVPCID.all) mmu.flushAll();
  else if (type === INVPCID.allNonGlobal) mmu.flushNonGlobal();
  else if (pcid === current && type === INVPCID.context) mmu.flushNonGlobal();
  else if (pcid === current) flushAddress(cpu, linear);
}
