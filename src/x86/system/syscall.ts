import type { Instruction } from '../decode/instruction.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import { MSR_SLOT } from '../state/msr.ts';
import type { CpuState } from '../state/state.ts';
import { FLAG } from '../state/state.ts';
import { isNonCanonicalHigh } from './canonical.ts';
import { EFER } from './control-bits.ts';
import { gp, ud } from './exception.ts';
import { ATTR, is64, isLong, isProtected, setRaw } from './segments.ts';
import type { SystemCpu } from './system-cpu.ts';

const RCX = S.gpr + GPR.RCX * 8;
const RDX = S.gpr + GPR.RDX * 8;
const RSP = S.gpr + GPR.RSP * 8;
const R11 = S.gpr + 11 * 8;
const FLAT = 0xffff_ffff;
const CODE = ATTR.P | ATTR.S | ATTR.code | ATTR.readable | ATTR.accessed | ATTR.G;
const DATA = ATTR.P | ATTR.S | ATTR.writable | ATTR.accessed | ATTR.G | ATTR.DB;
/** RFLAGS bits that SYSRET takes from R11. */
const SYSRET_FLAGS = 0x3c_7fd7;

/**
 * SYSCALL: every system call of a 64-bit guest; halves, no BigInt.
 * Intel parts know it in 64-bit mode only, AMD parts also in compatibility and legacy mode.
 * @spec SDM-2B "SYSCALL", APM-3 "SYSCALL"
 */
export function syscall(cpu: SystemCpu): void {
  const { state } = cpu;
  const in64 = is64(state);
  if ((state.get32(S.efer) & EFER.SCE) === 0 || !isProtected(state)) throw ud();
  if (!in64 && cpu.model.vendor !== 'AuthenticAMD') throw ud();
  const flags = state.rflags() & ~FLAG.RF;
  const selector = state.get32(MSR_SLOT.STAR + 4) & 0xfffc;
  state.set32(RCX, state.get32(S.rip));
  state.set32(RCX + 4, isLong(state) ? state.get32(S.rip + 4) : 0);
  if (isLong(state)) {
    state.set32(R11, flags);
    state.set32(R11 + 4, 0);
    const entry = in64 ? MSR_SLOT.LSTAR : MSR_SLOT.CSTAR;
    state.set32(S.rip, state.get32(entry));
    state.set32(S.rip + 4, state.get32(entry + 4));
    state.setRflags(flags & ~state.get32(MSR_SLOT.SFMASK));
  } else {
    state.set32(S.rip, state.get32(MSR_SLOT.STAR));
    state.set32(S.rip + 4, 0);
    state.set32(S.flags, state.get32(S.flags) & ~(FLAG.IF | FLAG.VM));
  }
  enterFlat(state, { selector, cpl: 0, long: isLong(state) });
  cpu.modeChanged();
}

/** @spec SDM-2B "SYSRET" */
export function sysret(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  if ((state.get32(S.efer) & EFER.SCE) === 0 || !isProtected(state)) throw ud();
  if (!is64(state) && cpu.model.vendor !== 'AuthenticAMD') throw ud();
  if (state.cpl !== 0) throw gp(0);
  const to64 = insn.operandSize === 64;
  // Intel checks before leaving CPL 0.
  if (to64 && isNonCanonicalHigh(state.get32(RCX + 4))) throw gp(0);
  const star = state.get32(MSR_SLOT.STAR + 4) >>> 16;
  state.set32(S.rip, state.get32(RCX));
  state.set32(S.rip + 4, to64 ? state.get32(RCX + 4) : 0);
  if (isLong(state)) state.setRflags((state.get32(R11) & SYSRET_FLAGS) | FLAG.fixed);
  else state.set32(S.flags, state.get32(S.flags) | FLAG.IF);
  setFlatCode(state, to64 ? star + 16 : star, 3, to64);
  setFlatStack(state, star + 8, 3);
  cpu.modeChanged();
}

/** @spec SDM-2B "SYSENTER" */
export function sysenter(cpu: SystemCpu): void {
  const { state } = cpu;
  if (isLong(state) && cpu.model.vendor === 'AuthenticAMD') throw ud();
  const selector = state.get32(MSR_SLOT.SYSENTER_CS) & 0xfffc;
  if (!isProtected(state) || selector === 0) throw gp(0);
  const long = isLong(state);
  state.set32(S.flags, state.get32(S.flags) & ~(FLAG.VM | FLAG.IF | FLAG.RF));
  state.set32(RSP, state.get32(MSR_SLOT.SYSENTER_ESP));
  state.set32(RSP + 4, long ? state.get32(MSR_SLOT.SYSENTER_ESP + 4) : 0);
  state.set32(S.rip, state.get32(MSR_SLOT.SYSENTER_EIP));
  state.set32(S.rip + 4, long ? state.get32(MSR_SLOT.SYSENTER_EIP + 4) : 0);
  enterFlat(state, { selector, cpl: 0, long });
  cpu.modeChanged();
}

/** @spec SDM-2B "SYSEXIT" */
export function sysexit(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  if (isLong(state) && cpu.model.vendor === 'AuthenticAMD') throw ud();
  const selector = state.get32(MSR_SLOT.SYSENTER_CS) & 0xfffc;
  if (!isProtected(state) || selector === 0 || state.cpl !== 0) throw gp(0);
  const to64 = insn.operandSize === 64;
  if (to64 && (isNonCanonicalHigh(state.get32(RCX + 4)) || isNonCanonicalHigh(state.get32(RDX + 4)))) throw gp(0);
  state.set32(RSP, state.get32(RCX));
  state.set32(RSP + 4, to64 ? state.get32(RCX + 4) : 0);
  state.set32(S.rip, state.get32(RDX));
  state.set32(S.rip + 4, to64 ? state.get32(RDX + 4) : 0);
  setFlatCode(state, selector + (to64 ? 32 : 16), 3, to64);
  setFlatStack(state, selector + (to64 ? 40 : 24), 3);
  cpu.modeChanged();
}

function enterFlat(state: CpuState, { selector, cpl, long }: { selector: number; cpl: number; long: boolean }): void {
  setFlatCode(state, selector, cpl, long);
  setFlatStack(state, selector + 8, cpl);
}

/** These instructions read no descriptors: the segments are what the architecture says they must be. */
function setFlatCode(state: CpuState, selector: number, cpl: number, long: boolean): void {
  setRaw(state, SEG.CS, (selector & 0xfffc) | cpl, 0, FLAT, CODE | (cpl << 5) | (long ? ATTR.L : ATTR.DB));
  state.set32(S.cpl, cpl);
}

function setFlatStack(state: CpuState, selector: number, cpl: number): void {
  setRaw(state, SEG.SS, (selector & 0xfffc) | cpl, 0, FLAT, DATA | (cpl << 5));
}
