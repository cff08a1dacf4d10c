import { guestCpuid } from './cpuid.ts';
import type { CpuidEntry } from './cpuid-table.ts';
import { kvm_fpu, kvm_lapic_state } from './structs.ts';
import type { KvmVcpuDescriptor } from './vcpu.ts';
import { struct } from './struct.ts';

/** Model-specific registers as a kernel that is booted directly expects them. @spec SDM-4 §2.1 */
const MSRS: ReadonlyMap<number, bigint> = new Map([
  [0x174, 0n], // IA32_SYSENTER_CS, _ESP, _EIP
  [0x175, 0n],
  [0x176, 0n],
  [0xc000_0081, 0n], // STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE
  [0xc000_0082, 0n],
  [0xc000_0083, 0n],
  [0xc000_0084, 0n],
  [0xc000_0102, 0n],
  [0x10, 0n], // IA32_TIME_STAMP_COUNTER
  [0x1a0, 1n], // IA32_MISC_ENABLE: fast strings
  [0x2ff, 0x806n], // IA32_MTRR_DEF_TYPE: on, write-back
]);

const FCW = 0x37f;
const MXCSR = 0x1f80;
/** Local vector table entries, and the delivery modes they get. @spec SDM-3A §11.5.1 */
const LVT_LINT0 = 0x350;
const LVT_LINT1 = 0x360;
const DELIVERY_MODE = 0x700;
const NMI = 0x400;
const EXTINT = 0x700;

export interface VcpuSetup {
  readonly supported: readonly CpuidEntry[];
  readonly index: number;
  readonly vcpus: number;
  readonly nested: boolean;
  readonly tscDeadline: boolean;
}

/** Makes a new processor what libkrun makes of it before it gets its entry state. */
export function setUpVcpu(vcpu: KvmVcpuDescriptor, { supported, ...options }: VcpuSetup): void {
  vcpu.setCpuid2(guestCpuid(supported, options));
  // One call each: the list ends at the first register that a host does not have.
  for (const [msr, value] of MSRS) vcpu.setMsrs(new Map([[msr, value]]));
  const fpu = struct(kvm_fpu.size);
  fpu.setUint16(kvm_fpu.fcw, FCW, true);
  fpu.setUint32(kvm_fpu.mxcsr, MXCSR, true);
  vcpu.setFpu(fpu);
  const lapic = vcpu.getLapic();
  setDeliveryMode(lapic, LVT_LINT0, EXTINT);
  setDeliveryMode(lapic, LVT_LINT1, NMI);
  vcpu.setLapic(lapic);
}

function setDeliveryMode(lapic: DataView, register: number, mode: number): void {
  const at = kvm_lapic_state.regs + register;
  lapic.setUint32(at, (lapic.getUint32(at, true) & ~DELIVERY_MODE) | mode, true);
}
