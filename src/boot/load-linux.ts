import type { EntryState } from '../hypervisor/contract.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { type AcpiMachine, writeAcpiTables } from './acpi/tables.ts';
import { writeBootParams } from './boot-params.ts';
import { writeCommandLine } from './command-line.ts';
import { linux64EntryState } from './entry-state.ts';
import { writeDescriptorTables } from './gdt.ts';
import { loadInitramfs } from './initramfs.ts';
import { type KernelImage, loadKernel } from './kernel-image.ts';
import { BOOT } from './layout.ts';
import type { MemoryLayout } from './memory-layout.ts';
import { writeMpTable } from './mp-table.ts';
import { writePageTables } from './page-tables.ts';
import { pvhEntryState, writePvhStart } from './pvh.ts';
import { writeSmbios } from './smbios.ts';

/**
 * What a PC's firmware would have there: a kernel that reboots by jumping to it resets the machine through the keyboard
 * controller. mov al, 0xfe; out 0x64, al; hlt
 */
const RESET = Uint8Array.of(0xb0, 0xfe, 0xe6, 0x64, 0xf4);

/** All that a kernel finds in memory when it starts. */
export interface LinuxBoot {
  readonly kernel: KernelImage;
  readonly layout: MemoryLayout;
  readonly commandLine: string;
  readonly initramfs: Uint8Array | undefined;
  readonly acpi: AcpiMachine;
  readonly oemStrings: readonly string[];
}

/**
 * Fills guest memory for a kernel.
 *
 * @returns the registers to enter it with   @throws {BootError} ERR_MEMORY_SIZE, ERR_OEM_STRINGS
 */
export function loadLinux(memory: GuestMemory, boot: LinuxBoot): EntryState {
  const { kernel, layout, commandLine, acpi } = boot;
  loadKernel(memory, kernel);
  const initramfs = boot.initramfs && loadInitramfs(memory, boot.initramfs, { kernel, layout });
  writeMpTable(memory, acpi.vcpus);
  writeAcpiTables(memory, acpi);
  writeSmbios(memory, boot.oemStrings);
  memory.write(BOOT.resetVector, RESET);
  writeCommandLine(memory, commandLine);
  if (kernel.protocol === 'pvh') {
    writePvhStart(memory, { layout, initramfs, rsdp: BOOT.acpi });
    return pvhEntryState(kernel.entry);
  }
  writeDescriptorTables(memory);
  writePageTables(memory);
  const { setupHeader } = kernel;
  writeBootParams(memory, {
    layout,
    commandLineLength: commandLine.length,
    rsdp: BOOT.acpi,
    ...(initramfs && { initrd: initramfs }),
    ...(setupHeader && { setupHeader }),
  });
  return linux64EntryState(kernel.entry);
}
