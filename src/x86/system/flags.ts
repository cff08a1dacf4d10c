import type { Instruction } from '../decode/instruction.ts';
import { ACCESS } from '../mmu/access.ts';
import { GPR, S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { ARITHMETIC_FLAGS, FLAG } from '../state/state.ts';
import { CR4, SHADOW } from './control-bits.ts';
import { gp, ud } from './exception.ts';
import { isProtected } from './segments.ts';
import { currentStack, setRsp } from './stack.ts';
import type { SystemCpu } from './system-cpu.ts';
import { checkV86Iopl } from './v86.ts';

const RSP = S.gpr + GPR.RSP * 8;
/** What POPF and IRET may change at any privilege. */
const ORDINARY = ARITHMETIC_FLAGS | FLAG.TF | FLAG.DF | FLAG.NT | FLAG.AC | FLAG.ID;

/** Flags that POPF (and IRET, with RF) may change now. @spec SDM-2B "POPF" table 4-15 */
export function changeableFlags(state: CpuState): number {
  const cpl = isProtected(state) ? state.cpl : 0;
  const iopl = (state.get32(S.flags) >> 12) & 3;
  return ORDINARY | (cpl === 0 ? FLAG.IOPL : 0) | (cpl <= iopl ? FLAG.IF : 0);
}

/**
 * Replaces the flags in `mask` and tells those who depend on them. All arithmetic flags are in every mask.
 * The owner's run loop looks at IF itself after each instruction in TypeScript.
 */
export function replaceFlags(cpu: SystemCpu, value: number, mask: number): void {
  const { state } = cpu;
  const old = state.get32(S.flags);
  state.setRflags((old & ~mask) | (value & mask));
  const changed = (old ^ value) & mask;
  if ((changed & FLAG.TF) !== 0) cpu.modeChanged();
  else if ((changed & FLAG.AC) !== 0) cpu.mmu.selectView();
}

/** The kernel saves and restores IF with these two around every lock: the 64-bit form avoids BigInt. */
export function pushf(cpu: SystemCpu, insn: Instruction): void {
  checkV86Iopl(cpu.state);
  const flags = cpu.state.rflags() & ~(FLAG.RF | FLAG.VM);
  if (insn.operandSize === 64) {
    const oldLow = cpu.state.get32(RSP);
    const low = (oldLow - 8) | 0;
    const high = cpu.state.get32(RSP + 4) - (oldLow >>> 0 < 8 ? 1 : 0);
    cpu.mmu.writePair(low, high, cpu.mmu.privilege() | ACCESS.stack, flags, 0);
    setRsp(cpu, low, high);
    return;
  }
  const stack = currentStack(cpu);
  stack.push(BigInt(flags), insn.operandSize / 8);
  stack.store();
}

export function popf(cpu: SystemCpu, insn: Instruction): void {
  checkV86Iopl(cpu.state);
  let mask = changeableFlags(cpu.state);
  let value: number;
  if (insn.operandSize === 64) {
    const low = cpu.state.get32(RSP);
    const high = cpu.state.get32(RSP + 4);
    value = cpu.mmu.read(low, high, 4, cpu.mmu.privilege() | ACCESS.stack);
    const next = (low + 8) | 0;
    setRsp(cpu, next, next >>> 0 < 8 ? high + 1 : high);
  } else {
    const stack = currentStack(cpu);
    value = Number(stack.pop(insn.operandSize / 8));
    if (insn.operandSize === 16) mask &= 0xffff;
    stack.store();
  }
  replaceFlags(cpu, value, mask | ARITHMETIC_FLAGS);
}

export function cli(cpu: SystemCpu): void {
  checkIopl(cpu.state);
  cpu.state.set32(S.flags, cpu.state.get32(S.flags) & ~FLAG.IF);
}

/** Interrupts open only after the next instruction. */
export function sti(cpu: SystemCpu): void {
  const { state } = cpu;
  checkIopl(state);
  const flags = state.get32(S.flags);
  if ((flags & FLAG.IF) === 0) state.set32(S.shadow, state.get32(S.shadow) | SHADOW.interrupts);
  state.set32(S.flags, flags | FLAG.IF);
}

function checkIopl(state: CpuState): void {
  if (isProtected(state) && state.cpl > ((state.get32(S.flags) >> 12) & 3)) throw gp(0);
}

export function clac(cpu: SystemCpu): void {
  setAc(cpu, 0);
}

export function stac(cpu: SystemCpu): void {
  setAc(cpu, FLAG.AC);
}

function setAc(cpu: SystemCpu, ac: number): void {
  const { state } = cpu;
  if (state.cpl !== 0 || !isProtected(state) || !cpu.model.features.smap) throw ud();
  state.set32(S.flags, (state.get32(S.flags) & ~FLAG.AC) | ac);
  cpu.mmu.selectView();
}

/** CR4.UMIP keeps SGDT, SIDT, SLDT, STR and SMSW from user code. */
export function checkUmip(state: CpuState): void {
  if ((state.get32(S.cr4) & CR4.UMIP) !== 0 && state.cpl > 0) throw gp(0);
}

/** #GP(0) above CPL 0. Real mode runs at CPL 0. */
export function requireCpl0(state: CpuState): void {
  if (isProtected(state) && state.cpl !== 0) throw gp(0);
}
