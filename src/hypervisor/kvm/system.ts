import { closeSync, openSync } from 'node:fs';
import type { KernelCalls } from '../../native/kernel-calls.ts';
import { type CpuidEntry, readCpuid } from './cpuid-table.ts';
import { checked } from './kvm-error.ts';
import { IOCTL, kvm_cpuid2, kvm_cpuid_entry2 } from './structs.ts';
import { KvmVmDescriptor } from './vm.ts';

/** More leaves than any processor has. */
const CPUID_ENTRIES_MAX = 256;

/** /dev/kvm, opened. One method per ioctl. @spec KVM-API §4 "system ioctls" */
export class KvmSystem {
  readonly #calls: KernelCalls;
  readonly #fd: number;

  /** @throws Node's error: ENOENT, EACCES, … */
  constructor(calls: KernelCalls) {
    this.#calls = calls;
    this.#fd = openSync('/dev/kvm', 'r+');
  }

  getApiVersion(): number {
    return this.#ioctl('KVM_GET_API_VERSION', 0);
  }

  /** 0: the host has it not; what other numbers mean depends on the capability. */
  checkExtension(capability: number): number {
    return this.#ioctl('KVM_CHECK_EXTENSION', capability);
  }

  getVcpuMmapSize(): number {
    return this.#ioctl('KVM_GET_VCPU_MMAP_SIZE', 0);
  }

  createVm(): KvmVmDescriptor {
    return new KvmVmDescriptor(this.#calls, this.#ioctl('KVM_CREATE_VM', 0), this.getVcpuMmapSize());
  }

  getSupportedCpuid(): CpuidEntry[] {
    const bytes = new Uint8Array(kvm_cpuid2.entries + CPUID_ENTRIES_MAX * kvm_cpuid_entry2.size);
    new DataView(bytes.buffer).setUint32(kvm_cpuid2.nent, CPUID_ENTRIES_MAX, true);
    this.#ioctl('KVM_GET_SUPPORTED_CPUID', bytes);
    return readCpuid(bytes);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #ioctl(name: keyof typeof IOCTL, argument: number | Uint8Array): number {
    return checked(name, this.#calls.ioctl(this.#fd, IOCTL[name], argument));
  }
}
