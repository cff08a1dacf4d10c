import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './balloon.fuzz.ts';

test('only whole pages of guest memory are discarded', () => {
  for (const seed of [1, 2, 3]) {
    const report = run(seed, 1500);
    assert.ok(report.discarded > 1024 * 1024 && report.faults > 20, JSON.stringify(report));
  }
});
