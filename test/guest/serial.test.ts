// libkrunfw's kernel has no driver for serial ports, so the guest's program works the UART's registers itself.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { MicroVm } from 'krun';
import { skipReason } from '../boot/guest.ts';

const noCompiler =
  spawnSync('gcc', ['--version']).error === undefined ? false : 'no gcc, which makes the guest program';
const options = { skip: (await skipReason()) || noCompiler, timeout: 180_000 };
const folder = mkdtempSync(join(tmpdir(), 'krun-serial-'));
after(() => rmSync(folder, { recursive: true }));

/** Says what COM1 is, sends a line and COUNT more bytes, says once when it must wait; reads a line and says it. */
const PROGRAM = `
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
enum { DATA = 0x3f8, IER, IIR, LCR, MCR, LSR, MSR };
static int ports, waited;
static int in(int port) { unsigned char byte = 0; if (pread(ports, &byte, 1, port) != 1) exit(98); return byte; }
static void out(int byte, int port) { unsigned char b = byte; if (pwrite(ports, &b, 1, port) != 1) exit(98); }
static void put(int byte) {
  while (!(in(LSR) & 0x20)) if (!waited++) puts("busy");
  out(byte, DATA);
}
int main(int argc, char **argv) {
  setlinebuf(stdout);
  if (argc < 2 || (ports = open("/dev/port", O_RDWR)) < 0) return 99;
  if (in(LSR) == 0xff) { puts("no COM1"); return 0; }
  out(0x83, LCR); out(1, DATA); out(0, IER); out(0x03, LCR); out(0x07, IIR); out(0x0b, MCR);
  printf("iir %02x msr %02x\\n", in(IIR), in(MSR) & 0xb0);
  for (const char *s = "from the guest\\n"; *s; s++) put(*s);
  for (int i = 0; i < atoi(argv[1]); i++) put('a' + i % 26);
  for (int c = 0; c != '\\n';) {
    while (!(in(LSR) & 0x01)) {}
    putchar(c = in(DATA));
  }
  return 0;
}
`;

function build(): string {
  writeFileSync(join(folder, 'serial.c'), PROGRAM);
  execFileSync('gcc', ['-O1', '-static', '-o', join(folder, 'serial'), join(folder, 'serial.c')]);
  return '/mnt/serial';
}

const MACHINE = {
  root: '/',
  readOnly: true,
  memoryMiB: 256,
  timeoutMs: 120_000,
  volumes: [{ hostPath: folder, guestPath: '/mnt' }],
} as const;

test(
  'COM1 has a 16550, both directions, and makes the guest wait for a slow reader; without one it is not there',
  options,
  async () => {
    const program = build();
    const logFile = join(folder, 'log');
    const count = 280_000; // more than what may be under way to the reader
    await using vm = await MicroVm.start({ ...MACHINE, command: [program, String(count)], serials: [{ logFile }] });
    const [serial] = vm.serials;
    assert.ok(serial);
    let said = '';
    let sent: Promise<string> | undefined;
    for await (const chunk of vm.stdout) {
      said += new TextDecoder().decode(chunk);
      if (said.includes('busy')) sent ??= serial.output.text();
      // What comes before the guest has cleared the FIFO would be gone, as on a PC.
      if (said.endsWith('busy\n')) await serial.input.write('to the guest\n');
    }
    assert.equal(said, 'iir c1 msr b0\nbusy\nto the guest\n');
    const all = (await sent) ?? '';
    const expected = `from the guest\n${Array.from({ length: count }, (_, i) => String.fromCharCode(97 + (i % 26))).join('')}`;
    assert.ok(all === expected, `${all.length} of ${expected.length} bytes`);
    assert.ok(readFileSync(logFile, 'latin1') === expected);

    await using without = await MicroVm.start({ ...MACHINE, command: [program, '0'] });
    assert.equal(await without.stdout.text(), 'no COM1\n');
  },
);

test('krun_add_serial_console_default joins COM1 to two descriptors', options, async () => {
  const file = join(folder, 'enter.mjs');
  writeFileSync(
    file,
    `import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const must = (value) => { if (value < 0) { console.error('failed', value); process.exit(99); } return value; };
    const ctx = must(k.krun_create_ctx());
    must(k.krun_set_vm_config(ctx, 1, 256));
    must(k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true));
    must(k.krun_add_serial_console_default(ctx, 3, 4));
    must(k.krun_set_exec(ctx, ${JSON.stringify(join(folder, 'serial'))}, ['3'], null));
    process.exit(-must(await k.krun_start_enter(ctx)));`,
  );
  build();
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit', 'pipe', 'pipe'] });
  child.stdout?.once('data', () => (child.stdio[3] as unknown as NodeJS.WritableStream).write('a line\n'));
  const [stdout, sent, [code]] = await Promise.all([
    text(child.stdout!),
    text(child.stdio[4] as NodeJS.ReadableStream),
    once(child, 'close'),
  ]);
  assert.deepEqual([stdout, sent, code], ['iir c1 msr b0\na line\n', 'from the guest\nabc', 0]);
});
