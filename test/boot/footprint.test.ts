import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { MicroVm } from 'krun';
import { runGuest, skipReason } from './guest.ts';

// What a guest costs is measured in this process, which runs no other test.
const options = { skip: await skipReason(), timeout: 180_000 };
const MIB = 1 << 20;
const openFiles = () => readdirSync('/proc/self/fd').length;

test(
  'a 512 MiB guest that uses little stays below 250 MiB, and below 2 % of a core while it sleeps',
  options,
  async () => {
    await using vm = await MicroVm.start({
      root: '/',
      readOnly: true,
      memoryMiB: 512,
      command: ['/bin/sh', '-c', 'echo up; exec sleep 1000'],
    });
    await vm.stdout[Symbol.asyncIterator]().next();
    // The first seconds are not idle: free pages go back to the host, and V8 compiles what was hot. Being idle is the
    // one thing that can only be seen by waiting.
    await setTimeout(6000);
    const start = { cpu: process.cpuUsage(), ms: performance.now() };
    await setTimeout(5000);
    const { user, system } = process.cpuUsage(start.cpu);
    const share = (user + system) / 1000 / (performance.now() - start.ms);
    assert.ok(share < 0.02, `an idle guest used ${(share * 100).toFixed(1)} % of a core`);
    const most = process.resourceUsage().maxRSS / 1024;
    assert.ok(most < 250, `the process had up to ${most.toFixed(0)} MiB resident`);
  },
);

test('memory and descriptors of guests that ended come back', options, async () => {
  await runGuest({ command: ['/bin/true'], memoryMiB: 512 });
  const before = { rss: process.memoryUsage.rss(), files: openFiles() };
  // Every page of half the guest's memory is used, and it is stopped in the middle.
  const fill = 'head -c 150M /dev/zero >/dev/shm/x; echo full; sleep 1000';
  for (let round = 0; round < 2; round++) {
    await using vm = await MicroVm.start({
      root: '/',
      readOnly: true,
      memoryMiB: 512,
      command: ['/bin/sh', '-c', fill],
    });
    await vm.stdout[Symbol.asyncIterator]().next();
    assert.ok(process.memoryUsage.rss() - before.rss > 120 * MIB, 'the guest has really taken memory');
  }
  const kept = (process.memoryUsage.rss() - before.rss) / MIB;
  assert.ok(kept < 100, `${kept.toFixed(0)} MiB more than after one guest`);
  assert.equal(openFiles(), before.files);
});
