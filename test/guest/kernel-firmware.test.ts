import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { MicroVm, type MicroVmOptions } from 'krun';
import { runGuest, skipReason } from '../boot/guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'krun-firmware-'));
after(() => rmSync(folder, { recursive: true }));

const BARE: MicroVmOptions = {
  memoryMiB: 64,
  timeoutMs: 60_000,
  console: { input: 'none', output: 'none', error: 'none' },
};

/** An image of so many KiB that jumps from the reset vector to its first byte below 1 MiB, and what is there. */
function firmware(name: string, kib: number, code: readonly number[]): string {
  const image = Buffer.alloc(kib * 1024, 0xf4);
  image.set(code, image.length - 65536);
  image.set([0xea, 0x00, 0x00, 0x00, 0xf0], image.length - 16); // jmp far f000:0000
  const path = join(folder, name);
  writeFileSync(path, image);
  return path;
}

test('firmware starts at the reset vector, and is below 4 GiB and below 1 MiB', { timeout: 90_000 }, async () => {
  // Reads its own last jump's opcode through a flat 32-bit segment at 0xfffffff0, and prints it; then resets.
  const gdt = 0x60;
  const code = [
    0xfa, // cli
    0x2e,
    0x0f,
    0x01,
    0x16,
    0x50,
    0x00, // lgdt cs:[0x50]
    0x0f,
    0x20,
    0xc0,
    0x0c,
    0x01,
    0x0f,
    0x22,
    0xc0, // cr0 |= PE
    0xb8,
    0x08,
    0x00,
    0x8e,
    0xd8, // ds = 8
    0x66,
    0xbe,
    0xf0,
    0xff,
    0xff,
    0xff, // mov esi, 0xfffffff0
    0x67,
    0x8a,
    0x06, // mov al, [esi]
    0xba,
    0xf8,
    0x03,
    0xee, // out 0x3f8, al
    0xb0,
    0xfe,
    0xe6,
    0x64,
    0xf4,
  ];
  while (code.length < 0x50) code.push(0x90);
  code.push(0x0f, 0x00, gdt, 0x00, 0x0f, 0x00);
  while (code.length < gdt) code.push(0);
  code.push(0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0);
  for (const kib of [64, 128, 256, 1024]) {
    await using vm = await MicroVm.start({ ...BARE, bios: firmware(`jump-${kib}`, kib, code), serials: [{}] });
    const [port] = vm.serials;
    const [printed, exit] = await Promise.all([port!.output.text(), vm.exited]);
    assert.deepEqual([exit.reason, printed.codePointAt(0)], ['reset', 0xfffd], `${kib} KiB`);
  }
});

const SEABIOS = '/usr/share/seabios/bios.bin';
const seabios = { skip: !existsSync(SEABIOS) && 'no Debian package seabios', timeout: 90_000 };

test('SeaBIOS starts, finds memory and serial ports, and looks for something to boot', seabios, async () => {
  const lines: string[] = [];
  let done: (() => void) | undefined;
  const seen = new Promise<void>((resolve) => {
    done = resolve;
  });
  await using vm = await MicroVm.start({
    ...BARE,
    memoryMiB: 128,
    bios: SEABIOS,
    log: (_, message) => {
      lines.push(message);
      if (message.includes('serial ports')) done?.();
    },
  });
  await Promise.race([seen, vm.exited]);
  const text = lines.join('\n');
  assert.match(text, /firmware: SeaBIOS \(version /);
  assert.match(text, /firmware: RamSize: 0x08000000 \[cmos\]/);
  assert.match(text, /firmware: Found 4 serial ports/);
});

test('an image that holds no reset vector or would cover devices is refused', async () => {
  for (const [bytes, state] of [
    [8, /reset vector/],
    [17 << 20, /more than 16 MiB/],
  ] as const) {
    const path = join(folder, `size-${bytes}`);
    writeFileSync(path, new Uint8Array(bytes));
    await assert.rejects(MicroVm.start({ ...BARE, bios: path }), { code: 'ERR_FIRMWARE_IMAGE', message: state });
  }
  await assert.rejects(MicroVm.start({ ...BARE, bios: '/nonexistent' }), { code: 'ERR_KERNEL_NOT_FOUND' });
});

const dmidecode = {
  skip: existsSync('/usr/sbin/dmidecode') ? await skipReason() : 'no Debian package dmidecode',
  timeout: 120_000,
};

test("OEM strings are there under libkrunfw's kernel too, as dmidecode finds them in memory", dmidecode, async () => {
  const oemStrings = ['io.example.owner=somebody', 'second', ''];
  const { stdout } = await runGuest({ oemStrings, command: ['/usr/sbin/dmidecode', '-q', '-t', '11'] });
  assert.match(stdout, /String 1: io\.example\.owner=somebody\n\s*String 2: second\n\s*String 3: /);
  const { stdout: make } = await runGuest({ command: ['/usr/sbin/dmidecode', '-s', 'system-product-name'] });
  assert.match(make, /libkrun Virtual Machine/);
});
