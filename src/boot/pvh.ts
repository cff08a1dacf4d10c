import type { EntryState } from '../hypervisor/contract.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { e820Map } from './boot-params.ts';
import { u32, u64 } from './bytes.ts';
import { BOOT } from './layout.ts';
import type { InitramfsPlace } from './initramfs.ts';
import type { MemoryLayout } from './memory-layout.ts';

const START_INFO_MAGIC = 0x336e_c578;
const CR0_PE = 0x1;
const CR0_ET = 0x10;

const CODE = { selector: 0x08, base: 0, limit: 0xffff_ffff, attributes: 0xc09b };
const DATA = { selector: 0x10, base: 0, limit: 0xffff_ffff, attributes: 0xc093 };
const TSS = { selector: 0x18, base: 0, limit: 0x67, attributes: 0x008b };
/** The descriptors of those segments. @spec SDM-3A §3.4.5 */
const GDT = [0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn, 0x0000_8b00_0000_0067n];

export interface PvhStart {
  readonly layout: MemoryLayout;
  readonly initramfs: InitramfsPlace | undefined;
  /** Where ACPI's root pointer is. */
  readonly rsdp: number;
}

/** Writes hvm_start_info and all it points to but the command line and the modules themselves. @spec PVH */
export function writePvhStart(memory: GuestMemory, { layout, initramfs, rsdp }: PvhStart): void {
  GDT.forEach((descriptor, index) => {
    memory.writeU64(BOOT.gdt + index * 8, descriptor);
  });
  memory.writeU64(BOOT.idt, 0n);
  const map = e820Map(layout);
  const modules = initramfs === undefined ? 0 : 1;
  const info = [
    ...u32(START_INFO_MAGIC),
    ...u32(1), // version: with a memory map
    ...u32(0),
    ...u32(modules),
    ...u64(modules * BOOT.pvhModules),
    ...u64(BOOT.commandLine),
    ...u64(rsdp),
    ...u64(BOOT.pvhMemoryMap),
    ...u32(map.length),
    ...u32(0),
  ];
  memory.write(BOOT.pvhStartInfo, Uint8Array.from(info));
  const entries = map.flatMap(({ addr, size, type }) => [...u64(addr), ...u64(size), ...u32(type), ...u32(0)]);
  memory.write(BOOT.pvhMemoryMap, Uint8Array.from(entries));
  if (initramfs === undefined) return;
  const module = [...u64(initramfs.gpa), ...u64(initramfs.length), ...u64(0), ...u64(0)];
  memory.write(BOOT.pvhModules, Uint8Array.from(module));
}

/** Registers at the PVH entry point: protected mode without paging. @spec PVH */
export function pvhEntryState(entry: number): EntryState {
  return {
    rip: entry,
    rsp: 0,
    rbp: 0,
    rsi: 0,
    rbx: BOOT.pvhStartInfo,
    cr0: CR0_PE + CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    gdt: { base: BOOT.gdt, limit: GDT.length * 8 - 1 },
    idt: { base: BOOT.idt, limit: 7 },
    cs: CODE,
    data: DATA,
    tr: TSS,
  };
}
