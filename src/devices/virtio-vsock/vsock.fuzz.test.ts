import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run, runStreams } from './vsock.fuzz.ts';

const SEEDS = [1, 2, 3];

test("every byte of several connections arrives once and in order, within everybody's credit", () => {
  for (const seed of SEEDS) assert.ok(runStreams(seed, 1000) > 500_000);
});

test('a hostile guest neither stops the device nor makes it grow', () => {
  const reports = SEEDS.map((seed) => run(seed, 2000));
  for (const { faults, completed } of reports) assert.ok(faults > 20 && completed > 100, JSON.stringify(reports));
});

test('canary: a guest that ignores its credit is noticed', () => {
  assert.throws(() => runStreams(1, 1500, { cheat: true }), /was reset/);
});
