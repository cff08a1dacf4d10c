import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run, runStreams } from './console.fuzz.ts';

const SEEDS = [1, 2, 3];

test('every byte arrives once and in order through stalls and saves', () => {
  for (const seed of SEEDS) assert.ok(runStreams(seed, 800) > 10_000);
});

test('a hostile guest neither stops the console nor makes it grow', () => {
  const reports = SEEDS.map((seed) => run(seed, 1500));
  for (const { faults, completed } of reports) assert.ok(faults > 20 && completed > 100, JSON.stringify(reports));
});

test('canary: a sink that loses a byte is noticed', () => {
  assert.throws(() => runStreams(1, 1500, { loseBytes: true }), /output byte \d+ is wrong/);
});
