import type { Instruction } from '../decode/instruction.ts';
import { S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { FLAG } from '../state/state.ts';
import { CR4 } from './control-bits.ts';
import { GuestException, gp, ud, VECTOR } from './exception.ts';
import { requireCpl0 } from './flags.ts';
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

/**
 * Whether instructions must run one at a time: RFLAGS.TF, or an enabled instruction breakpoint.
 * @unsupported SDM-3B §17.2.4 data and I/O breakpoints: DR7 keeps them, accesses do not match
 */
export function needsDebugStepping(state: CpuState): boolean {
  return (state.get32(S.flags) & FLAG.TF) !== 0 || hasInstructionBreakpoint(state.get32(S.dr + 7 * 8));
}

function hasInstructionBreakpoint(dr7: number): boolean {
  if ((dr7 & DR7_ENABLES) === 0) return false;
  for (let i = 0; i < 4; i++) if (isExecution(dr7, i)) return true;
  return false;
}

function isExecution(dr7: number, i: number): boolean {
  return ((dr7 >> (i * 2)) & 3) !== 0 && ((dr7 >>> (16 + i * 4)) & 3) === 0;
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
  for (let i = 0; i < 4; i++) if (isExecution(dr7, i) && state.get64(S.dr + i * 8) === linear) hits |= 1n << BigInt(i);
  if (hits === 0n) return false;
  raiseBits(state, hits);
  return true;
}

/**
 * After an instruction while stepping.
 * @param flagsBefore S.flags before it: TF must have been set then
 * @returns whether #DB (a trap) must be delivered now
 */
export function completesStep(state: CpuState, flagsBefore: number): boolean {
  state.set32(S.flags, state.get32(S.flags) & ~FLAG.RF);
  if ((flagsBefore & FLAG.TF) === 0) return false;
  raiseBits(state, DR6.BS);
  return true;
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
  cpu.modeChanged();
}

/** DR4 and DR5 are other names of DR6 and DR7 unless CR4.DE is set. */
function debugIndex({ state }: SystemCpu, reg: number): number {
  if (reg > 7) throw ud();
  const alias = reg === 4 || reg === 5;
  if (alias && (state.get32(S.cr4) & CR4.DE) !== 0) throw ud();
  requireCpl0(state);
  if ((state.get32(S.dr + 7 * 8) & DR7_GD) !== 0) {
    state.set64(S.dr + 7 * 8, state.get64(S.dr + 7 * 8) & ~BigInt(DR7_GD));
    raiseBits(state, DR6.BD);
    throw new GuestException(VECTOR.DB);
  }
  return alias ? reg + 2 : reg;
}
