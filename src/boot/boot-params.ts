import type { GuestMemory } from '../memory/guest-memory.ts';
import { BOOT, FOUR_GIB } from './layout.ts';
import type { MemoryLayout } from './memory-layout.ts';

/** Offsets in struct boot_params. @spec LINUX-BOOT "The Real-Mode Kernel Header" */
const boot_params = {
  size: 4096,
  acpi_rsdp_addr: 0x070,
  setup_sects: 0x1f1,
  e820_entries: 0x1e8,
  boot_flag: 0x1fe,
  header: 0x202,
  version: 0x206,
  type_of_loader: 0x210,
  loadflags: 0x211,
  ramdisk_image: 0x218,
  ramdisk_size: 0x21c,
  cmd_line_ptr: 0x228,
  kernel_alignment: 0x230,
  cmdline_size: 0x238,
  e820_table: 0x2d0,
} as const;

const E820_RAM = 1;
const E820_ENTRY_BYTES = 20;

export interface E820Entry {
  readonly addr: number;
  readonly size: number;
  readonly type: number;
}

/** RAM as the kernel is told: conventional memory up to the EBDA, then from 1 MiB. */
export function e820Map({ lowBytes, highBytes }: MemoryLayout): E820Entry[] {
  const map: E820Entry[] = [
    { addr: 0, size: BOOT.ebda, type: E820_RAM },
    { addr: BOOT.highMemory, size: lowBytes - BOOT.highMemory, type: E820_RAM },
  ];
  if (highBytes > 0) map.push({ addr: FOUR_GIB, size: highBytes, type: E820_RAM });
  return map;
}

export interface BootParams {
  readonly layout: MemoryLayout;
  /** Bytes of the command line without its NUL. */
  readonly commandLineLength: number;
  readonly initrd?: { readonly gpa: number; readonly length: number };
  /** Where ACPI's root pointer is. */
  readonly rsdp?: number;
  /** What the kernel's file brings, from `setup_sects` on; a loader's own fields are written over it. */
  readonly setupHeader?: Uint8Array;
}

/**
 * Writes the zero page.
 *
 * @quirk upstream's last e820 entry is one byte too long; ours ends where RAM ends
 */
export function writeBootParams(memory: GuestMemory, params: BootParams): void {
  const page = BOOT.zeroPage;
  memory.write(page, new Uint8Array(boot_params.size));
  if (params.setupHeader !== undefined) memory.write(page + boot_params.setup_sects, params.setupHeader);
  memory.writeU64(page + boot_params.acpi_rsdp_addr, BigInt(params.rsdp ?? 0));
  memory.writeU16(page + boot_params.boot_flag, 0xaa55);
  memory.writeU32(page + boot_params.header, 0x5372_6448); // "HdrS"
  if (params.setupHeader === undefined) memory.writeU16(page + boot_params.version, 0x020c);
  memory.writeU8(page + boot_params.type_of_loader, 0xff);
  memory.writeU8(page + boot_params.loadflags, 1); // LOADED_HIGH
  if (params.setupHeader === undefined) memory.writeU32(page + boot_params.kernel_alignment, 0x0100_0000);
  memory.writeU32(page + boot_params.cmd_line_ptr, BOOT.commandLine);
  memory.writeU32(page + boot_params.cmdline_size, params.commandLineLength + 1);
  memory.writeU32(page + boot_params.ramdisk_image, params.initrd?.gpa ?? 0);
  memory.writeU32(page + boot_params.ramdisk_size, params.initrd?.length ?? 0);
  writeE820(memory, e820Map(params.layout));
}

function writeE820(memory: GuestMemory, map: readonly E820Entry[]): void {
  memory.writeU8(BOOT.zeroPage + boot_params.e820_entries, map.length);
  map.forEach((entry, index) => {
    const at = BOOT.zeroPage + boot_params.e820_table + index * E820_ENTRY_BYTES;
    memory.writeU64(at, BigInt(entry.addr));
    memory.writeU64(at + 8, BigInt(entry.size));
    memory.writeU32(at + 16, entry.type);
  });
}
