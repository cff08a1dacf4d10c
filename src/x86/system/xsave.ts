import type { Instruction } from '../decode/instruction.ts';
import { ACCESS } from '../mmu/access.ts';
import { GPR, S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { CR0, CR4 } from './control-bits.ts';
import { GuestException, gp, ud, VECTOR } from './exception.ts';
import { requireCpl0 } from './flags.ts';
import { memoryAddress } from './operands.ts';
import { is64 } from './segments.ts';
import type { SystemCpu } from './system-cpu.ts';
import {
  AREA,
  checkMxcsr,
  clearVectors,
  image,
  initX87,
  inUse,
  loadVectors,
  loadX87,
  MXCSR_INIT,
  MXCSR_MASK,
  saveMxcsr,
  saveVectors,
  saveX87,
  words,
  XMM,
  XSTATE,
  YMM_HIGH,
} from './xsave-image.ts';

/** Upper half of XCOMP_BV in a compacted area. */
const COMPACTED = 0x8000_0000;

/** FXSAVE. @spec SDM-2A "FXSAVE" */
export function fxsave(cpu: SystemCpu, insn: Instruction): void {
  const at = fxArea(cpu, insn);
  saveX87(cpu.state, insn.operandSize === 64);
  saveMxcsr(cpu.state);
  // FXSAVE knows eight XMM registers outside 64-bit mode, and leaves the last 96 bytes alone.
  const registers = is64(cpu.state) ? 16 : 8;
  saveVectors(cpu.state, registers, XMM);
  copyOut(cpu, at, 0, AREA.xmm + registers * 16);
}

/** @spec SDM-2A "FXRSTOR" */
export function fxrstor(cpu: SystemCpu, insn: Instruction): void {
  const at = fxArea(cpu, insn);
  copyIn(cpu, at, 0, AREA.header);
  checkMxcsr();
  loadX87(cpu.state, insn.operandSize === 64);
  cpu.state.set32(S.mxcsr, words.getInt32(AREA.mxcsr, true));
  loadVectors(cpu.state, is64(cpu.state) ? 16 : 8, XMM);
}

function fxArea(cpu: SystemCpu, insn: Instruction): bigint {
  const { state } = cpu;
  if ((state.get32(S.cr0) & (CR0.EM | CR0.TS)) !== 0) throw new GuestException(VECTOR.NM);
  const at = memoryAddress(cpu, insn);
  cpu.mmu.requireAligned(Number(at & 15n), 4);
  if ((at & 15n) !== 0n) throw gp(0);
  return at;
}

/** XSAVE, XSAVEOPT: the standard format. */
export function xsave(cpu: SystemCpu, insn: Instruction): void {
  save(cpu, insn, { compacted: false, init: false });
}

export function xsaveopt(cpu: SystemCpu, insn: Instruction): void {
  if (!cpu.model.features.xsaveopt) throw ud();
  save(cpu, insn, { compacted: false, init: true });
}

/** XSAVEC, XSAVES: compacted, and components in their initial state are left out. */
export function xsavec(cpu: SystemCpu, insn: Instruction): void {
  if (!cpu.model.features.xsavec) throw ud();
  save(cpu, insn, { compacted: true, init: true });
}

export function xsaves(cpu: SystemCpu, insn: Instruction): void {
  if (!cpu.model.features.xsaves) throw ud();
  checkEnabled(cpu);
  requireCpl0(cpu.state);
  save(cpu, insn, { compacted: true, init: true });
}

/** @spec SDM-1 §13.7 to §13.11 */
function save(cpu: SystemCpu, insn: Instruction, how: { compacted: boolean; init: boolean }): void {
  const { state } = cpu;
  const at = xArea(cpu, insn);
  const mask = requested(state);
  const registers = is64(state) ? 16 : 8;
  const used = inUse(state) & mask;
  const written = how.init ? used : mask;
  probe(cpu, at, mask);
  const oldBits = how.compacted ? 0 : Number(cpu.read(at + BigInt(AREA.header), 4));
  if ((written & XSTATE.x87) !== 0) {
    saveX87(state, insn.operandSize === 64);
    copyOut(cpu, at, 0, AREA.mxcsr);
    copyOut(cpu, at, AREA.st, AREA.xmm - AREA.st);
  }
  const mxcsrBit = how.compacted && (mask & XSTATE.sse) !== 0 && state.get32(S.mxcsr) !== MXCSR_INIT ? XSTATE.sse : 0;
  const wantsMxcsr = how.compacted ? written & XSTATE.sse || mxcsrBit : mask & (XSTATE.sse | XSTATE.avx);
  if (wantsMxcsr) {
    saveMxcsr(state);
    copyOut(cpu, at, AREA.mxcsr, 8);
  }
  if (((written | mxcsrBit) & XSTATE.sse) !== 0) {
    saveVectors(state, registers, XMM);
    copyOut(cpu, at, AREA.xmm, registers * 16);
  }
  if ((written & XSTATE.avx) !== 0) {
    saveVectors(state, registers, YMM_HIGH);
    copyOut(cpu, at, AREA.ymm, registers * 16);
  }
  const bits = (oldBits & ~mask) | used | mxcsrBit;
  cpu.write(at + BigInt(AREA.header), 8, BigInt(bits >>> 0));
  if (how.compacted) cpu.write(at + BigInt(AREA.header + 8), 8, (1n << 63n) | BigInt(mask));
}

/** The whole range must be writable before anything is stored. */
function probe(cpu: SystemCpu, at: bigint, mask: number): void {
  const length = (mask & XSTATE.avx) !== 0 ? AREA.end : AREA.ymm;
  cpu.mmu.probe(Number(BigInt.asIntN(32, at)), Number(BigInt.asIntN(32, at >> 32n)), length, cpu.mmu.privilege() | ACCESS.write);
}

export function xrstor(cpu: SystemCpu, insn: Instruction): void {
  restore(cpu, insn, false);
}

export function xrstors(cpu: SystemCpu, insn: Instruction): void {
  if (!cpu.model.features.xsaves) throw ud();
  checkEnabled(cpu);
  requireCpl0(cpu.state);
  restore(cpu, insn, true);
}

/** @spec SDM-1 §13.8, §13.12 */
function restore(cpu: SystemCpu, insn: Instruction, supervisor: boolean): void {
  const { state } = cpu;
  const at = xArea(cpu, insn);
  const mask = requested(state);
  copyIn(cpu, at, 0, AREA.ymm);
  const present = words.getUint32(AREA.header, true);
  const compacted = words.getUint32(AREA.header + 12, true) === COMPACTED;
  checkHeader(cpu, supervisor);
  const load = mask & present;
  if ((load & XSTATE.avx) !== 0) copyIn(cpu, at, AREA.ymm, AREA.end - AREA.ymm);
  const loadsMxcsr = compacted ? load & XSTATE.sse : mask & (XSTATE.sse | XSTATE.avx);
  if (loadsMxcsr) checkMxcsr();

  if ((load & XSTATE.x87) !== 0) loadX87(state, insn.operandSize === 64);
  else if ((mask & XSTATE.x87) !== 0) initX87(state);
  if (loadsMxcsr) state.set32(S.mxcsr, words.getInt32(AREA.mxcsr, true));
  else if (compacted && (mask & XSTATE.sse) !== 0) state.set32(S.mxcsr, MXCSR_INIT);
  const registers = is64(state) ? 16 : 8;
  if ((load & XSTATE.sse) !== 0) loadVectors(state, registers, XMM);
  else if ((mask & XSTATE.sse) !== 0) clearVectors(state, registers, XMM);
  if ((load & XSTATE.avx) !== 0) loadVectors(state, registers, YMM_HIGH);
  else if ((mask & XSTATE.avx) !== 0) clearVectors(state, registers, YMM_HIGH);
}

/** Bits that are not enabled, and reserved bytes, raise #GP. @spec SDM-1 §13.8.1 */
function checkHeader({ state, model }: SystemCpu, supervisor: boolean): void {
  const enabled = state.get32(S.xcr0);
  const present = words.getUint32(AREA.header, true);
  const format = words.getUint32(AREA.header + 8, true);
  const formatHigh = words.getUint32(AREA.header + 12, true);
  if (words.getUint32(AREA.header + 4, true) !== 0 || (present & ~enabled) !== 0) throw gp(0);
  const compacted = formatHigh === COMPACTED;
  if (formatHigh !== 0 && !compacted) throw gp(0);
  if (supervisor && !compacted) throw gp(0);
  if (compacted && (!model.features.xsavec || (format & ~enabled) !== 0 || (present & ~format) !== 0)) throw gp(0);
  if (!compacted && format !== 0) throw gp(0);
  const reservedEnd = compacted ? AREA.ymm : AREA.header + 24;
  for (let i = AREA.header + 16; i < reservedEnd; i++) if (image[i] !== 0) throw gp(0);
}

function xArea(cpu: SystemCpu, insn: Instruction): bigint {
  checkEnabled(cpu);
  if ((cpu.state.get32(S.cr0) & CR0.TS) !== 0) throw new GuestException(VECTOR.NM);
  const at = memoryAddress(cpu, insn);
  if ((at & 63n) !== 0n) throw gp(0);
  return at;
}

function checkEnabled({ state }: SystemCpu): void {
  if ((state.get32(S.cr4) & CR4.OSXSAVE) === 0) throw ud();
}

/** Components that XCR0 and EDX:EAX both name. */
function requested(state: CpuState): number {
  return state.get32(S.xcr0) & state.get32(S.gpr + GPR.RAX * 8);
}

function copyOut(cpu: SystemCpu, area: bigint, offset: number, length: number): void {
  const at = area + BigInt(offset);
  cpu.mmu.writeBytes(Number(BigInt.asIntN(32, at)), Number(BigInt.asIntN(32, at >> 32n)), cpu.mmu.privilege(), image.subarray(offset, offset + length));
}

function copyIn(cpu: SystemCpu, area: bigint, offset: number, length: number): void {
  const at = area + BigInt(offset);
  cpu.mmu.readBytes(Number(BigInt.asIntN(32, at)), Number(BigInt.asIntN(32, at >> 32n)), cpu.mmu.privilege(), image.subarray(offset, offset + length));
}

/** LDMXCSR. @spec SDM-2A "LDMXCSR" */
export function ldmxcsr(cpu: SystemCpu, insn: Instruction): void {
  checkSse(cpu);
  const value = cpu.read(memoryAddress(cpu, insn), 4);
  if ((value & ~BigInt(MXCSR_MASK)) !== 0n) throw gp(0);
  cpu.state.set32(S.mxcsr, Number(value));
}

export function stmxcsr(cpu: SystemCpu, insn: Instruction): void {
  checkSse(cpu);
  cpu.write(memoryAddress(cpu, insn), 4, BigInt(cpu.state.get32(S.mxcsr)));
}

function checkSse({ state }: SystemCpu): void {
  const cr0 = state.get32(S.cr0);
  if ((cr0 & CR0.EM) !== 0 || (state.get32(S.cr4) & CR4.OSFXSR) === 0) throw ud();
  if ((cr0 & CR0.TS) !== 0) throw new GuestException(VECTOR.NM);
}

/** @spec SDM-2C "XGETBV" */
export function xgetbv(cpu: SystemCpu): void {
  checkEnabled(cpu);
  const { state, model } = cpu;
  const index = state.get32(S.gpr + GPR.RCX * 8);
  const allowed = index === 0 || (index === 1 && model.features.xgetbv1);
  if (!allowed) throw gp(0);
  const value = index === 0 ? state.get32(S.xcr0) : state.get32(S.xcr0) & inUse(state);
  state.setGpr(GPR.RAX, BigInt(value >>> 0));
  state.setGpr(GPR.RDX, 0n);
}

/** @spec SDM-2C "XSETBV" */
export function xsetbv(cpu: SystemCpu): void {
  checkEnabled(cpu);
  const { state, model } = cpu;
  requireCpl0(state);
  const value = state.get32(S.gpr + GPR.RAX * 8);
  const allowed = XSTATE.x87 | XSTATE.sse | (model.features.avx ? XSTATE.avx : 0);
  const wrongAvx = (value & XSTATE.avx) !== 0 && (value & XSTATE.sse) === 0;
  if (state.get32(S.gpr + GPR.RCX * 8) !== 0 || state.get32(S.gpr + GPR.RDX * 8) !== 0) throw gp(0);
  if ((value & ~allowed) !== 0 || (value & XSTATE.x87) === 0 || wrongAvx) throw gp(0);
  state.set64(S.xcr0, BigInt(value));
  cpu.modeChanged();
}
