import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MiB } from '../base/units.ts';
import { loadDiscardPages } from '../native/memory.ts';
import { HostMemoryDiscarder } from './memory-discarder.ts';

const skip = loadDiscardPages() === null ? 'no native calls here' : false;

/** Bytes of this process that are in the host's memory. */
function residentBytes(): number {
  const kiB = /VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kiB) * 1024;
}

test('discarded guest memory goes back to the host and reads as zeros; the engine is told', { skip }, () => {
  const pages = (128 * MiB) / 65536;
  const bytes = new Uint8Array(
    new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer as ArrayBuffer,
  );
  const told: number[][] = [];
  const discarder = new HostMemoryDiscarder();
  discarder.discard(0, 4096);
  discarder.attach({
    bytes: (gpa, length) => bytes.subarray(gpa, gpa + length),
    wrote: (gpa, length) => told.push([gpa, length]),
  });
  bytes.fill(7);
  const before = residentBytes();
  discarder.discard(4096, 96 * MiB);
  assert.ok(before - residentBytes() > 90 * MiB, 'about 96 MiB less are resident');
  assert.deepEqual([bytes[4095], bytes[4096], bytes[96 * MiB + 4095], bytes[96 * MiB + 4096]], [7, 0, 0, 7]);
  assert.deepEqual(told, [[4096, 96 * MiB]]);
});
