import { S } from '../state/layout.ts';
import { MSR_SLOT } from '../state/msr.ts';
import type { SystemCpu } from './system-cpu.ts';

/** Offsets in pvclock_vcpu_time_info. @spec LINUX-KVM "MSR_KVM_SYSTEM_TIME_NEW" */
const TIME = { version: 0, tsc_timestamp: 8, system_time: 16, tsc_to_system_mul: 24, tsc_shift_flags: 28 } as const;
const WALL = { version: 0, sec: 4, nsec: 8 } as const;
const PVCLOCK_TSC_STABLE_BIT = 1;
const ENABLED = 1n;
const NS = 1_000_000_000n;

/** Factor of a pvclock: ns = ((tsc << shift) * mul) >> 32, where a negative shift goes right. */
export interface ClockScale {
  readonly mul: number;
  readonly shift: number;
}

/** The shift that leaves `mul` its full 32 bits. */
export function clockScale(tscHz: number): ClockScale {
  let shift = 0;
  let ratio = 1e9 / tscHz;
  while (ratio >= 1) {
    ratio /= 2;
    shift++;
  }
  while (ratio < 0.5) {
    ratio *= 2;
    shift--;
  }
  return { mul: Math.min(Math.floor(ratio * 2 ** 32), 0xffff_ffff), shift };
}

/** Guest TSC now. */
export function guestTsc(cpu: SystemCpu): bigint {
  return BigInt.asUintN(64, cpu.io.tsc() + cpu.state.get64(MSR_SLOT.TSC_OFFSET));
}

/** Nanoseconds since the machine's TSC was zero. */
function systemTime(cpu: SystemCpu): bigint {
  return (cpu.io.tsc() * NS) / BigInt(cpu.model.tscHz);
}

/**
 * Writes the clock's page. The TSC never drifts from the clock, so it is written when the guest asks and when it moves its
 * TSC, and never again.
 */
export function updateSystemTime(cpu: SystemCpu): void {
  const msr = cpu.state.get64(MSR_SLOT.KVM_SYSTEM_TIME);
  if ((msr & ENABLED) === 0n) return;
  const at = Number(msr & ~ENABLED);
  const { mul, shift } = clockScale(cpu.model.tscHz);
  publish(cpu, at, () => {
    write64(cpu, at + TIME.tsc_timestamp, guestTsc(cpu));
    write64(cpu, at + TIME.system_time, systemTime(cpu));
    cpu.mmu.writePhysical32(at + TIME.tsc_to_system_mul, mul);
    cpu.mmu.writePhysical32(at + TIME.tsc_shift_flags, (shift & 0xff) | (PVCLOCK_TSC_STABLE_BIT << 8));
  });
}

/** Writes the time of day at which system time was zero. */
export function updateWallClock(cpu: SystemCpu): void {
  const at = Number(cpu.state.get64(MSR_SLOT.KVM_WALL_CLOCK));
  const boot = cpu.io.wallClockNs() - systemTime(cpu);
  publish(cpu, at, () => {
    cpu.mmu.writePhysical32(at + WALL.sec, Number(BigInt.asIntN(32, boot / NS)));
    cpu.mmu.writePhysical32(at + WALL.nsec, Number(boot % NS));
  });
}

/** The version is odd while the rest changes. */
function publish(cpu: SystemCpu, at: number, fill: () => void): void {
  const version = (cpu.mmu.readPhysical32(at) & ~1) + 2;
  cpu.mmu.writePhysical32(at, version - 1);
  fill();
  cpu.mmu.writePhysical32(at, version);
}

function write64(cpu: SystemCpu, at: number, value: bigint): void {
  cpu.mmu.writePhysical32(at, Number(BigInt.asIntN(32, value)));
  cpu.mmu.writePhysical32(at + 4, Number(BigInt.asIntN(32, value >> 32n)));
}

/** Hypercalls of this interface: none is offered. @spec LINUX-KVM "Linux KVM Hypercalls" */
export function hypercallResult(cpu: SystemCpu): bigint {
  const KVM_ENOSYS = -1000n;
  const KVM_EPERM = -1n;
  const isUser = cpu.state.get32(S.cpl) !== 0;
  return BigInt.asUintN(64, isUser ? KVM_EPERM : KVM_ENOSYS);
}
