import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { MicroVm } from 'krun';
import { runGuest, skipReason } from './guest.ts';

const options = { skip: await skipReason(), timeout: 180_000 };
const sh = (script: string) => ({ command: ['/bin/sh', '-c', script] });

/** reboot(2) itself, with one of its commands. @spec LINUX-UAPI reboot.h */
const reboot = (command: string) => sh(`perl -e 'syscall(169, 0xfee1dead, 672274793, ${command}, 0)'; sleep 100`);

test(
  "a panic of the guest's kernel is its reason, and the console keeps the kernel's last words",
  options,
  async () => {
    const script = 'echo 2 >/proc/sys/vm/panic_on_oom; tail /dev/zero; sleep 100';
    const { reason, code, consoleTail } = await runGuest({ ...sh(script), memoryMiB: 128 });
    assert.deepEqual([reason, code], ['panic', null], consoleTail);
    assert.match(consoleTail, /Kernel panic - not syncing: Out of memory/);
  },
);

test('a reset by the guest is told from an exit', options, async () => {
  const { reason, code } = await runGuest(reboot('0x01234567'));
  assert.deepEqual([reason, code], ['reset', null]);
});

test('a guest that halts its CPU for good is over', options, async () => {
  const { reason, code } = await runGuest(reboot('0xcdef0123'));
  assert.deepEqual([reason, code], ['halted', null]);
});

test('a guest that fills its memory loses the process, and nothing of the host', options, async () => {
  const before = process.memoryUsage.rss();
  const { reason, code, stdout } = await runGuest({ ...sh('tail /dev/zero; echo killed $?'), memoryMiB: 128 });
  assert.deepEqual([reason, code, stdout], ['exited', 0, 'killed 137\n']);
  assert.ok(process.memoryUsage.rss() - before < 400 * 2 ** 20);
});

test("a busy guest does not hold up its user's event loop, and ends when told", options, async () => {
  await using vm = await MicroVm.start({
    root: '/',
    readOnly: true,
    memoryMiB: 128,
    ...sh('echo busy; while :; do :; done'),
  });
  await vm.stdout[Symbol.asyncIterator]().next();
  let worst = 0;
  for (let turn = 0, last = performance.now(); turn < 200; turn++) {
    await new Promise(setImmediate);
    worst = Math.max(worst, performance.now() - last);
    last = performance.now();
  }
  // Another process may hold the core for a while; the guest would for ever.
  assert.ok(worst < 1000, `a turn of the event loop took ${worst.toFixed(0)} ms`);
  assert.equal((await vm.stop()).reason, 'stopped');
});

test('a mebibyte of random bytes goes through cat unchanged', options, async () => {
  const input = randomBytes(2 ** 20);
  await using vm = await MicroVm.start({ root: '/', readOnly: true, memoryMiB: 128, command: ['/bin/cat'] });
  const hash = createHash('sha256');
  const reading = (async () => {
    for await (const chunk of vm.stdout) hash.update(chunk);
  })();
  await vm.stdin.write(input);
  vm.stdin.end();
  await reading;
  assert.equal(hash.digest('hex'), createHash('sha256').update(input).digest('hex'));
  assert.equal((await vm.exited).code, 0);
});

test('output that nobody reads makes the guest wait, not the host grow', options, async () => {
  await using vm = await MicroVm.start({ root: '/', readOnly: true, memoryMiB: 128, ...sh('echo up >&2; yes') });
  await vm.stderr[Symbol.asyncIterator]().next();
  const before = process.memoryUsage.rss();
  await new Promise((resolve) => setTimeout(resolve, 1500)); // there is no event to wait for: the guest shall do nothing
  assert.ok(process.memoryUsage.rss() - before < 64 * 2 ** 20);
});

test('four guests at once in one process each end by themselves', options, async () => {
  const codes = [0, 1, 2, 255];
  const all = await Promise.all(codes.map((code) => runGuest({ ...sh(`exit ${code}`), memoryMiB: 96 })));
  assert.deepEqual(
    all.map(({ reason, code }) => [reason, code]),
    codes.map((code) => ['exited', code]),
  );
});
