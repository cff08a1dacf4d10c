import type { CpuState } from '../state/state.ts';
import type { CpuModel } from '../state/cpuid.ts';
import type { Mmu } from '../mmu/mmu.ts';
import type { Instruction } from '../decode/instruction.ts';

/** What instructions in TypeScript may use of a vCPU. Addresses are linear, bigint, canonical-checked by the access itself. */
export interface SystemCpu {
  readonly state: CpuState;
  readonly mmu: Mmu;
  readonly io: CpuIo;
  /** What CPUID says, and with it which control bits and system instructions exist. */
  readonly model: CpuModel;
  /** Linear address of the instruction that runs. */
  readonly instructionRip: bigint;
  /** Effective linear address of the instruction's memory operand. */
  address(insn: Instruction): bigint;
  /** Reads 1, 2, 4 or 8 bytes at a linear address with the current privilege; throws GuestException (#PF, #GP, #AC). */
  read(linear: bigint, bytes: number): bigint;
  write(linear: bigint, bytes: number, value: bigint): void;
  /** As read/write but always with supervisor privilege (descriptor tables, TSS, interrupt stacks). */
  readSystem(linear: bigint, bytes: number): bigint;
  writeSystem(linear: bigint, bytes: number, value: bigint): void;
  /** Code caches and views depend on CR0, CR3, CR4, EFER, CPL, CS, SS, EFLAGS: call after changing any of them. */
  modeChanged(): void;
  /** The instruction took as long as thousands of others: whoever runs the CPU has its turn soon. */
  requestExit(): void;
}

/** The machine around the CPU. */
export interface CpuIo {
  portRead(port: number, bytes: 1 | 2 | 4): number;
  portWrite(port: number, bytes: 1 | 2 | 4, value: number): void;
  /** The machine's time-stamp counter now, at CpuModel.tscHz. */
  tsc(): bigint;
  /** Wall clock in nanoseconds since 1970, for kvmclock. */
  wallClockNs(): bigint;
  /** MSRs of the local APIC (IA32_APIC_BASE, x2APIC, TSC deadline); undefined = #GP. */
  readApicMsr(index: number): bigint | undefined;
  writeApicMsr(index: number, value: bigint): boolean;
  /** CR8: task priority 0..15. */
  readTpr(): number;
  writeTpr(value: number): void;
  /** Whether an external interrupt waits for RFLAGS.IF. */
  hasInterrupt(): boolean;
  /** Fills with random bytes (RDRAND, RDSEED). */
  random(into: Uint8Array): void;
}
