import { GPR, S } from '../state/layout.ts';
import { CONSTANT_MSRS, MSR, MSR_SLOT, STORED_MSRS, type StoredMsr } from '../state/msr.ts';
import { isNonCanonical } from './canonical.ts';
import { CR0, EFER } from './control-bits.ts';
import { gp } from './exception.ts';
import { requireCpl0 } from './flags.ts';
import { guestTsc, updateSystemTime, updateWallClock } from './kvm-clock.ts';
import { writeHalves } from './operands.ts';
import type { SystemCpu } from './system-cpu.ts';

/** @spec SDM-2B "RDMSR" */
export function rdmsr(cpu: SystemCpu): void {
  requireCpl0(cpu.state);
  const value = readMsr(cpu, cpu.state.get32(S.gpr + GPR.RCX * 8) >>> 0);
  if (value === undefined) throw gp(0);
  writeHalves(cpu.state, GPR.RAX, Number(value & 0xffff_ffffn), 0);
  writeHalves(cpu.state, GPR.RDX, Number((value >> 32n) & 0xffff_ffffn), 0);
}

/** @spec SDM-2B "WRMSR" */
export function wrmsr(cpu: SystemCpu): void {
  const { state } = cpu;
  requireCpl0(state);
  const low = BigInt(state.get32(S.gpr + GPR.RAX * 8) >>> 0);
  const high = BigInt(state.get32(S.gpr + GPR.RDX * 8) >>> 0);
  if (!writeMsr(cpu, state.get32(S.gpr + GPR.RCX * 8) >>> 0, (high << 32n) | low)) throw gp(0);
}

/** @returns undefined for an MSR that does not exist */
export function readMsr(cpu: SystemCpu, index: number): bigint | undefined {
  const { state, model } = cpu;
  const stored = storedMsr(cpu, index);
  if (stored !== undefined) return state.get64(stored.slot);
  switch (index) {
    case MSR.IA32_EFER:
      return state.get64(S.efer);
    case MSR.IA32_TSC:
      return guestTsc(cpu);
    case MSR.IA32_TSC_ADJUST:
      return model.features.tscAdjust ? state.get64(MSR_SLOT.TSC_ADJUST) : undefined;
    case MSR.IA32_TSC_DEADLINE:
      return readDeadline(cpu);
    case MSR.IA32_XSS:
      return model.features.xsaves ? 0n : undefined;
    case MSR.IA32_ARCH_CAPABILITIES:
      return model.features.archCapabilities ? ARCH_CAPABILITIES : undefined;
    case MSR.KVM_SYSTEM_TIME:
    case MSR.KVM_SYSTEM_TIME_NEW:
      return hasKvmClock(cpu) ? state.get64(MSR_SLOT.KVM_SYSTEM_TIME) : undefined;
    case MSR.KVM_WALL_CLOCK:
    case MSR.KVM_WALL_CLOCK_NEW:
      return hasKvmClock(cpu) ? state.get64(MSR_SLOT.KVM_WALL_CLOCK) : undefined;
    default:
      return isApicMsr(index) ? cpu.io.readApicMsr(index) : CONSTANT_MSRS.get(index)?.value;
  }
}

/** @returns false when the write raises #GP */
export function writeMsr(cpu: SystemCpu, index: number, value: bigint): boolean {
  const { state, model } = cpu;
  const stored = storedMsr(cpu, index);
  if (stored !== undefined) return writeStored(cpu, stored, value);
  switch (index) {
    case MSR.IA32_EFER:
      return writeEfer(cpu, value);
    case MSR.IA32_TSC:
      return writeTsc(cpu, value);
    case MSR.IA32_TSC_ADJUST:
      return model.features.tscAdjust && moveTsc(cpu, value - state.get64(MSR_SLOT.TSC_ADJUST));
    case MSR.IA32_TSC_DEADLINE:
      return writeDeadline(cpu, value);
    case MSR.IA32_XSS:
      return model.features.xsaves && value === 0n;
    case MSR.KVM_SYSTEM_TIME:
    case MSR.KVM_SYSTEM_TIME_NEW:
      return writeSystemTime(cpu, value);
    case MSR.KVM_WALL_CLOCK:
    case MSR.KVM_WALL_CLOCK_NEW:
      return writeWallClock(cpu, value);
    default:
      return isApicMsr(index) ? cpu.io.writeApicMsr(index, value) : CONSTANT_MSRS.get(index)?.ignoreWrites === true;
  }
}

/** What the part says about speculation: it does not speculate, so every bug that can be denied is. @spec SDM-4 table 2-2 */
const ARCH_CAPABILITIES = [0, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27, 62].reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n);

function storedMsr(cpu: SystemCpu, index: number): StoredMsr | undefined {
  const stored = STORED_MSRS.get(index);
  return stored?.vendor === undefined || stored.vendor === cpu.model.vendor ? stored : undefined;
}

function writeStored(cpu: SystemCpu, msr: StoredMsr, value: bigint): boolean {
  if ((value & ~msr.mask) !== 0n) return false;
  if (msr.canonical === true && isNonCanonical(value)) return false;
  if (msr.memoryTypes === true && !isMemoryTypes(value)) return false;
  cpu.state.set64(msr.slot, value);
  return true;
}

/** Types 2 and 3 are reserved. */
function isMemoryTypes(value: bigint): boolean {
  for (let rest = value; rest !== 0n; rest >>= 8n) {
    const type = rest & 0xffn;
    if (type === 2n || type === 3n || type > 7n) return false;
  }
  return true;
}

function isApicMsr(index: number): boolean {
  return index === MSR.IA32_APIC_BASE || (index >= MSR.IA32_X2APIC_FIRST && index <= MSR.IA32_X2APIC_LAST);
}

function hasKvmClock({ model }: SystemCpu): boolean {
  return model.features.hypervisor && model.features.kvmclock;
}

function writeEfer(cpu: SystemCpu, value: bigint): boolean {
  const { state, model } = cpu;
  const { syscall, lm, nx } = model.features;
  const allowed = (syscall ? EFER.SCE : 0) | (lm ? EFER.LME | EFER.LMA : 0) | (nx ? EFER.NXE : 0);
  if ((value & ~BigInt(allowed)) !== 0n) return false;
  const old = state.get32(S.efer);
  const paging = (state.get32(S.cr0) & CR0.PG) !== 0;
  if (paging && ((Number(value) ^ old) & EFER.LME) !== 0) return false;
  // LMA follows LME and CR0.PG; software cannot write it.
  const next = (Number(value) & ~EFER.LMA) | (old & EFER.LMA);
  state.set64(S.efer, BigInt(next));
  if (((next ^ old) & EFER.NXE) !== 0) cpu.mmu.flushAll();
  cpu.mmu.updateMode();
  cpu.modeChanged();
  return true;
}

function writeTsc(cpu: SystemCpu, value: bigint): boolean {
  return moveTsc(cpu, value - guestTsc(cpu));
}

/** TSC and TSC_ADJUST move together. @spec SDM-3B §17.17.3 */
function moveTsc(cpu: SystemCpu, by: bigint): boolean {
  const { state } = cpu;
  state.set64(MSR_SLOT.TSC_OFFSET, BigInt.asUintN(64, state.get64(MSR_SLOT.TSC_OFFSET) + by));
  state.set64(MSR_SLOT.TSC_ADJUST, BigInt.asUintN(64, state.get64(MSR_SLOT.TSC_ADJUST) + by));
  if (hasKvmClock(cpu)) updateSystemTime(cpu);
  return true;
}

/** The APIC counts on the machine's TSC, the guest on its own. Zero disarms. */
function writeDeadline(cpu: SystemCpu, value: bigint): boolean {
  if (!cpu.model.features.tscDeadline) return false;
  const offset = cpu.state.get64(MSR_SLOT.TSC_OFFSET);
  return cpu.io.writeApicMsr(MSR.IA32_TSC_DEADLINE, value === 0n ? 0n : BigInt.asUintN(64, value - offset));
}

function readDeadline(cpu: SystemCpu): bigint | undefined {
  if (!cpu.model.features.tscDeadline) return undefined;
  const value = cpu.io.readApicMsr(MSR.IA32_TSC_DEADLINE);
  return value === undefined || value === 0n ? value : BigInt.asUintN(64, value + cpu.state.get64(MSR_SLOT.TSC_OFFSET));
}

function writeSystemTime(cpu: SystemCpu, value: bigint): boolean {
  if (!hasKvmClock(cpu)) return false;
  cpu.state.set64(MSR_SLOT.KVM_SYSTEM_TIME, value);
  updateSystemTime(cpu);
  return true;
}

function writeWallClock(cpu: SystemCpu, value: bigint): boolean {
  if (!hasKvmClock(cpu)) return false;
  cpu.state.set64(MSR_SLOT.KVM_WALL_CLOCK, value);
  updateWallClock(cpu);
  return true;
}
