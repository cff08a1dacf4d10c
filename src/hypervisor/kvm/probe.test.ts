import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { probeKvm } from './probe.ts';

test('a verdict fits what was measured', () => {
  const { kind, reason, instructionsPerSecond, vcpusMax } = probeKvm();
  assert.notEqual(reason, '');
  if (kind === 'closed') assert.deepEqual([instructionsPerSecond, vcpusMax], [undefined, 0]);
  else assert.ok(vcpusMax >= 1);
  if (kind === 'good') assert.ok((instructionsPerSecond ?? 0) >= 10e6);
  if (kind === 'slow') assert.ok((instructionsPerSecond ?? 0) < 10e6);
});

test('probing leaves nothing open', () => {
  probeKvm(); // loads what is loaded once
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 5; i++) probeKvm();
  assert.equal(readdirSync('/proc/self/fd').length, before);
});
