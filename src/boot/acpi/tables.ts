import { alignUp } from '../../base/units.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { ascii, checksum, u16, u32, u64 } from '../bytes.ts';
import { BOOT, IOAPIC_BASE, LAPIC_BASE } from '../layout.ts';
import * as aml from './aml.ts';

/** A virtio-mmio window. */
export interface AcpiVirtio {
  readonly gpa: number;
  readonly bytes: number;
  readonly irq: number;
}

/** A serial port. */
export interface AcpiSerial {
  readonly port: number;
  readonly ports: number;
  readonly irq: number;
}

/** What the tables tell about. */
export interface AcpiMachine {
  readonly vcpus: number;
  readonly virtio: readonly AcpiVirtio[];
  readonly serials: readonly AcpiSerial[];
}

/** Fixed features. @spec ACPI-6.5 §5.2.9 table 5.9 */
const WBINVD = 1 << 0;
const NO_POWER_BUTTON = 1 << 4;
const NO_SLEEP_BUTTON = 1 << 5;
const RESET_REG_SUP = 1 << 10;
const HW_REDUCED_ACPI = 1 << 20;

/** What a PC has that is missing here. @spec ACPI-6.5 §5.2.9.3 table 5.11 */
const NO_VGA = 1 << 2;
const NO_CMOS_RTC = 1 << 5;

/** The keyboard controller's command port, and the command that resets. */
const RESET_PORT = 0x64;
const RESET_VALUE = 0xfe;

const FADT_BYTES = 276;

/**
 * Writes ACPI tables where kernels look for them: below 1 MiB, in what was the BIOS. Kernels without the MP table and
 * without `virtio_mmio.device=`, as distributions build them, find CPUs, interrupts and devices here.
 *
 * The hardware-reduced model has no SCI, no power-management timer and no legacy interrupt controller: nothing that the
 * machine would have to have for the tables' sake. @spec ACPI-6.5 §4.1
 */
export function writeAcpiTables(memory: GuestMemory, machine: AcpiMachine): void {
  const { acpi } = BOOT;
  let at = acpi + 64;
  const place = (table: number[]): number => {
    const here = at;
    memory.write(here, Uint8Array.from(table));
    at = alignUp(here + table.length, 16);
    return here;
  };
  const dsdt = place(definitionBlock(machine));
  const madt = place(interruptControllers(machine.vcpus));
  const fadt = place(fixedDescription(dsdt));
  const xsdt = place(table('XSDT', 1, [...u64(fadt), ...u64(madt)]));
  memory.write(acpi, Uint8Array.from(rootPointer(xsdt)));
}

/** @spec ACPI-6.5 §5.2.5.3 */
function rootPointer(xsdt: number): number[] {
  const first = [...ascii('RSD PTR '), 0, ...ascii(OEM_ID), 2, ...u32(0)];
  first[8] = checksum(first);
  const bytes = [...first, ...u32(36), ...u64(xsdt), 0, 0, 0, 0];
  bytes[32] = checksum(bytes);
  return bytes;
}

/** @spec ACPI-6.5 §5.2.9 */
function fixedDescription(dsdt: number): number[] {
  const bytes = table('FACP', 6, new Array<number>(FADT_BYTES - HEADER_BYTES).fill(0));
  const put = (offset: number, field: readonly number[]): void => {
    for (let i = 0; i < field.length; i++) bytes[offset + i] = field[i] ?? 0;
  };
  put(40, u32(dsdt));
  put(109, u16(NO_VGA | NO_CMOS_RTC));
  put(112, u32(WBINVD | NO_POWER_BUTTON | NO_SLEEP_BUTTON | RESET_REG_SUP | HW_REDUCED_ACPI));
  put(116, portRegister(RESET_PORT));
  put(128, [RESET_VALUE]);
  put(131, [5]); // of revision 6.5
  put(140, u64(dsdt));
  bytes[CHECKSUM_AT] = 0;
  bytes[CHECKSUM_AT] = checksum(bytes);
  return bytes;
}

/** An eight-bit port. @spec ACPI-6.5 §5.2.3.2 */
function portRegister(port: number): number[] {
  return [1, 8, 0, 1, ...u64(port)];
}

/** @spec ACPI-6.5 §5.2.12 */
function interruptControllers(vcpus: number): number[] {
  const processors = Array.from({ length: vcpus }, (_, cpu) => [0, 8, cpu, cpu, ...u32(1)]);
  const ioApic = [1, 12, 0, 0, ...u32(IOAPIC_BASE), ...u32(0)];
  const nmi = [4, 6, 0xff, ...u16(0), 1];
  return table('APIC', 5, [...u32(LAPIC_BASE), ...u32(0), ...processors.flat(), ...ioApic, ...nmi]);
}

/** The devices. `LNRO0005` is the id of a virtio-mmio window, `PNP0501` that of a 16550. */
function definitionBlock({ virtio, serials }: AcpiMachine): number[] {
  const windows = virtio.map(({ gpa, bytes, irq }, index) =>
    listed('V', index, 'LNRO0005', aml.memory32(gpa, bytes), aml.interrupt(irq)),
  );
  const coms = serials.map(({ port, ports, irq }, index) =>
    listed('C', index, 'PNP0501', aml.ports(port, ports), aml.interrupt(irq)),
  );
  return table('DSDT', 2, aml.scope('\\_SB_', ...windows, ...coms));
}

function listed(letter: string, index: number, id: string, ...occupies: readonly number[][]): number[] {
  return aml.device(
    `${letter}${String(index).padStart(3, '0')}`,
    aml.name('_HID', aml.string(id)),
    aml.name('_UID', aml.integer(index)),
    aml.name('_CRS', aml.resources(...occupies)),
  );
}

const OEM_ID = 'KRUN  ';
const HEADER_BYTES = 36;
const CHECKSUM_AT = 9;

/** @spec ACPI-6.5 §5.2.6 */
function table(signature: string, revision: number, body: readonly number[]): number[] {
  const length = HEADER_BYTES + body.length;
  const oem = [...ascii(OEM_ID), ...ascii('KRUNVM  '), ...u32(1), ...ascii('KRUN'), ...u32(1)];
  const bytes = [...ascii(signature), ...u32(length), revision, 0, ...oem, ...body];
  bytes[CHECKSUM_AT] = checksum(bytes);
  return bytes;
}
