/**
 * Where boot data lies in guest-physical memory. These addresses are those of libkrun on x86-64, so that a kernel
 * or an init that knows them finds everything in its place.
 */
export const BOOT = {
  gdt: 0x500,
  idt: 0x520,
  /** hvm_start_info and what it points to. */
  pvhStartInfo: 0x6000,
  pvhModules: 0x6040,
  pvhMemoryMap: 0x7000,
  /** boot_params, the "zero page". */
  zeroPage: 0x7000,
  stack: 0x8ff0,
  pml4: 0x9000,
  pdpt: 0xa000,
  /** Four of them. */
  pageDirectory: 0xb000,
  commandLine: 0x20000,
  /** Bytes reserved for the command line, its terminating NUL included. */
  commandLineBytes: 0x10000,
  /** Extended BIOS data area: the MP table is here, and low RAM ends here. */
  ebda: 0x9fc00,
  /** ACPI's root pointer and tables, up to where SMBIOS begins; in the range that kernels search. */
  acpi: 0xe_0000,
  /** SMBIOS's entry point and tables, up to the reset vector; likewise. */
  smbios: 0xf_0000,
  /** Where real mode starts a PC, FFFF:0000. */
  resetVector: 0xf_fff0,
  highMemory: 0x10_0000,
} as const;

/** RAM below 4 GiB ends here at the latest; devices are above. */
export const MMIO_WINDOW_START = 0xd000_0000;
export const FOUR_GIB = 0x1_0000_0000;

export const IOAPIC_BASE = 0xfec0_0000;
export const LAPIC_BASE = 0xfee0_0000;
