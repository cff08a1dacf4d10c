import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { compareResult } from '../../testing/compare.ts';
import { readVectors, type Vector } from '../../testing/vectors.ts';
import { CaseExecutor } from '../interp/case-harness.ts';

const FOLDER = new URL('../../../test/vectors/', import.meta.url);
const executor = new CaseExecutor();

function* recorded(family: string, wanted: RegExp): Generator<Vector> {
  for (const vector of readVectors(gunzipSync(readFileSync(new URL(`${family}.bin.gz`, FOLDER))))) {
    if (wanted.test(vector.template.name)) yield vector;
  }
}

/** Every case whose number divides by `step`; each form has far more than that. */
function replay(family: string, wanted: RegExp, step: number): number {
  let count = 0;
  for (const vector of recorded(family, wanted)) {
    if (vector.index % step !== 0) continue;
    count++;
    assert.deepEqual(compareResult(vector, executor.execute(vector)), [], `${vector.template.name}, case ${vector.index}`);
  }
  return count;
}

const SHUFFLES = '(UNPCK|SHUF|MOV|AND|OR|XOR)';

test('recorded floating-point instructions give the same results, flags and exceptions as the processor', () => {
  assert.ok(replay('sse-float', new RegExp(`^(?!${SHUFFLES})`), 3) > 1000);
});

test('recorded ROUND and DP instructions of SSE4.1 give the same results and flags as the processor', () => {
  assert.ok(replay('sse4', /^(ROUND|DPP)/, 2) > 150);
});

test('recorded conversions from and to MMX registers leave the x87 unit as the processor did', () => {
  assert.ok(replay('mmx', /^CVT/, 1) > 100);
});

test('RCP and RSQRT are as close to the processor as the architecture asks', () => {
  assert.ok(replay('sse-approximate', /./, 1) > 200);
});
