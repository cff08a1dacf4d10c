type Register = 'eax' | 'ebx' | 'ecx' | 'edx';
type Place = readonly [leaf: number, subleaf: number, register: Register, bit: number];

/** Feature flags of CPUID and where they are. What is not listed is not claimed. @spec SDM-2A "CPUID" */
export const CPU_FEATURES = {
  fpu: [1, 0, 'edx', 0],
  de: [1, 0, 'edx', 2],
  pse: [1, 0, 'edx', 3],
  tsc: [1, 0, 'edx', 4],
  msr: [1, 0, 'edx', 5],
  pae: [1, 0, 'edx', 6],
  cx8: [1, 0, 'edx', 8],
  apic: [1, 0, 'edx', 9],
  sep: [1, 0, 'edx', 11],
  mtrr: [1, 0, 'edx', 12],
  pge: [1, 0, 'edx', 13],
  cmov: [1, 0, 'edx', 15],
  pat: [1, 0, 'edx', 16],
  pse36: [1, 0, 'edx', 17],
  clflush: [1, 0, 'edx', 19],
  mmx: [1, 0, 'edx', 23],
  fxsr: [1, 0, 'edx', 24],
  sse: [1, 0, 'edx', 25],
  sse2: [1, 0, 'edx', 26],
  sse3: [1, 0, 'ecx', 0],
  pclmulqdq: [1, 0, 'ecx', 1],
  ssse3: [1, 0, 'ecx', 9],
  cx16: [1, 0, 'ecx', 13],
  pcid: [1, 0, 'ecx', 17],
  sse4_1: [1, 0, 'ecx', 19],
  sse4_2: [1, 0, 'ecx', 20],
  x2apic: [1, 0, 'ecx', 21],
  movbe: [1, 0, 'ecx', 22],
  popcnt: [1, 0, 'ecx', 23],
  tscDeadline: [1, 0, 'ecx', 24],
  aes: [1, 0, 'ecx', 25],
  xsave: [1, 0, 'ecx', 26],
  avx: [1, 0, 'ecx', 28],
  rdrand: [1, 0, 'ecx', 30],
  hypervisor: [1, 0, 'ecx', 31],
  arat: [6, 0, 'eax', 2],
  fsgsbase: [7, 0, 'ebx', 0],
  tscAdjust: [7, 0, 'ebx', 1],
  bmi1: [7, 0, 'ebx', 3],
  smep: [7, 0, 'ebx', 7],
  bmi2: [7, 0, 'ebx', 8],
  erms: [7, 0, 'ebx', 9],
  invpcid: [7, 0, 'ebx', 10],
  zeroFcsFds: [7, 0, 'ebx', 13],
  rdseed: [7, 0, 'ebx', 18],
  adx: [7, 0, 'ebx', 19],
  smap: [7, 0, 'ebx', 20],
  clflushopt: [7, 0, 'ebx', 23],
  clwb: [7, 0, 'ebx', 24],
  sha: [7, 0, 'ebx', 29],
  umip: [7, 0, 'ecx', 2],
  rdpid: [7, 0, 'ecx', 22],
  fzrm: [7, 1, 'eax', 10], fsrs: [7, 1, 'eax', 11], fsrm: [7, 0, 'edx', 4],
  serialize: [7, 0, 'edx', 14],
  archCapabilities: [7, 0, 'edx', 29],
  xsaveopt: [0xd, 1, 'eax', 0],
  xsavec: [0xd, 1, 'eax', 1],
  xgetbv1: [0xd, 1, 'eax', 2],
  xsaves: [0xd, 1, 'eax', 3],
  lahf: [0x8000_0001, 0, 'ecx', 0],
  lzcnt: [0x8000_0001, 0, 'ecx', 5],
  prefetchw: [0x8000_0001, 0, 'ecx', 8],
  syscall: [0x8000_0001, 0, 'edx', 11],
  nx: [0x8000_0001, 0, 'edx', 20],
  pdpe1gb: [0x8000_0001, 0, 'edx', 26],
  rdtscp: [0x8000_0001, 0, 'edx', 27],
  lm: [0x8000_0001, 0, 'edx', 29],
  invariantTsc: [0x8000_0007, 0, 'edx', 8],
  // Not a bit of its own: see kvmLeaf in cpuid.ts.
  kvmclock: [0x4000_0001, 0, 'eax', 0],
} as const satisfies Record<string, Place>;

export type CpuFeature = keyof typeof CPU_FEATURES;

const PLACES = Object.entries(CPU_FEATURES) as [CpuFeature, Place][];

/** All claimed bits of one output register. */
export function featureWord(
  features: Readonly<Record<CpuFeature, boolean>>,
  leaf: number,
  subleaf: number,
  register: Register,
): number {
  let word = 0;
  for (const [name, place] of PLACES) {
    if (place[0] === leaf && place[1] === subleaf && place[2] === register && features[name]) word |= 1 << place[3];
  }
  return word;
}
