import { PHYSICAL_BITS } from '../mmu/access.ts';
import { CACHES, cacheLeaf } from './cpuid-caches.ts';
import { CPU_FEATURES, type CpuFeature, featureWord } from './cpu-features.ts';
import type { CpuidResult } from './cpuid-result.ts';

export type { CpuidResult } from './cpuid-result.ts';

/** What the CPU says it is. Each feature can be switched off; the instructions and control bits behind it go with it. */
export interface CpuModel {
  readonly vendor: 'GenuineIntel' | 'AuthenticAMD';
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  /** At most 47 characters. */
  readonly brand: string;
  /** Rate of the time-stamp counter. */
  readonly tscHz: number;
  readonly vcpus: number;
  readonly apicId: number;
  readonly features: Readonly<Record<CpuFeature, boolean>>;
}

/**
 * The default model. Vendor Intel: Linux takes the TSC rate from leaf 15h and SYSENTER for 32-bit programs only there, and
 * with IA32_ARCH_CAPABILITIES it sees most speculation bugs as absent without a quirk list of family-specific MSRs.
 */
export function cpuModel(
  options: Partial<Omit<CpuModel, 'features'>> & { features?: Partial<Record<CpuFeature, boolean>> } = {},
): CpuModel {
  const all = Object.fromEntries(Object.keys(CPU_FEATURES).map((name) => [name, true])) as Record<CpuFeature, boolean>;
  const defaults = {
    vendor: 'GenuineIntel',
    family: 6,
    model: 0x6a,
    stepping: 6,
    brand: 'krun x86-64 software CPU',
  } as const;
  return {
    ...defaults,
    tscHz: 2_000_000_000,
    vcpus: 1,
    apicId: 0,
    ...options,
    features: { ...all, avx: false, ...options.features },
  };
}

/** What CPUID depends on besides the model. */
export interface CpuidState {
  readonly osxsave: boolean;
  /** Bytes of the XSAVE area for the components enabled in XCR0. */
  readonly xsaveBytes: number;
}

const NONE: CpuidResult = [0, 0, 0, 0];
const MAX_BASIC = 0x16;
const MAX_EXTENDED = 0x8000_0008;
const KVM_BASE = 0x4000_0000;
/** The crystal that leaf 15h multiplies, and at which the timer of the local APIC counts. */
const CRYSTAL_HZ = 1_000_000_000;

/** @spec SDM-2A "CPUID", LINUX-KVM "KVM CPUID bits" */
export function cpuid(model: CpuModel, state: CpuidState, leaf: number, subleaf: number): CpuidResult {
  if (leaf >= 0x8000_0000)
    return leaf <= MAX_EXTENDED ? extendedLeaf(model, leaf) : basicLeaf(model, state, MAX_BASIC, subleaf);
  if (leaf >= KVM_BASE && leaf < KVM_BASE + 0x100 && model.features.hypervisor) return kvmLeaf(model, leaf);
  // Beyond the maximum, Intel parts answer with the highest basic leaf.
  return basicLeaf(model, state, Math.min(leaf, MAX_BASIC), subleaf);
}

function basicLeaf(model: CpuModel, state: CpuidState, leaf: number, subleaf: number): CpuidResult {
  const word = (register: 'eax' | 'ebx' | 'ecx' | 'edx', sub = 0) => featureWord(model.features, leaf, sub, register);
  switch (leaf) {
    case 0x0:
      return [MAX_BASIC, ...vendorWords(model.vendor)];
    case 0x1:
      return [
        signature(model),
        (model.apicId << 24) | (model.vcpus << 16) | 0x800,
        word('ecx') | (state.osxsave ? 1 << 27 : 0),
        word('edx'),
      ];
    case 0x2:
      return model.vendor === 'GenuineIntel' ? [0x00fe_ff01, 0, 0, 0] : NONE;
    case 0x4:
      return model.vendor === 'GenuineIntel' ? cacheLeaf(subleaf, model.vcpus) : NONE;
    case 0x6:
      return [word('eax'), 0, 0, 0];
    case 0x7:
      if (subleaf === 0) return [1, word('ebx'), word('ecx'), word('edx')];
      return subleaf === 1 ? [word('eax', 1), 0, 0, 0] : NONE;
    case 0xb:
      return topologyLeaf(model, subleaf);
    case 0xd:
      return xsaveLeaf(model, state, subleaf);
    case 0x15:
      return [1000, Math.round(model.tscHz / (CRYSTAL_HZ / 1000)), CRYSTAL_HZ, 0];
    case 0x16:
      return [Math.round(model.tscHz / 1e6), Math.round(model.tscHz / 1e6), 100, 0];
    default:
      return NONE;
  }
}

function extendedLeaf(model: CpuModel, leaf: number): CpuidResult {
  const word = (register: 'ebx' | 'ecx' | 'edx') => featureWord(model.features, leaf, 0, register);
  const amd = model.vendor === 'AuthenticAMD';
  switch (leaf) {
    case 0x8000_0000:
      return amd ? [MAX_EXTENDED | 0, ...vendorWords(model.vendor)] : [MAX_EXTENDED | 0, 0, 0, 0];
    case 0x8000_0001:
      return [amd ? signature(model) : 0, 0, word('ecx'), word('edx') | (amd ? amdDuplicates(model) : 0)];
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004:
      return brandWords(model.brand, leaf - 0x8000_0002);
    case 0x8000_0006:
      return [0, 0, ((CACHES.l2.bytes >> 10) << 16) | 0x6040, 0];
    case 0x8000_0007:
      return [0, 0, 0, word('edx')];
    case 0x8000_0008:
      return [PHYSICAL_BITS | (48 << 8), 0, amd ? model.vcpus - 1 : 0, 0];
    default:
      return NONE;
  }
}

/** AMD repeats most of leaf 1 EDX. */
function amdDuplicates(model: CpuModel): number {
  return featureWord(model.features, 1, 0, 'edx') & 0x0183_f3ff;
}

/** "KVMKVMKVM": for its clock, and because Linux takes x2APIC under it without interrupt remapping. */
function kvmLeaf({ features }: CpuModel, leaf: number): CpuidResult {
  if (leaf === KVM_BASE) return [KVM_BASE + 1, 0x4b4d_564b, 0x564b_4d56, 0x4d];
  if (leaf !== KVM_BASE + 1) return NONE;
  const clock = features.kvmclock ? (1 << 0) | (1 << 3) | (1 << 24) : 0;
  const noIoDelay = 1 << 1;
  return [clock | noIoDelay, 0, 0, 0];
}

/** One thread per core, all cores in one package. */
function topologyLeaf({ vcpus, apicId }: CpuModel, subleaf: number): CpuidResult {
  if (subleaf === 0) return [0, 1, 0x100, apicId];
  if (subleaf === 1) return [32 - Math.clz32(vcpus - 1), vcpus, 0x201, apicId];
  return [0, 0, subleaf, apicId];
}

function xsaveLeaf({ features }: CpuModel, state: CpuidState, subleaf: number): CpuidResult {
  if (!features.xsave) return NONE;
  const largest = features.avx ? 832 : 576;
  if (subleaf === 0) return [features.avx ? 7 : 3, state.xsaveBytes, largest, 0];
  if (subleaf === 1)
    return [featureWord(features, 0xd, 1, 'eax'), features.xsaves || features.xsavec ? state.xsaveBytes : 0, 0, 0];
  if (subleaf === 2 && features.avx) return [256, 576, 0, 0];
  return NONE;
}

function signature({ family, model, stepping }: CpuModel): number {
  const base = Math.min(family, 15);
  return ((family - base) << 20) | ((model >> 4) << 16) | (base << 8) | ((model & 15) << 4) | stepping;
}

/** EBX, ECX, EDX of leaf 0: the name runs through EBX, EDX, ECX. */
function vendorWords(vendor: string): [number, number, number] {
  return [wordOf(vendor, 0), wordOf(vendor, 8), wordOf(vendor, 4)];
}

function brandWords(brand: string, part: number): CpuidResult {
  const at = part * 16;
  return [wordOf(brand, at), wordOf(brand, at + 4), wordOf(brand, at + 8), wordOf(brand, at + 12)];
}

/** Four characters, little-endian; zero beyond the end. */
function wordOf(text: string, at: number): number {
  let word = 0;
  for (let i = 0; i < 4; i++) word |= (at + i < text.length ? text.charCodeAt(at + i) & 0xff : 0) << (i * 8);
  return word;
}
