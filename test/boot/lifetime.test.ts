import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MicroVm } from 'krun';
import { runGuest, skipReason } from './guest.ts';

const options = { skip: await skipReason(), timeout: 180_000 };
const SLEEP = { root: '/', readOnly: true, memoryMiB: 256, command: ['/bin/sleep', '1000'] } as const;

test('timeoutMs ends a guest that would go on', options, async () => {
  const { reason, code } = await runGuest({ command: ['/bin/sleep', '1000'], timeoutMs: 1500 });
  assert.deepEqual([reason, code], ['timeout', null]);
});

test('an AbortSignal ends a guest in the middle of its boot', options, async () => {
  const controller = new AbortController();
  await using vm = await MicroVm.start({ ...SLEEP, signal: controller.signal });
  controller.abort();
  assert.equal((await vm.exited).reason, 'aborted');
});

test('two guests in one process do not know of each other', options, async () => {
  const hosts = ['one', 'two'];
  const results = await Promise.all(hosts.map((hostname) => runGuest({ command: ['/bin/uname', '-n'], hostname })));
  assert.deepEqual(
    results.map(({ stdout }) => stdout),
    ['one\n', 'two\n'],
  );
});

test('a root without an init program is a panic, and the console tells why', options, async () => {
  const { reason, consoleTail } = await runGuest({
    command: ['/x'],
    shares: [{ tag: '/dev/root', path: null, init: false }],
  });
  assert.equal(reason, 'panic');
  assert.match(consoleTail, /Kernel panic - not syncing: Requested init \/init\.krun failed/);
});

test('disposal frees the thread: nothing keeps the process', options, async () => {
  const before = process.getActiveResourcesInfo().length;
  {
    await using vm = await MicroVm.start(SLEEP);
    assert.equal(vm.engine, 'soft');
  }
  await new Promise(setImmediate);
  assert.equal(process.getActiveResourcesInfo().length, before);
});

test('output that nobody reads holds the guest back, and the guest can still be stopped', options, async () => {
  await using vm = await MicroVm.start({ ...SLEEP, command: ['/usr/bin/yes'] });
  const reader = vm.stdout.readable.getReader();
  const { value } = await reader.read();
  assert.match(new TextDecoder().decode(value), /^y\n/);
  assert.equal((await vm.stop()).reason, 'stopped');
});

test('what a guest wrote just before its end arrives in full, although nobody read before', options, async () => {
  await using vm = await MicroVm.start({ ...SLEEP, command: ['/bin/sh', '-c', 'yes | head -c 200000'] });
  assert.equal((await vm.exited).code, 0);
  assert.equal((await vm.stdout.text()).length, 200_000);
});

test('leaving the output early lets the guest run to its end', options, async () => {
  await using vm = await MicroVm.start({ ...SLEEP, command: ['/bin/sh', '-c', 'yes | head -c 1000000; exit 4'] });
  for await (const chunk of vm.stdout) {
    assert.ok(chunk.length > 0);
    break;
  }
  assert.equal((await vm.exited).code, 4);
});
