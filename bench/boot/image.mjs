// The same boot for both: kernel, initrd, boot data and command line, as bytes at addresses.
import { readFileSync } from 'node:fs';
import { writeBootParams } from '../../dist/boot/boot-params.js';
import { writeCommandLine } from '../../dist/boot/command-line.js';
import { parseFirmware } from '../../dist/boot/firmware/libkrunfw.js';
import { writeDescriptorTables } from '../../dist/boot/gdt.js';
import { writeMpTable } from '../../dist/boot/mp-table.js';
import { writePageTables } from '../../dist/boot/page-tables.js';

export const MEMORY_BYTES = 512 << 20;
/** Behind any kernel, and inside the first GiB that the boot page tables map. */
const INITRD = 256 << 20;
const GUEST_HZ = 250;

/**
 * The words that krun gives a kernel, without those for its root and its devices; the first two tell each machine's
 * own TSC frequency. A restart by triple fault ends both machines.
 */
export function commandLine(tscKHz) {
  return [
    `tsc_early_khz=${tscKHz}`,
    `lpj=${Math.round((tscKHz * 1000) / GUEST_HZ)}`,
    'reboot=t panic=-1 panic_print=0 nomodule console=hvc0 quiet no-kvmapf initcall_blacklist=jent_mod_init',
    'no_timer_check tsc=reliable mitigations=off noreplace-smp',
  ].join(' ');
}

/**
 * Writes everything into guest memory; returns where the kernel starts.
 *
 * @param files what the initrd holds, as names and bytes; without them PID 1 restarts the machine at once
 */
export function loadBoot(memory, firmwarePath, words, files = [['init', RESTART]]) {
  const firmware = parseFirmware(readFileSync(firmwarePath));
  const initrd = initrdWith(files);
  memory.write(firmware.loadAddress, firmware.image);
  memory.write(INITRD, initrd);
  writeDescriptorTables(memory);
  writePageTables(memory);
  writeMpTable(memory, 1);
  writeCommandLine(memory, words);
  const layout = { lowBytes: MEMORY_BYTES, highBytes: 0, ramEnd: MEMORY_BYTES };
  writeBootParams(memory, { layout, commandLineLength: words.length, initrd: { gpa: INITRD, length: initrd.length } });
  const pieces = [
    { gpa: 0, length: 0xa0000 },
    { gpa: firmware.loadAddress, length: firmware.image.length },
    { gpa: INITRD, length: initrd.length },
  ];
  return { entry: firmware.entryAddress, pieces };
}

/** PID 1: reboot(LINUX_REBOOT_CMD_RESTART) is all it does. @spec SYSV-ABI-AMD64 "Linux Conventions" */
const RESTART = elf([
  ...[0xbf, 0xad, 0xde, 0xe1, 0xfe], // mov edi, LINUX_REBOOT_MAGIC1
  ...[0xbe, 0x69, 0x19, 0x12, 0x28], // mov esi, LINUX_REBOOT_MAGIC2
  ...[0xba, 0x67, 0x45, 0x23, 0x01], // mov edx, LINUX_REBOOT_CMD_RESTART
  ...[0xb8, 0xa9, 0x00, 0x00, 0x00], // mov eax, SYS_reboot
  ...[0x0f, 0x05, 0xeb, 0xfe], // syscall; jmp $
]);

/** A static ELF program of one segment. @spec ELF-64 */
function elf(code) {
  const base = 0x400000;
  const bytes = Buffer.alloc(120 + code.length);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0);
  bytes.writeUInt16LE(2, 16); // ET_EXEC
  bytes.writeUInt16LE(62, 18); // EM_X86_64
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(BigInt(base + 120), 24); // e_entry
  bytes.writeBigUInt64LE(64n, 32); // e_phoff
  bytes.writeUInt16LE(64, 52);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(1, 64); // PT_LOAD
  bytes.writeUInt32LE(5, 68); // readable, executable
  bytes.writeBigUInt64LE(BigInt(base), 80);
  bytes.writeBigUInt64LE(BigInt(base), 88);
  bytes.writeBigUInt64LE(BigInt(bytes.length), 96);
  bytes.writeBigUInt64LE(BigInt(bytes.length), 104);
  bytes.writeBigUInt64LE(4096n, 112);
  bytes.set(code, 120);
  return bytes;
}

/** A cpio archive ("newc") of executables. @spec LINUX-BOOT "initramfs buffer format" */
function initrdWith(files) {
  const members = files.map(([name, data]) => member(name, 0o100755, data));
  return Buffer.concat([...members, member('TRAILER!!!', 0, Buffer.alloc(0)), Buffer.alloc(512)]);
}

function member(name, mode, data) {
  const fields = [1, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
  return Buffer.concat([padded(Buffer.from(header, 'latin1')), padded(data)]);
}

function padded(bytes) {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
