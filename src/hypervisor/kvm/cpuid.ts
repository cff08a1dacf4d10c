import type { CpuidEntry } from './cpuid-table.ts';
import { KVM } from './structs.ts';

/** For whom the leaves are. */
export interface CpuidOptions {
  /** Which processor: its local APIC's id. */
  readonly index: number;
  readonly vcpus: number;
  /** The guest may use virtualisation itself. */
  readonly nested: boolean;
  /** KVM's local APIC has the TSC-deadline mode. */
  readonly tscDeadline: boolean;
}

type Vendor = 'intel' | 'amd' | 'other';
type Edit = (entry: CpuidEntry, options: CpuidOptions) => CpuidEntry;

const VENDORS: Readonly<Record<string, Vendor>> = { GenuineIntel: 'intel', AuthenticAMD: 'amd' };

/**
 * What a guest's processor says of itself: what KVM supports, with libkrun's changes. Processors of one machine look
 * alike, whatever host they are on, and the topology is one package with one core per processor.
 *
 * @param supported KVM_GET_SUPPORTED_CPUID   @spec SDM-2A "CPUID", KVM-CPUID
 */
export function guestCpuid(supported: readonly CpuidEntry[], options: CpuidOptions): CpuidEntry[] {
  const vendor = vendorOf(supported);
  const edits = vendor === 'other' ? COMMON : { ...COMMON, ...(vendor === 'intel' ? INTEL : AMD) };
  const entries = supported
    .filter((entry) => !(vendor !== 'other' && TOPOLOGY_LEAVES.has(entry.function)))
    .map((entry) => edits[entry.function]?.(entry, options) ?? entry);
  if (vendor === 'other') return entries;
  return [...entries, ...(vendor === 'intel' ? topology(options) : []), ...brand(supported, vendor)];
}

export function vendorOf(supported: readonly CpuidEntry[]): Vendor {
  const leaf = supported.find((entry) => entry.function === 0);
  return leaf === undefined ? 'other' : (VENDORS[text([leaf.ebx, leaf.edx, leaf.ecx])] ?? 'other');
}

const COMMON: Readonly<Record<number, Edit>> = {
  1: (entry, { index, vcpus, nested, tscDeadline }) => ({
    ...entry,
    // Local APIC id, logical processors (a power of two), CLFLUSH line in units of 8 bytes, brand index.
    ebx: ((index << 24) | (nextPowerOfTwo(vcpus) << 16) | (8 << 8) | (entry.ebx & 0xff)) >>> 0,
    ecx: bits(entry.ecx, { 31: true, 24: tscDeadline, ...(nested ? {} : { 5: false }) }),
    edx: bits(entry.edx, { 28: vcpus > 1 }),
  }),
};

const INTEL: Readonly<Record<number, Edit>> = {
  4: (entry, { vcpus }) => {
    const level = (entry.eax >>> 5) & 7;
    if ((entry.eax & 31) === 0) return entry; // the end of the list
    return { ...entry, eax: cacheSharing(entry.eax, level, vcpus, (vcpus - 1) & 0x3f) };
  },
  6: (entry) => ({ ...entry, eax: bits(entry.eax, { 1: false }), ecx: bits(entry.ecx, { 3: false }) }),
  // Performance counters would need KVM's help to be right.
  10: (entry) => ({ ...entry, eax: 0, ebx: 0, ecx: 0, edx: 0 }),
};

const AMD: Readonly<Record<number, Edit>> = {
  7: (entry) => (entry.index === 0 ? { ...entry, edx: bits(entry.edx, { 29: false }) } : entry),
  [0x8000_0000]: (entry) => ({ ...entry, eax: 0x8000_001f }),
  [0x8000_0001]: (entry, { nested }) => ({
    ...entry,
    ecx: bits(entry.ecx, { 22: true, ...(nested ? {} : { 2: false }) }),
  }),
  [0x8000_0008]: (entry, { vcpus }) => ({ ...entry, ecx: (6 << 12) | (vcpus - 1) }),
  [0x8000_001d]: (entry, { vcpus }) => {
    const level = (entry.eax >>> 5) & 7;
    return (entry.eax & 31) === 0 ? entry : { ...entry, eax: cacheSharing(entry.eax, level, vcpus, 0) };
  },
  // Extended APIC id; core id with one thread per core; one node.
  [0x8000_001e]: (entry, { index }) => ({ ...entry, eax: index, ebx: index & 0xff, ecx: 0, edx: 0 }),
};

/** Leaves that are made anew: the host's topology and name are not the guest's. */
const TOPOLOGY_LEAVES: ReadonlySet<number> = new Set([0xb, 0x1f, 0x8000_0002, 0x8000_0003, 0x8000_0004]);

/** Two levels: one thread per core, all cores in one package. @spec SDM-2A "CPUID" leaf 0BH */
function topology({ index, vcpus }: CpuidOptions): CpuidEntry[] {
  const leaf = { function: 0xb, flags: KVM.CPUID_FLAG_SIGNIFCANT_INDEX, edx: index };
  const [thread, core] = [1, 2];
  const cores = { eax: 6, ebx: vcpus, ecx: (core << 8) | 1 };
  return [
    { ...leaf, index: 0, eax: 0, ebx: 1, ecx: (vcpus === 1 ? core : thread) << 8 },
    { ...leaf, index: 1, ...(vcpus === 1 ? { eax: 0, ebx: 0, ecx: 1 } : cores) },
    { ...leaf, index: 2, eax: 0, ebx: 0, ecx: 2 },
  ];
}

/** The three leaves of the name: 48 bytes, ending in zeros. */
function brand(supported: readonly CpuidEntry[], vendor: 'intel' | 'amd'): CpuidEntry[] {
  const host = text(BRAND_LEAVES.flatMap((leaf) => registersOf(supported.find((entry) => entry.function === leaf))));
  const frequency = / @ .*?Hz/.exec(host)?.[0] ?? '';
  const name = vendor === 'intel' ? `Intel(R) Xeon(R) Processor${frequency}` : 'AMD EPYC';
  const view = new DataView(new ArrayBuffer(48));
  for (let i = 0; i < Math.min(name.length, 47); i++) view.setUint8(i, name.charCodeAt(i));
  return BRAND_LEAVES.map((leaf, i) => {
    const at = (word: number): number => view.getUint32(i * 16 + word * 4, true);
    return { function: leaf, index: 0, flags: 0, eax: at(0), ebx: at(1), ecx: at(2), edx: at(3) };
  });
}

const BRAND_LEAVES = [0x8000_0002, 0x8000_0003, 0x8000_0004] as const;

/** Caches of levels 1 and 2 belong to one processor, that of level 3 to all. */
function cacheSharing(eax: number, level: number, vcpus: number, coresMinusOne: number): number {
  const sharing = level >= 3 ? vcpus - 1 : 0;
  return ((eax & 0x3fff) | (sharing << 14) | (coresMinusOne << 26)) >>> 0;
}

function bits(value: number, changes: Readonly<Record<number, boolean>>): number {
  let result = value;
  for (const [bit, set] of Object.entries(changes)) {
    const mask = 1 << Number(bit);
    result = set ? result | mask : result & ~mask;
  }
  return result >>> 0;
}

function nextPowerOfTwo(value: number): number {
  let power = 1;
  while (power < value) power *= 2;
  return power;
}

function registersOf(entry: CpuidEntry | undefined): number[] {
  return entry === undefined ? [] : [entry.eax, entry.ebx, entry.ecx, entry.edx];
}

/** Four characters per register, lowest byte first; zeros end it. */
function text(registers: readonly number[]): string {
  const bytes = registers.flatMap((value) => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]);
  return String.fromCharCode(...bytes).replace(/\0.*$/s, '');
}
