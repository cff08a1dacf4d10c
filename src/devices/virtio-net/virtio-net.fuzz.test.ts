import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { run } from './virtio-net.fuzz.ts';

const SEEDS = [1, 2, 3, 4, 5, 6];

test('bent chains in both queues neither break the device nor reach beyond memory', () => {
  const reports = SEEDS.map((seed) => run(seed, 2000));
  for (const { faults, completed } of reports) assert.ok(faults > 40 && completed > 100, JSON.stringify(reports));
  const total = (key: 'sent' | 'received'): number => reports.reduce((sum, report) => sum + report[key], 0);
  assert.ok(total('sent') > 100 && total('received') > 100, JSON.stringify(reports));
});

test('canary: memory that reaches into its neighbour is noticed', () => {
  const tooLong = (buffer: ArrayBuffer): GuestMemory =>
    new GuestMemory(buffer, [{ gpa: 0, length: 1024 * 1024 + 64, offset: 64 * 1024 }]);
  assert.throws(() => SEEDS.forEach((seed) => void run(seed, 6000, tooLong)), /outside guest memory changed/);
});
