import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { noTerminalReason, skipReason } from '../boot/guest.ts';

const options = { skip: (await skipReason()) || noTerminalReason(), timeout: 180_000 };
const folder = mkdtempSync(join(tmpdir(), 'krun-terminals-'));
after(() => rmSync(folder, { recursive: true }));

interface Outcome {
  readonly output: readonly string[];
  readonly said: string;
  readonly code: number;
  readonly raw: readonly boolean[];
  readonly restored: readonly boolean[];
}

/** Runs a program with terminals at descriptors 3 and on. */
async function onTerminals(count: number, actions: readonly string[], source: string): Promise<Outcome> {
  const file = join(folder, 'program.mjs');
  writeFileSync(file, source);
  const script = fileURLToPath(new URL('../../test/guest/on-terminals.py', import.meta.url));
  const args = [script, String(count), ...actions, '--', process.execPath, file];
  const { stdout } = await promisify(execFile)('python3', args);
  return JSON.parse(stdout) as Outcome;
}

/** A program that enters a machine; the guest's script has `dev NAME`, the terminal of a port. */
function program(calls: string, script: string): string {
  const guest = `dev() { for p in /sys/class/virtio-ports/*; do test "$(cat $p/name)" = "$1" && echo $p; done; }
    ${script}`;
  return `import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const must = (value) => { if (value < 0) { console.error('failed', value); process.exit(99); } return value; };
    const ctx = must(k.krun_create_ctx());
    must(k.krun_set_vm_config(ctx, 1, 256));
    must(k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true));
    ${calls}
    must(k.krun_set_exec(ctx, '/bin/bash', ['-c', ${JSON.stringify(guest)}], ['PATH=/usr/bin:/bin']));
    process.exit(-must(await k.krun_start_enter(ctx)));`;
}

test(
  'krun_add_console_port_tty: consoles with names on two terminals, each with its keys, size and resize',
  options,
  async () => {
    const { output, said, code, raw, restored } = await onTerminals(
      2,
      ['--type', '0', 'first\r', 'ready', '--type', '1', 'second\r', 'ready', '--resize', '1', '30 100'],
      program(
        `const console = must(k.krun_add_virtio_console_multiport(ctx));
      must(k.krun_add_console_port_tty(ctx, console, 'left', 3));
      must(k.krun_add_console_port_tty(ctx, console, 'right', 4));`,
        `cat /sys/class/virtio-ports/*/name | tr '\\n' ' '
      for n in 1 2; do
        exec 5<>/dev/hvc$n
        echo ready >&5; read line <&5; echo "hvc$n read $line" >&5
        stty size <&5 >&5
      done
      while test "$(stty size <&5)" = "30 100"; do sleep 0.1; done; stty size <&5 >&5; exit 4`,
      ),
    );
    assert.deepEqual({ code, raw, restored }, { code: 4, raw: [true, true], restored: [true, true] });
    assert.equal(said, 'krun-stdin krun-stdout krun-stderr left right ');
    assert.match(output[0]!, /ready\r\n(first\r\n)?hvc1 read first\r\n30 100\r\n$/);
    assert.match(output[1]!, /ready\r\n(second\r\n)?hvc2 read second\r\n30 100\r\n40 132\r\n$/);
  },
);

test(
  'krun_add_virtio_console_default on a terminal that is not standard input makes it the one of the command',
  options,
  async () => {
    const { output, code, raw, restored } = await onTerminals(
      1,
      ['--type', '0', 'word\r', 'ready'],
      program(
        `must(k.krun_disable_implicit_console(ctx));
      must(k.krun_add_virtio_console_default(ctx, 3, 3, 3));`,
        'tty; stty size; echo ready; read line; echo "got $line"; exit 6',
      ),
    );
    assert.deepEqual({ code, raw, restored }, { code: 6, raw: [true], restored: [true] });
    assert.match(output[0]!, /\/dev\/hvc0\r\n30 100\r\nready\r\nword\r\ngot word\r\n$/);
  },
);
