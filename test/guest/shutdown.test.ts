import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { MicroVm } from 'krun';
import { skipReason } from '../boot/guest.ts';

const options = { skip: await skipReason(), timeout: 120_000 };
const folder = mkdtempSync(join(tmpdir(), 'krun-shutdown-'));
after(() => rmSync(folder, { recursive: true }));
const ROOT = { root: '/', readOnly: true, memoryMiB: 256, timeoutMs: 90_000 } as const;
const ORDERLY = 'trap "echo tidying up; exit 9" TERM; echo ready; while :; do sleep 0.1; done';

async function started(script: string, change: object = {}) {
  const vm = await MicroVm.start({ ...ROOT, command: ['/bin/bash', '-c', script], ...change });
  const chunks = vm.stdout[Symbol.asyncIterator]();
  let ready: () => void = () => {};
  const isReady = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const output = (async () => {
    let all = '';
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
      all += new TextDecoder().decode(next.value);
      if (all.includes('ready')) ready();
    }
    return all;
  })();
  await isReady;
  return { vm, output };
}

test('shutdown lets the command end in its own way', options, async () => {
  const { vm, output } = await started(ORDERLY);
  await using running = vm;
  const { reason, code } = await running.shutdown({ timeoutMs: 60_000 });
  assert.deepEqual([reason, code, await output], ['exited', 9, 'ready\ntidying up\n']);
});

test(
  'a command without a handler dies of SIGTERM; one that ignores it is stopped when its time is over',
  options,
  async () => {
    const mortal = await started('echo ready; exec sleep 1000');
    await using first = mortal.vm;
    const end = await first.shutdown({ timeoutMs: 60_000 });
    assert.deepEqual([end.reason, end.code, end.signal], ['exited', null, 'SIGTERM']);
    const stubborn = await started('trap "" TERM; echo ready; while :; do sleep 0.1; done');
    await using second = stubborn.vm;
    assert.equal((await second.shutdown({ timeoutMs: 1500 })).reason, 'stopped');
  },
);

test('the workload sees no more than one port of the machinery, and none when shutdown is false', options, async () => {
  const list = 'cat /sys/class/virtio-ports/*/name | grep krun-control; echo ready';
  const on = await started(list);
  await using first = on.vm;
  assert.equal(await on.output, 'krun-control\nready\n');
  await first.exited;
  const off = await started(list, { shutdown: false });
  await using second = off.vm;
  assert.equal(await off.output, 'ready\n');
  await second.exited;
});

test('eight bytes written to krun_get_shutdown_eventfd end the guest in order', options, async () => {
  const file = join(folder, 'enter.mjs');
  writeFileSync(
    file,
    `import { writeSync } from 'node:fs';
    import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const must = (value) => { if (value < 0) { console.error('failed', value); process.exit(99); } return value; };
    const ctx = must(k.krun_create_ctx());
    must(k.krun_set_vm_config(ctx, 1, 256));
    must(k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true));
    const fd = must(k.krun_get_shutdown_eventfd(ctx));
    process.on('SIGUSR2', () => writeSync(fd, new BigUint64Array([1n])));
    must(k.krun_set_exec(ctx, '/bin/bash', ['-c', ${JSON.stringify(ORDERLY)}], ['PATH=/usr/bin:/bin']));
    process.exit(-must(await k.krun_start_enter(ctx)));`,
  );
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 90_000 });
  child.stdout.once('data', () => child.kill('SIGUSR2'));
  const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  assert.deepEqual([stdout, code], ['ready\ntidying up\n', 9]);
});
