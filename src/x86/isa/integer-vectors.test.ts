import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { compareResult } from '../../testing/compare.ts';
import { readVectors } from '../../testing/vectors.ts';
import { CaseExecutor } from '../interp/case-harness.ts';

const FOLDER = new URL('../../../test/vectors/', import.meta.url);
const executor = new CaseExecutor();

/** Families of recorded cases, the number of their forms, and of how many cases one is replayed here (all: test/differential). */
const FAMILIES: readonly (readonly [family: string, forms: number, step: number])[] = [
  ['alu', 476, 5],
  ['bits', 157, 4],
  ['control', 50, 1],
  ['invalid', 92, 1],
  ['move', 321, 3],
  ['muldiv', 50, 2],
  ['prefixes', 55, 1],
  ['segment', 30, 1],
  ['sequence', 192, 2],
  ['shift', 216, 4],
  ['stack', 38, 2],
  ['string', 88, 2],
];

for (const [family, forms, step] of FAMILIES) {
  test(`recorded ${family} cases leave registers, flags, memory and faults as the processor did`, () => {
    const seen = new Set<string>();
    for (const vector of readVectors(gunzipSync(readFileSync(new URL(`${family}.bin.gz`, FOLDER))))) {
      if (vector.index % step !== 0) continue;
      seen.add(vector.template.name);
      assert.deepEqual(compareResult(vector, executor.execute(vector)), [], `${vector.template.name}, case ${vector.index}`);
    }
    assert.equal(seen.size, forms);
  });
}
