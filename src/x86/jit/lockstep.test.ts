import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runLockstep } from './lockstep.ts';

test('compiled code and the interpreter agree on random programs with branches, faults, changed code and interrupts', () => {
  const report = runLockstep(1, 300);
  assert.ok(report.compiled > 3000, `only ${report.compiled} instructions were compiled`);
  assert.ok(report.stops > 400 && report.faults > 100 && report.instructions > 20_000);
});
