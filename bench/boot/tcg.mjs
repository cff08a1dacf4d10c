// Boots the image under QEMU TCG until PID 1 restarts the machine. usage: tcg.mjs FIRMWARE FOLDER [INIT [PROG]]; prints the command.
// BENCH_WORDS in the environment are added to the kernel's command line.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BOOT } from '../../dist/boot/layout.js';
import { createSoftHypervisor } from '../../dist/hypervisor/soft/index.js';
import { softHost } from '../../dist/host/soft-host.js';
import { commandLine, loadBoot, MEMORY_BYTES } from './image.mjs';

/** Free low memory. */
const TRAMPOLINE = 0x1000;

const u16 = (value) => [value & 0xff, (value >> 8) & 0xff];
const u32 = (value) => [...u16(value), ...u16(value >>> 16)];

/** From real mode to 64-bit mode at once, with the tables that are there already. @spec SDM-3A §10.8.5 */
function trampoline(entry) {
  const long = TRAMPOLINE + 0x60;
  const gdtr = TRAMPOLINE + 0xc0;
  const bytes = new Uint8Array(0x100);
  bytes.set([
    ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8], // cli; xor ax, ax; mov ds, ax
    ...[0x0f, 0x01, 0x16, ...u16(gdtr)], // lgdt [gdtr]
    ...[0x66, 0xb8, ...u32(BOOT.pml4), 0x0f, 0x22, 0xd8], // mov eax, pml4; mov cr3, eax
    ...[0x66, 0xb8, ...u32(0x20), 0x0f, 0x22, 0xe0], // CR4.PAE
    ...[0x66, 0xb9, ...u32(0xc000_0080), 0x66, 0x31, 0xd2], // mov ecx, IA32_EFER; xor edx, edx
    ...[0x66, 0xb8, ...u32(0x100), 0x0f, 0x30], // LME; wrmsr
    ...[0x66, 0xb8, ...u32(0x8000_0011), 0x0f, 0x22, 0xc0], // CR0.PG, ET, PE
    ...[0x66, 0xea, ...u32(long), ...u16(8)], // jmp far 8:long
  ]);
  bytes.set(
    [
      ...[0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x8e, 0xe0, 0x8e, 0xe8], // data segments
      ...[0xbc, ...u32(BOOT.stack), 0xbe, ...u32(BOOT.zeroPage), 0x31, 0xed], // rsp, rsi = boot_params, rbp = 0
      ...[0xb8, ...u32(entry), 0xff, 0xe0], // mov eax, entry; jmp rax
    ],
    long - TRAMPOLINE,
  );
  bytes.set([...u16(31), ...u32(BOOT.gdt)], gdtr - TRAMPOLINE);
  return bytes;
}

/** The host's TSC, which the guest sees: its frequency in kHz, good enough for delays. */
function hostTscKHz() {
  const mhz = /^cpu MHz\s*: ([\d.]+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'));
  return Math.round(Number(mhz?.[1] ?? 1000) * 1000);
}

const [, , firmware, folder, ...programs] = process.argv;
const files = programs.length > 0 ? programs.map((path, i) => [['init', 'prog'][i], readFileSync(path)]) : undefined;
const words = [commandLine(hostTscKHz()), process.env.BENCH_WORDS ?? ''].join(' ').trim();
const { memory } = await createSoftHypervisor(softHost).createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
const { entry, pieces } = loadBoot(memory, firmware, words, files);
memory.write(TRAMPOLINE, trampoline(entry));

const loaders = pieces.flatMap(({ gpa, length }, index) => {
  const file = join(folder, `piece${index}`);
  writeFileSync(file, memory.bytes(gpa, length));
  return ['-device', `loader,file=${file},addr=${gpa},force-raw=on`];
});
const rom = Buffer.alloc(0x10000);
rom.set([0xea, ...u16(TRAMPOLINE), 0, 0], 0xfff0); // the reset vector: jmp far 0:TRAMPOLINE
writeFileSync(join(folder, 'rom'), rom);
const board = 'microvm,acpi=off,x-option-roms=off,auto-kernel-cmdline=off,isa-serial=off';
const command = ['qemu-system-x86_64', '-accel', 'tcg', '-M', board, '-cpu', 'max', '-m', `${MEMORY_BYTES >> 20}`];
command.push(
  '-bios',
  join(folder, 'rom'),
  '-nodefaults',
  '-no-user-config',
  '-display',
  'none',
  '-no-reboot',
  ...loaders,
);
console.log(JSON.stringify(command));
process.exit(0);
