import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runLockstep, runLockstepOn } from './lockstep.ts';

test('compiled code and the interpreter agree on random programs with branches, faults, changed code and interrupts', () => {
  const report = runLockstep(1, 300);
  assert.ok(report.compiled > 3000, `only ${report.compiled} instructions were compiled`);
  assert.ok(report.stops > 400 && report.faults > 100 && report.instructions > 20_000);
});

test('flags that wait through a block which does not touch them are right where the budget ends there', () => {
  // 0: sub al, 0x65; jg 0; nop; jmp 0
  const report = runLockstepOn(Uint8Array.of(0x2c, 0x65, 0x7f, 0xfc, 0x90, 0xeb, 0xf9), 3);
  assert.ok(report.stops > 50);
});

test('compiled code that need not raise PE and DE computes the same', () => {
  const report = runLockstep(2, 60, false);
  assert.ok(report.compiled > 500 && report.instructions > 3000);
});
