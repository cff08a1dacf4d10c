import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { skipReason } from '../boot/guest.ts';

const options = { skip: await skipReason(), timeout: 180_000 };
const folder = mkdtempSync(join(tmpdir(), 'krun-irqchip-'));
after(() => rmSync(folder, { recursive: true }));

/** Which kinds of interrupt chip the devices' interrupts go through, the first PIC's edge and level control, and time that passes. */
const SCRIPT = `awk '/virtio/ { print $3 }' /proc/interrupts | sort -u
dd if=/dev/port bs=1 skip=1232 count=1 2>/dev/null | od -An -tx1
before=$(cut -d. -f1 /proc/uptime); sleep 1.2; test $(cut -d. -f1 /proc/uptime) -gt $before && echo time passes`;

async function machine(split: boolean): Promise<string> {
  const file = join(folder, 'enter.mjs');
  writeFileSync(
    file,
    `import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const must = (value) => { if (value < 0) { console.error('failed', value); process.exit(99); } return value; };
    const ctx = must(k.krun_create_ctx());
    must(k.krun_set_vm_config(ctx, 1, 256));
    must(k.krun_split_irqchip(ctx, ${split}));
    must(k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true));
    must(k.krun_set_exec(ctx, '/bin/sh', ['-c', ${JSON.stringify(SCRIPT)}], ['PATH=/usr/bin:/bin']));
    process.exit(-must(await k.krun_start_enter(ctx)));`,
  );
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 90_000 });
  const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  assert.equal(code, 0);
  return stdout;
}

test(
  'krun_split_irqchip: a machine without PIC boots, its devices and its time work; with one the PIC answers',
  options,
  async () => {
    const split = await machine(true);
    assert.match(split, /^IO-APIC\n ff\ntime passes\n$/);
    const whole = await machine(false);
    assert.match(whole, /^IO-APIC\n 00\ntime passes\n$/);
  },
);
