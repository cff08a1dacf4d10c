import { loadKernelCalls } from '../../native/kernel-calls.ts';
import { loadThreadSignals } from '../../native/thread-signals.ts';
import type { Hypervisor, VmConfig } from '../contract.ts';
import { KvmVm } from './kvm-vm.ts';
import { KRUN_NEEDS } from './needs.ts';
import { KVM } from './structs.ts';
import { KvmSystem } from './system.ts';

export { type KvmVerdict, probeKvm } from './probe.ts';

export interface KvmOptions {
  /** Guests may use virtualisation themselves. */
  readonly nested?: boolean;
  /** The I/O APIC is ours; there is no PIC and no PIT. */
  readonly splitIrqchip?: boolean;
}

export interface KvmHypervisor extends Hypervisor {
  readonly tscKHz: number;
  /** Most vCPUs of one VM. */
  readonly vcpusMax: number;
  createVm(config: VmConfig): Promise<KvmVm>;
  /** VMs that exist live on. */
  close(): void;
}

/**
 * The KVM engine: guests run on this host's processor.
 *
 * @throws {Error} koffi is missing, or what opening /dev/kvm answered   @throws {KvmIoctlError}
 */
export function createKvmHypervisor({ nested = false, splitIrqchip = false }: KvmOptions = {}): KvmHypervisor {
  const calls = loadKernelCalls();
  const signals = loadThreadSignals();
  if (calls === null || signals === null) throw new Error('Cannot use KVM: native calls (koffi) do not work here');
  const system = new KvmSystem(calls);
  try {
    checkHost(system, splitIrqchip);
  } catch (error) {
    system.close();
    throw error;
  }
  return {
    kind: 'kvm',
    tscKHz: tscKHz(system),
    vcpusMax: vcpusMax(system),
    createVm: async (config) => new KvmVm({ calls, signals, system, nested, splitIrqchip }, config),
    close: () => system.close(),
  };
}

/** Guests see the host's time-stamp counter, with its frequency. */
function tscKHz(system: KvmSystem): number {
  const vm = system.createVm();
  const vcpu = vm.createVcpu(0);
  try {
    return vcpu.getTscKHz();
  } finally {
    vcpu.close();
    vm.close();
  }
}

/** @throws {Error} what is missing */
function checkHost(system: KvmSystem, split: boolean): void {
  const version = system.getApiVersion();
  if (version !== KVM.API_VERSION) throw new Error(`Cannot use KVM: its interface has version ${version}, not 12`);
  const needs = split ? ([...KRUN_NEEDS, 'SPLIT_IRQCHIP', 'SIGNAL_MSI'] as const) : KRUN_NEEDS;
  const missing = needs.filter((name) => system.checkExtension(KVM[`CAP_${name}`]) === 0);
  if (missing.length > 0) throw new Error(`Cannot use KVM: this host has no KVM_CAP_${missing.join(', KVM_CAP_')}`);
}

/** The most that KVM allows; hosts that do not say allow what they recommend. @spec KVM-API §4.7 KVM_CREATE_VCPU */
function vcpusMax(system: KvmSystem): number {
  return system.checkExtension(KVM.CAP_MAX_VCPUS) || system.checkExtension(KVM.CAP_NR_VCPUS) || 4;
}
