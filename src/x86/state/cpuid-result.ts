/** The four registers that CPUID fills. */
export type CpuidResult = readonly [eax: number, ebx: number, ecx: number, edx: number];
