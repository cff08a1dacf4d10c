import { assert } from '../base/assert.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { ascii, u16, u32 } from './bytes.ts';
import { BOOT, IOAPIC_BASE, LAPIC_BASE } from './layout.ts';

const SPEC_REVISION = 4; // MP 1.4
const APIC_VERSION = 0x14;
const ISA_IRQ_COUNT = 16;
const ALL_LOCAL_APICS = 0xff;

/** Entry types of the base table. @spec INTEL-MP §4.3 */
const MP_PROCESSOR = 0;
const MP_BUS = 1;
const MP_IOAPIC = 2;
const MP_INTSRC = 3;
const MP_LINTSRC = 4;

const CPU_ENABLED = 1;
const CPU_BOOTPROCESSOR = 2;

/** Interrupt types. @spec INTEL-MP §4.3.4 */
const INT_VECTORED = 0;
const INT_NMI = 1;
const INT_EXTINT = 3;

/** More would need APIC ids that the table's byte, where 0xff means all, cannot hold. */
export const MP_CPUS_MAX = 254;

/** The MP floating pointer and configuration table, one block of bytes for the EBDA. @spec INTEL-MP §4 */
export function mpTable(vcpus: number): Uint8Array {
  assert(vcpus >= 1 && vcpus <= MP_CPUS_MAX, 'vCPU count outside the MP table');
  const entries = baseEntries(vcpus);
  const header = configurationHeader(entries);
  return Uint8Array.from([...floatingPointer(), ...header, ...entries.flat()]);
}

/** Puts the table where a kernel looks for it: in the last KiB of base memory. */
export function writeMpTable(memory: GuestMemory, vcpus: number): void {
  memory.write(BOOT.ebda, mpTable(vcpus));
}

function floatingPointer(): number[] {
  const length = 1; // in units of 16 bytes
  // No default configuration, and no IMCR: the PIC reaches the boot CPU through LINT0 (virtual wire).
  return checksummed([...ascii('_MP_'), ...u32(BOOT.ebda + 16), length, SPEC_REVISION, 0, 0, 0, 0, 0, 0], 10);
}

function configurationHeader(entries: readonly number[][]): number[] {
  const bytes = entries.flat();
  const header = [
    ...ascii('PCMP'),
    ...u16(44 + bytes.length),
    SPEC_REVISION,
    0, // checksum
    ...ascii('FC      '),
    ...ascii('000000000000'),
    ...u32(0), // no OEM table
    ...u16(0),
    ...u16(entries.length),
    ...u32(LAPIC_BASE),
    ...u16(0), // no extended table
    0,
    0,
  ];
  header[7] = (256 - ((sum(header) + sum(bytes)) & 0xff)) & 0xff;
  return header;
}

function baseEntries(vcpus: number): number[][] {
  const ioApicId = vcpus + 1;
  const entries: number[][] = [];
  for (let cpu = 0; cpu < vcpus; cpu++) {
    const flags = CPU_ENABLED | (cpu === 0 ? CPU_BOOTPROCESSOR : 0);
    entries.push([MP_PROCESSOR, cpu, APIC_VERSION, flags, ...u32(0x600), ...u32(0x201), ...u32(0), ...u32(0)]);
  }
  entries.push([MP_BUS, 0, ...ascii('ISA   ')]);
  entries.push([MP_IOAPIC, ioApicId, APIC_VERSION, 1, ...u32(IOAPIC_BASE)]);
  for (let irq = 0; irq < ISA_IRQ_COUNT; irq++) {
    entries.push([MP_INTSRC, INT_VECTORED, ...u16(0), 0, irq, ioApicId, irq]);
  }
  entries.push([MP_LINTSRC, INT_EXTINT, ...u16(0), 0, 0, 0, 0]);
  entries.push([MP_LINTSRC, INT_NMI, ...u16(0), 0, 0, ALL_LOCAL_APICS, 1]);
  return entries;
}

function checksummed(bytes: number[], at: number): number[] {
  bytes[at] = (256 - (sum(bytes) & 0xff)) & 0xff;
  return bytes;
}

function sum(bytes: readonly number[]): number {
  return bytes.reduce((total, byte) => total + byte, 0);
}
