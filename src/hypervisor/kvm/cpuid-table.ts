import { kvm_cpuid2, kvm_cpuid_entry2 } from './structs.ts';

/** One leaf of CPUID, or one subleaf. All values are unsigned. */
export interface CpuidEntry {
  readonly function: number;
  readonly index: number;
  readonly flags: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** What KVM filled in. @spec KVM-API §4.46 KVM_GET_SUPPORTED_CPUID */
export function readCpuid(bytes: Uint8Array): CpuidEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entry = kvm_cpuid_entry2;
  return Array.from({ length: view.getUint32(kvm_cpuid2.nent, true) }, (_, i) => {
    const at = kvm_cpuid2.entries + i * entry.size;
    const field = (offset: number): number => view.getUint32(at + offset, true);
    return {
      function: field(entry.function),
      index: field(entry.index),
      flags: field(entry.flags),
      eax: field(entry.eax),
      ebx: field(entry.ebx),
      ecx: field(entry.ecx),
      edx: field(entry.edx),
    };
  });
}

/** As KVM_SET_CPUID2 takes it. */
export function writeCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  const bytes = new Uint8Array(kvm_cpuid2.entries + entries.length * kvm_cpuid_entry2.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(kvm_cpuid2.nent, entries.length, true);
  entries.forEach((entry, i) => {
    const at = kvm_cpuid2.entries + i * kvm_cpuid_entry2.size;
    for (const [name, value] of Object.entries(entry) as [keyof CpuidEntry, number][]) {
      view.setUint32(at + kvm_cpuid_entry2[name], value, true);
    }
  });
  return bytes;
}
