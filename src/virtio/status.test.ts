import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classifyStatusWrite } from './status.ts';

// All 256 x 256 pairs of state and written value are looked at; the expectations are written out from §2.1 and §3.1.1.
const LEGAL = new Map([
  ['0>1', 'acknowledge'],
  ['1>3', 'driver'],
  ['3>11', 'features-ok'],
  ['11>15', 'driver-ok'],
]);

test('writing 0 resets from every state', () => {
  for (let state = 0; state < 256; state++) assert.equal(classifyStatusWrite(state, 0), 'reset');
});

test('writing FAILED is heard in every state', () => {
  for (let state = 0; state < 256; state++) {
    for (let low = 0; low < 128; low++) assert.equal(classifyStatusWrite(state, 128 + low), 'fail');
  }
});

test('only the four steps of initialisation lead on, with or without DEVICE_NEEDS_RESET in the value', () => {
  for (let state = 0; state < 128; state++) {
    for (let written = 1; written < 128; written++) {
      const expected = LEGAL.get(`${state % 64}>${written % 64}`) ?? (written === 0 ? 'reset' : 'ignore');
      assert.equal(classifyStatusWrite(state, written), expected, `${state} > ${written}`);
    }
  }
});

test('after FAILED nothing but a reset leads on', () => {
  for (let state = 128; state < 256; state++) {
    for (let written = 1; written < 128; written++) assert.equal(classifyStatusWrite(state, written), 'ignore');
  }
});
