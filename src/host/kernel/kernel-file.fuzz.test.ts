import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './kernel-file.fuzz.ts';

test('damaged kernel files give an image that can be loaded, or ERR_KERNEL_IMAGE or ERR_MEMORY_SIZE, and nothing else', () => {
  for (const seed of [1, 2]) {
    const { read, refused } = run(seed, 4000);
    assert(read > 200 && refused > 1000, `seed ${seed}: ${read} read, ${refused} refused`);
  }
});
