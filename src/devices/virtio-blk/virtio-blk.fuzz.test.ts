import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { run } from './virtio-blk.fuzz.ts';

const SEEDS = [1, 2, 3, 4];

test('bent requests in bent chains are answered or dropped, and the disk is only asked for what it has', () => {
  const reports = SEEDS.map((seed) => run(seed, 2000));
  for (const { faults, completed } of reports) assert.ok(faults > 50 && completed > 150, JSON.stringify(reports));
  assert.ok(reports.reduce((sum, { requests }) => sum + requests, 0) > 60, JSON.stringify(reports));
});

test('canary: memory that reaches into its neighbour is noticed', () => {
  const tooLong = (buffer: ArrayBuffer): GuestMemory =>
    new GuestMemory(buffer, [{ gpa: 0, length: 1024 * 1024 + 64, offset: 64 * 1024 }]);
  assert.throws(() => SEEDS.forEach((seed) => void run(seed, 4000, tooLong)), /outside guest memory changed/);
});
