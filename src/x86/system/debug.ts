import type { Instruction } from '../decode/instruction.ts';
import { S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { FLAG } from '../state/state.ts';
import { CR4 } from './control-bits.ts';
import { GuestException, gp, ud, VECTOR } from './exception.ts';
import { requireCpl0 } from './flags.ts';
import { BREAK_ON, isBreakpoint, lengthOf } from '../mmu/watchpoints.ts';
import { writeGpr } from './operands.ts';
import { is64 } from './segments.ts';
import type { SystemCpu } from './system-cpu.ts';

/** @spec SDM-3B §17.2 */
const DR6_FIXED = 0xffff_0ff0n;
const DR6_WRITABLE = 0xe00fn;
const DR7_FIXED = 0x400n;
const DR7_WRITABLE = 0xffff_23ffn;
const DR6 = { BD: 0x2000n, BS: 0x4000n } as const;
const DR7_GD = 0x2000;
const DR7_ENABLES = 0xff;

/** Whether instructions must run one at a time: RFLAGS.TF, or an enabled instruction breakpoint. */
export function needsDebugStepping(state: CpuState): boolean {
  return (state.get32(S.flags) & FLAG.TF) !== 0 || hasInstructionBreakpoint(state.get32(S.dr + 7 * 8));
}

function hasInstructionBreakpoint(dr7: number): boolean {
  if ((dr7 & DR7_ENABLES) === 0) return false;
  for (let i = 0; i < 4; i++) if (isBreakpoint(dr7, i, BREAK_ON.execution)) return true;
  return false;
}

/**
 * Before an instruction while stepping. Breakpoints are faults; RFLAGS.RF lets the instruction pass once.
 * @param linear address of the instruction
 * @returns whether #DB must be delivered instead of the instruction
 */
export function hitsInstructionBreakpoint(state: CpuState, linear: bigint): boolean {
  const dr7 = state.get32(S.dr + 7 * 8);
  if ((state.get32(S.flags) & FLAG.RF) !== 0 || !hasInstructionBreakpoint(dr7)) return false;
  let hits = 0n;
  for (let i = 0; i < 4; i++) if (isBreakpoint(dr7, i, BREAK_ON.execution) && state.get64(S.dr + i * 8) === linear) hits |= 1n << BigInt(i);
  if (hits === 0n) return false;
  raiseBits(state, hits);
  return true;
}

/**
 * After an instruction: the data and I/O breakpoints that it met, and the single step.
 * @returns whether #DB (a trap) must be delivered now
 */
export function takesTrap(state: CpuState, step: boolean): boolean {
  const hits = state.get32(S.breaks);
  if (hits === 0 && !step) return false;
  state.set32(S.breaks, 0);
  raiseBits(state, BigInt(hits) | (step ? DR6.BS : 0n));
  return true;
}

/** I/O breakpoints cover ports, when CR4.DE allows them. @spec SDM-3B §17.2.4 */
export function notePort(state: CpuState, port: number, bytes: number): void {
  const dr7 = state.get32(S.dr + 7 * 8);
  if ((dr7 & DR7_ENABLES) === 0 || (state.get32(S.cr4) & CR4.DE) === 0) return;
  for (let i = 0; i < 4; i++) {
    if (!isBreakpoint(dr7, i, BREAK_ON.io)) continue;
    const length = lengthOf(dr7, i);
    const first = state.get64(S.dr + i * 8) & BigInt(-length);
    if (BigInt(port) < first + BigInt(length) && first < BigInt(port + bytes)) state.set32(S.breaks, state.get32(S.breaks) | (1 << i));
  }
}

/** On the way into the handler of #DB, which may use the debug registers. @spec SDM-3B §17.2.4 "GD" */
export function clearGeneralDetect(state: CpuState): void {
  const slot = S.dr + 7 * 8;
  if ((state.get32(slot) & DR7_GD) !== 0) state.set64(slot, state.get64(slot) & ~BigInt(DR7_GD));
}

function raiseBits(state: CpuState, bits: bigint): void {
  state.set64(S.dr + 6 * 8, (state.get64(S.dr + 6 * 8) & ~0xfn) | DR6_FIXED | bits);
}

export function readDebug(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  const index = debugIndex(cpu, insn.reg);
  writeGpr(state, insn.rm, is64(state) ? 8 : 4, state.get64(S.dr + index * 8));
}

export function writeDebug(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  const index = debugIndex(cpu, insn.reg);
  const value = is64(state) ? state.gpr(insn.rm) : state.gpr(insn.rm) & 0xffff_ffffn;
  if (index >= 6 && value >> 32n !== 0n) throw gp(0);
  const slot = S.dr + index * 8;
  if (index === 6) state.set64(slot, (value & DR6_WRITABLE) | DR6_FIXED);
  else if (index === 7) state.set64(slot, (value & DR7_WRITABLE) | DR7_FIXED);
  else state.set64(slot, value);
  // Of an IRET long ago: it holds for one instruction only.
  state.set32(S.flags, state.get32(S.flags) & ~FLAG.RF);
  if (index !== 6) cpu.mmu.updateBreakpoints();
  cpu.modeChanged();
}

/** DR4 and DR5 are other names of DR6 and DR7 unless CR4.DE is set. */
function debugIndex({ state }: SystemCpu, reg: number): number {
  if (reg > 7) throw ud();
  const alias = reg === 4 || reg === 5;
  if (alias && (state.get32(S.cr4) & CR4.DE) !== 0) throw ud();
  requireCpl0(state);
  if ((state.get32(S.dr + 7 * 8) & DR7_GD) !== 0) {
    raiseBits(state, DR6.BD);
    throw new GuestException(VECTOR.DB);
  }
  return alias ? reg + 2 : reg;
}
