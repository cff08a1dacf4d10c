import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { MicroVm } from 'krun';
import { loadDiscardPages } from '../../dist/native/memory.js';
import { skipReason } from '../boot/guest.ts';

const skip = (await skipReason()) || (loadDiscardPages() === null ? 'no koffi, which gives memory back' : false);
const MIB = 1 << 20;
const FILLED_MIB = 200;

/** Memory of this process that is really there, guests included. */
function residentBytes(): number {
  const [, pages = '0'] = readFileSync('/proc/self/statm', 'latin1').split(' ');
  return Number(pages) * 4096;
}

test('memory that the guest used and freed goes back to the host', { skip, timeout: 180_000 }, async () => {
  const script = `echo ready; read go; head -c ${FILLED_MIB}M /dev/zero > /dev/shm/filled; echo full; read go; rm /dev/shm/filled; echo freed; read go`;
  await using vm = await MicroVm.start({
    root: '/',
    readOnly: true,
    memoryMiB: 512,
    timeoutMs: 150_000,
    command: ['/bin/sh', '-c', script],
  });
  const said = vm.stdout[Symbol.asyncIterator]();
  const until = async (word: string): Promise<void> => {
    for (let text = ''; !text.includes(word); ) {
      const { value, done } = await said.next();
      assert.ok(!done, `the guest ended before it said ${word}`);
      text += new TextDecoder().decode(value as Uint8Array);
    }
  };
  await until('ready');
  const before = residentBytes();
  await vm.stdin.write('\n');
  await until('full');
  const full = residentBytes();
  assert.ok(full - before > 0.7 * FILLED_MIB * MIB, `${((full - before) / MIB).toFixed(0)} MiB more while it is used`);
  await vm.stdin.write('\n');
  await until('freed');
  // The guest's kernel reports free pages two seconds after the last change, so this can only be seen by waiting.
  let left = full;
  for (let waited = 0; waited < 60 && left - before > 0.2 * FILLED_MIB * MIB; waited++) {
    await setTimeout(500);
    left = residentBytes();
  }
  assert.ok(left - before < 0.2 * FILLED_MIB * MIB, `${((left - before) / MIB).toFixed(0)} MiB were kept`);
});
