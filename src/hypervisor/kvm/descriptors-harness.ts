// A VM and a vCPU of KVM without threads: tests run it where they are.
import { loadKernelCalls } from '../../native/kernel-calls.ts';
import { GuestRam } from './guest-ram.ts';
import { KvmSystem } from './system.ts';
import type { KvmVcpuDescriptor } from './vcpu.ts';
import type { KvmVmDescriptor } from './vm.ts';

export interface Descriptors {
  readonly system: KvmSystem;
  readonly vm: KvmVmDescriptor;
  readonly vcpu: KvmVcpuDescriptor;
}

/** With interrupt controllers in the kernel, or without any. */
export function openDescriptors({ irqchip = false } = {}): Descriptors & { close(): void } {
  const calls = loadKernelCalls();
  if (calls === null) throw new Error('Cannot test KVM: no native calls');
  const system = new KvmSystem(calls);
  const vm = system.createVm();
  if (irqchip) vm.createIrqchip();
  const vcpu = vm.createVcpu(0);
  vcpu.setCpuid2(system.getSupportedCpuid()); // long mode is a feature
  const close = (): void => {
    vcpu.close();
    vm.close();
    system.close();
  };
  return { system, vm, vcpu, close };
}

/** Everything is closed afterwards. */
export function withDescriptors(body: (descriptors: Descriptors) => void, options = {}): void {
  const { close, ...descriptors } = openDescriptors(options);
  try {
    body(descriptors);
  } finally {
    close();
  }
}

/** Memory to put behind a slot. */
export function ramOf(length: number): GuestRam {
  const calls = loadKernelCalls();
  if (calls === null) throw new Error('Cannot test KVM: no native calls');
  return new GuestRam(calls, length);
}
