import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
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
  for (const kib of [64, 128, 256, 1024]) {
    await using vm = await MicroVm.start({ ...BARE, bios: firmware(`jump-${kib}`, kib, selfReader()), serials: [{}] });
    const [port] = vm.serials;
    const [printed, exit] = await Promise.all([port!.output.text(), vm.exited]);
    assert.deepEqual([exit.reason, printed.codePointAt(0)], ['reset', 0xfffd], `${kib} KiB`);
  }
});

test('krun/capi starts firmware with a serial console, and ends with 0', { timeout: 60_000 }, () => {
  const program = join(folder, 'enter.mjs');
  writeFileSync(
    program,
    `import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const ctx = k.krun_create_ctx();
    const results = [
      k.krun_set_firmware(ctx, ${JSON.stringify(firmware('capi', 128, selfReader()))}),
      k.krun_disable_implicit_console(ctx),
      k.krun_add_serial_console_default(ctx, -1, 1),
    ];
    if (results.some((result) => result !== 0)) throw new Error(results.join());
    process.exitCode = 100 - (await k.krun_start_enter(ctx));`,
  );
  const printed = execFileSync(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
  assert.deepEqual([...printed], [0xea]);
});

/** Reads the last jump's opcode through a flat 32-bit segment at 0xfffffff0 and prints it; then resets. */
function selfReader(): number[] {
  const steps = [
    'fa', // cli
    '2e0f01165000', // lgdt cs:[0x50]
    '0f20c00c010f22c0', // set CR0.PE
    'b808008ed8', // ds = 8
    '66bef0ffffff678a06', // mov al, [0xfffffff0]
    'baf803ee', // out 0x3f8, al
    'b0fee664f4', // reset
  ];
  const code = Buffer.alloc(0x70);
  code.write(steps.join(''), 'hex');
  code.write('0f0060000f00', 0x50, 'hex'); // two descriptors at 0xf0060
  code.write('ffff00000093cf00', 0x68, 'hex'); // writable data, 4 GiB
  return [...code];
}

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
