import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './legacy.fuzz.ts';

test('a guest that writes to every legacy register gets sound answers and breaks nothing', () => {
  for (const seed of [1, 2, 3]) {
    const { resets, sent, interrupts } = run(seed, 50_000);
    assert.ok(resets > 0 && sent > 0 && interrupts > 0, `seed ${seed} exercised nothing`);
  }
});
