import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupAccesses } from './address-groups.ts';

const access = (root: string, offset: bigint, bytes: number, write = false) => ({ root, offset, bytes, write });

test('accesses beside the same root share a look-up as far as they lie close together', () => {
  const groups = groupAccesses([access('a', 8n, 8), access('a', -16n, 4, true), access('a', 4000n, 8), access('b', 0n, 8)]);
  assert.deepEqual([...groups], [['a', { low: -16n, high: 16n, write: true, count: 2 }]]);
});
