import assert from 'node:assert/strict';
import { test } from 'node:test';
import { removeContext } from './contexts.ts';
import * as capi from './index.ts';
import { toOptions } from './start.ts';

test('krun_split_irqchip and krun_set_nested_virt are kept, and the last call counts', () => {
  assert.equal(capi.krun_split_irqchip(0x7fff_fff0, true), -2);
  assert.equal(capi.krun_set_nested_virt(0x7fff_fff0, true), -2);
  const ctx = capi.krun_create_ctx();
  assert.equal(capi.krun_split_irqchip(ctx, false), 0);
  assert.equal(capi.krun_split_irqchip(ctx, true), 0);
  assert.equal(capi.krun_set_nested_virt(ctx, true), 0);
  const context = removeContext(ctx);
  assert.ok(context);
  const { splitIrqchip, nested } = toOptions(context);
  assert.deepEqual([splitIrqchip, nested], [true, true]);
});

test('krun_check_nested_virt answers 0 or 1', () => {
  assert.ok([0, 1].includes(capi.krun_check_nested_virt()));
});
