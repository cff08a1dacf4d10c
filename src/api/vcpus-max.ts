import { chooseEngine, SOFT_VCPUS_MAX } from './engine.ts';

/** What CPUID's cache leaves can count to. */
const CPUID_VCPUS_MAX = 128;

/** Most vCPUs of a machine that leaves the choice of its engine to us; probes KVM at the first call. */
export function vcpusMax(): number {
  const { kvm } = chooseEngine();
  return kvm.kind === 'good' || kvm.kind === 'slow' ? Math.min(kvm.vcpusMax, CPUID_VCPUS_MAX) : SOFT_VCPUS_MAX;
}
