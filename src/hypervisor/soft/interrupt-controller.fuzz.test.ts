import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './interrupt-controller.fuzz.ts';

test('a guest that writes to every interrupt register gets sound answers and breaks nothing', () => {
  for (const seed of [1, 2, 3]) {
    const report = run(seed, 60_000);
    assert.ok(report.acknowledged > 100, `seed ${seed}: only ${report.acknowledged} interrupts were taken`);
    assert.ok(report.ticks > 1000);
  }
});
