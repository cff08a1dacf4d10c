import type { EntryState } from '../hypervisor/contract.ts';
import { CODE_SEGMENT, DATA_SEGMENT, GDT_REGISTER, IDT_REGISTER, TSS_SEGMENT } from './gdt.ts';
import { BOOT } from './layout.ts';

const CR0_PE = 0x1;
const CR0_ET = 0x10;
const CR0_PG = 0x8000_0000;
const CR4_PAE = 0x20;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;

/** Registers for the 64-bit Linux boot protocol. @spec LINUX-BOOT "64-bit Boot Protocol" */
export function linux64EntryState(entry: number): EntryState {
  return {
    rip: entry,
    rsp: BOOT.stack,
    rbp: BOOT.stack,
    rsi: BOOT.zeroPage,
    rbx: 0,
    cr0: CR0_PE + CR0_ET + CR0_PG,
    cr3: BOOT.pml4,
    cr4: CR4_PAE,
    efer: EFER_LME | EFER_LMA,
    gdt: GDT_REGISTER,
    idt: IDT_REGISTER,
    cs: CODE_SEGMENT,
    data: DATA_SEGMENT,
    tr: TSS_SEGMENT,
  };
}
