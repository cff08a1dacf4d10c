import type { KernelCalls, Mapping } from '../../native/kernel-calls.ts';
import { type CpuidEntry, writeCpuid } from './cpuid-table.ts';
import { checked, KvmIoctlError } from './kvm-error.ts';
import {
  IOCTL,
  kvm_fpu,
  kvm_guest_debug,
  kvm_lapic_state,
  kvm_mp_state,
  kvm_msr_entry,
  kvm_msrs,
  kvm_regs,
  kvm_signal_mask,
  kvm_sregs,
  kvm_vcpu_events,
} from './structs.ts';
import { bytesOf, struct } from './struct.ts';

/** The kernel's sigset_t. */
const SIGSET_BYTES = 8;

/** One virtual processor of KVM. One method per ioctl; states are the kernel's structs. @spec KVM-API §4 "vcpu ioctls" */
export class KvmVcpuDescriptor {
  readonly fd: number;
  /** Bytes of kvm_run and what lies behind it. */
  readonly runBytes: number;
  readonly #calls: KernelCalls;

  constructor(calls: KernelCalls, fd: number, runBytes: number) {
    this.#calls = calls;
    this.fd = fd;
    this.runBytes = runBytes;
  }

  /** What this processor and we share. Unmap it before `close`. */
  mapRun(): Mapping {
    const mapping = this.#calls.map(this.fd, this.runBytes);
    if (typeof mapping === 'number') throw new KvmIoctlError('mmap of kvm_run', -mapping);
    return mapping;
  }

  /** Runs the guest on this thread until it leaves guest mode for us. @returns 0, or -EINTR, -EAGAIN, … */
  run(): number {
    return this.#calls.ioctl(this.fd, IOCTL.KVM_RUN, 0);
  }

  getRegs(): DataView {
    return this.#get('KVM_GET_REGS', kvm_regs.size);
  }

  setRegs(regs: DataView): void {
    this.#ioctl('KVM_SET_REGS', regs);
  }

  getSregs(): DataView {
    return this.#get('KVM_GET_SREGS', kvm_sregs.size);
  }

  setSregs(sregs: DataView): void {
    this.#ioctl('KVM_SET_SREGS', sregs);
  }

  getFpu(): DataView {
    return this.#get('KVM_GET_FPU', kvm_fpu.size);
  }

  setFpu(fpu: DataView): void {
    this.#ioctl('KVM_SET_FPU', fpu);
  }

  getLapic(): DataView {
    return this.#get('KVM_GET_LAPIC', kvm_lapic_state.size);
  }

  setLapic(lapic: DataView): void {
    this.#ioctl('KVM_SET_LAPIC', lapic);
  }

  getVcpuEvents(): DataView {
    return this.#get('KVM_GET_VCPU_EVENTS', kvm_vcpu_events.size);
  }

  setVcpuEvents(events: DataView): void {
    this.#ioctl('KVM_SET_VCPU_EVENTS', events);
  }

  getMpState(): number {
    return this.#get('KVM_GET_MP_STATE', kvm_mp_state.size).getUint32(kvm_mp_state.mp_state, true);
  }

  setMpState(state: number): void {
    const mp = struct(kvm_mp_state.size);
    mp.setUint32(kvm_mp_state.mp_state, state, true);
    this.#ioctl('KVM_SET_MP_STATE', mp);
  }

  getTscKHz(): number {
    return this.#ioctl('KVM_GET_TSC_KHZ', 0);
  }

  setCpuid2(entries: readonly CpuidEntry[]): void {
    this.#ioctl('KVM_SET_CPUID2', writeCpuid(entries));
  }

  /** @returns how many were set; the first that KVM refuses ends it */
  setMsrs(values: ReadonlyMap<number, bigint>): number {
    const msrs = msrList([...values.keys()]);
    [...values.values()].forEach((value, i) => {
      msrs.setBigUint64(kvm_msrs.entries + i * kvm_msr_entry.size + kvm_msr_entry.data, value, true);
    });
    return this.#ioctl('KVM_SET_MSRS', msrs);
  }

  /** Values of those that KVM knows, up to the first that it does not. */
  getMsrs(indices: readonly number[]): bigint[] {
    const msrs = msrList(indices);
    const count = this.#ioctl('KVM_GET_MSRS', msrs);
    return Array.from({ length: count }, (_, i) =>
      msrs.getBigUint64(kvm_msrs.entries + i * kvm_msr_entry.size + kvm_msr_entry.data, true),
    );
  }

  /** The signals that are blocked while the guest runs, instead of those that the thread blocks otherwise. */
  setSignalMask(blocked: bigint): void {
    const mask = struct(kvm_signal_mask.sigset + SIGSET_BYTES);
    mask.setUint32(kvm_signal_mask.len, SIGSET_BYTES, true);
    mask.setBigUint64(kvm_signal_mask.sigset, blocked, true);
    this.#ioctl('KVM_SET_SIGNAL_MASK', mask);
  }

  setGuestDebug(control: number): void {
    const debug = struct(kvm_guest_debug.size);
    debug.setUint32(kvm_guest_debug.control, control, true);
    this.#ioctl('KVM_SET_GUEST_DEBUG', debug);
  }

  nmi(): void {
    this.#ioctl('KVM_NMI', 0);
  }

  close(): void {
    this.#calls.close(this.fd);
  }

  #get(name: keyof typeof IOCTL, size: number): DataView {
    const into = struct(size);
    this.#ioctl(name, into);
    return into;
  }

  #ioctl(name: keyof typeof IOCTL, argument: number | DataView | Uint8Array): number {
    const passed = argument instanceof DataView ? bytesOf(argument) : argument;
    return checked(name, this.#calls.ioctl(this.fd, IOCTL[name], passed));
  }
}

function msrList(indices: readonly number[]): DataView {
  const msrs = struct(kvm_msrs.entries + indices.length * kvm_msr_entry.size);
  msrs.setUint32(kvm_msrs.nmsrs, indices.length, true);
  indices.forEach((index, i) => {
    msrs.setUint32(kvm_msrs.entries + i * kvm_msr_entry.size + kvm_msr_entry.index, index, true);
  });
  return msrs;
}
