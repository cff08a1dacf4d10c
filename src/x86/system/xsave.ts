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

/** State components. @spec SDM-1 §13.1 */
export const XSTATE = { x87: 1, sse: 2, avx: 4 } as const;
export const MXCSR_MASK = 0xffff;
const MXCSR_INIT = 0x1f80;
const FCW_INIT = 0x37f;
/** Layout of the XSAVE area. @spec SDM-1 §13.4 */
const AREA = {
  fcw: 0,
  fsw: 2,
  ftw: 4,
  fop: 6,
  fip: 8,
  fdp: 16,
  mxcsr: 24,
  mxcsrMask: 28,
  st: 32,
  xmm: 160,
  header: 512,
  ymm: 576,
  end: 832,
} as const;
const COMPACTED = 0x8000_0000;

/** The area as it is built before it goes to guest memory, or as it came from there. Used within one instruction. */
const image = new Uint8Array(AREA.end);
const words = new DataView(image.buffer);

/** FXSAVE. @spec SDM-2A "FXSAVE" */
export function fxsave(cpu: SystemCpu, insn: Instruction): void {
  const at = fxArea(cpu, insn);
  saveX87(cpu.state, insn.operandSize === 64);
  saveMxcsr(cpu.state);
  // FXSAVE knows eight XMM registers outside 64-bit mode, and leaves the last 96 bytes alone.
  const registers = is64(cpu.state) ? 16 : 8;
  saveXmm(cpu.state, registers);
  copyOut(cpu, at, 0, AREA.xmm + registers * 16);
}

/** @spec SDM-2A "FXRSTOR" */
export function fxrstor(cpu: SystemCpu, insn: Instruction): void {
  const at = fxArea(cpu, insn);
  copyIn(cpu, at, 0, AREA.header);
  checkMxcsr();
  loadX87(cpu.state, insn.operandSize === 64);
  cpu.state.set32(S.mxcsr, words.getInt32(AREA.mxcsr, true));
  loadXmm(cpu.state, is64(cpu.state) ? 16 : 8);
}

function fxArea(cpu: SystemCpu, insn: Instruction): bigint {
  const { state } = cpu;
  if ((state.get32(S.cr0) & (CR0.EM | CR0.TS)) !== 0) throw new GuestException(VECTOR.NM);
  const at = memoryAddress(cpu, insn);
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
    const registers = saveXmm(state, is64(state) ? 16 : 8);
    copyOut(cpu, at, AREA.xmm, registers * 16);
  }
  if ((written & XSTATE.avx) !== 0) copyOut(cpu, at, AREA.ymm, saveYmm(state, is64(state) ? 16 : 8) * 16);
  const bits = (oldBits & ~mask) | used | mxcsrBit;
  cpu.write(at + BigInt(AREA.header), 8, BigInt(bits >>> 0));
  if (how.compacted) cpu.write(at + BigInt(AREA.header + 8), 8, (1n << 63n) | BigInt(mask));
}

/** The whole range must be writable before anything is stored. */
function probe(cpu: SystemCpu, at: bigint, mask: number): void {
  const length = (mask & XSTATE.avx) !== 0 ? AREA.end : AREA.ymm;
  cpu.mmu.probe(
    Number(BigInt.asIntN(32, at)),
    Number(BigInt.asIntN(32, at >> 32n)),
    length,
    cpu.mmu.privilege() | ACCESS.write,
  );
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
  if ((load & XSTATE.sse) !== 0) loadXmm(state, registers);
  else if ((mask & XSTATE.sse) !== 0) clearVectors(state, registers, 0);
  if ((load & XSTATE.avx) !== 0) loadYmm(state, registers);
  else if ((mask & XSTATE.avx) !== 0) clearVectors(state, registers, 16);
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

/** XINUSE: components that are not in their initial state. @spec SDM-1 §13.6 */
export function inUse(state: CpuState): number {
  return (
    (isX87Initial(state) ? 0 : XSTATE.x87) |
    (anyVector(state, 0) ? XSTATE.sse : 0) |
    (anyVector(state, 16) ? XSTATE.avx : 0)
  );
}

function isX87Initial(state: CpuState): boolean {
  const control =
    state.get32(S.fcw) === FCW_INIT && state.get32(S.fsw) === 0 && state.get32(S.ftw) === 0 && state.get32(S.fop) === 0;
  if (!control || state.get64(S.fip) !== 0n || state.get64(S.fdp) !== 0n) return false;
  for (let i = S.st; i < S.st + 128; i += 4) if (state.get32(i) !== 0) return false;
  return true;
}

function anyVector(state: CpuState, half: number): boolean {
  for (let i = 0; i < 16; i++) {
    const at = S.xmm + i * 32 + half;
    if ((state.get32(at) | state.get32(at + 4) | state.get32(at + 8) | state.get32(at + 12)) !== 0) return true;
  }
  return false;
}

/** @param wide REX.W: 64-bit FIP and FDP, else 32 bits and (deprecated, zero) selectors */
function saveX87(state: CpuState, wide: boolean): void {
  words.setUint16(AREA.fcw, state.get32(S.fcw), true);
  words.setUint16(AREA.fsw, state.get32(S.fsw), true);
  words.setUint16(AREA.ftw, state.get32(S.ftw) & 0xff, true);
  words.setUint16(AREA.fop, state.get32(S.fop), true);
  words.setInt32(AREA.fip, state.get32(S.fip), true);
  words.setInt32(AREA.fip + 4, wide ? state.get32(S.fip + 4) : 0, true);
  words.setInt32(AREA.fdp, state.get32(S.fdp), true);
  words.setInt32(AREA.fdp + 4, wide ? state.get32(S.fdp + 4) : 0, true);
  const top = (state.get32(S.fsw) >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    const from = S.st + ((top + i) & 7) * 16;
    const to = AREA.st + i * 16;
    for (let b = 0; b < 16; b++) image[to + b] = b < 10 ? state.bytes[from + b]! : 0;
  }
}

function loadX87(state: CpuState, wide: boolean): void {
  state.set32(S.fcw, words.getUint16(AREA.fcw, true) | 0x40);
  state.set32(S.fsw, words.getUint16(AREA.fsw, true));
  state.set32(S.ftw, image[AREA.ftw]!);
  state.set32(S.fop, words.getUint16(AREA.fop, true) & 0x7ff);
  state.set32(S.fip, words.getInt32(AREA.fip, true));
  state.set32(S.fip + 4, wide ? words.getInt32(AREA.fip + 4, true) : 0);
  state.set32(S.fdp, words.getInt32(AREA.fdp, true));
  state.set32(S.fdp + 4, wide ? words.getInt32(AREA.fdp + 4, true) : 0);
  const top = (state.get32(S.fsw) >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    const to = S.st + ((top + i) & 7) * 16;
    const from = AREA.st + i * 16;
    for (let b = 0; b < 16; b++) state.bytes[to + b] = b < 10 ? image[from + b]! : 0;
  }
}

export function initX87(state: CpuState): void {
  state.set32(S.fcw, FCW_INIT);
  for (const slot of [S.fsw, S.ftw, S.fop]) state.set32(slot, 0);
  state.set64(S.fip, 0n);
  state.set64(S.fdp, 0n);
  state.bytes.fill(0, S.st, S.st + 128);
}

function saveMxcsr(state: CpuState): void {
  words.setInt32(AREA.mxcsr, state.get32(S.mxcsr), true);
  words.setInt32(AREA.mxcsrMask, MXCSR_MASK, true);
}

function checkMxcsr(): void {
  if ((words.getUint32(AREA.mxcsr, true) & ~MXCSR_MASK) !== 0) throw gp(0);
}

/** XMM registers lie 32 bytes apart in the state, 16 in the area. */
function saveXmm(state: CpuState, count: number): number {
  for (let i = 0; i < count; i++)
    image.set(state.bytes.subarray(S.xmm + i * 32, S.xmm + i * 32 + 16), AREA.xmm + i * 16);
  return count;
}

function loadXmm(state: CpuState, count: number): void {
  for (let i = 0; i < count; i++)
    state.bytes.set(image.subarray(AREA.xmm + i * 16, AREA.xmm + i * 16 + 16), S.xmm + i * 32);
}

function saveYmm(state: CpuState, count: number): number {
  for (let i = 0; i < count; i++)
    image.set(state.bytes.subarray(S.xmm + i * 32 + 16, S.xmm + i * 32 + 32), AREA.ymm + i * 16);
  return count;
}

function loadYmm(state: CpuState, count: number): void {
  for (let i = 0; i < count; i++)
    state.bytes.set(image.subarray(AREA.ymm + i * 16, AREA.ymm + i * 16 + 16), S.xmm + i * 32 + 16);
}

function clearVectors(state: CpuState, count: number, half: number): void {
  for (let i = 0; i < count; i++) state.bytes.fill(0, S.xmm + i * 32 + half, S.xmm + i * 32 + half + 16);
}

function copyOut(cpu: SystemCpu, area: bigint, offset: number, length: number): void {
  const at = area + BigInt(offset);
  cpu.mmu.writeBytes(
    Number(BigInt.asIntN(32, at)),
    Number(BigInt.asIntN(32, at >> 32n)),
    cpu.mmu.privilege(),
    image.subarray(offset, offset + length),
  );
}

function copyIn(cpu: SystemCpu, area: bigint, offset: number, length: number): void {
  const at = area + BigInt(offset);
  cpu.mmu.readBytes(
    Number(BigInt.asIntN(32, at)),
    Number(BigInt.asIntN(32, at >> 32n)),
    cpu.mmu.privilege(),
    image.subarray(offset, offset + length),
  );
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
