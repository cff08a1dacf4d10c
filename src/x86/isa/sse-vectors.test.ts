import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { compareResult } from '../../testing/compare.ts';
import { readVectors } from '../../testing/vectors.ts';
import { CaseExecutor } from '../interp/case-harness.ts';

const FOLDER = new URL('../../../test/vectors/', import.meta.url);
const executor = new CaseExecutor();

/** Replays the cases whose number divides by `step`; each form has at least 12, one after the other. */
function replay(family: string, wanted: RegExp, step: number): number {
  const forms = new Set<string>();
  for (const vector of readVectors(gunzipSync(readFileSync(new URL(`${family}.bin.gz`, FOLDER))))) {
    const { name } = vector.template;
    if (vector.index % step !== 0 || !wanted.test(name)) continue;
    forms.add(name);
    assert.deepEqual(compareResult(vector, executor.execute(vector)), [], `${name}, case ${vector.index}`);
  }
  return forms.size;
}

test('recorded SSE moves do what the processor did', () => {
  assert.equal(replay('sse-move', /./, 3), 63);
});

test('recorded packed integer instructions on XMM registers do what the processor did', () => {
  assert.equal(replay('sse-integer', /./, 4), 165);
});

test('recorded shuffles and logic of floating-point lanes do what the processor did', () => {
  assert.equal(replay('sse-float', /^(UNPCK|SHUF|MOV|AND|OR|XOR)/, 2), 34);
});

test('recorded SSE4 instructions without floating-point arithmetic do what the processor did', () => {
  assert.equal(replay('sse4', /^(?!ROUND|DPP|PCMP.STR)/, 3), 86);
});

test('recorded string comparisons give the index, the mask and the flags that the processor gave', () => {
  assert.equal(replay('sse4', /^PCMP.STR/, 2), 16);
});

test('recorded MMX instructions leave registers, tags and stack top as the processor did', () => {
  assert.equal(replay('mmx', /^(?!CVT)/, 3), 172);
});

test('recorded AES, carry-less multiplication and SHA instructions do what the processor did', () => {
  assert.equal(replay('crypto', /./, 1), 28);
});
