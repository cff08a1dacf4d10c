import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { compareResult } from '../../testing/compare.ts';
import { readVectors } from '../../testing/vectors.ts';
import { CaseExecutor } from '../interp/case-harness.ts';

const FOLDER = new URL('../../../test/vectors/', import.meta.url);
const executor = new CaseExecutor('jit');
/** One case of so many is replayed here: each is compiled by itself. */
const STEP = 23;

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.bin.gz'))) {
  const family = file.slice(0, -'.bin.gz'.length);
  test(`recorded ${family} cases leave compiled code as they left the processor`, () => {
    let count = 0;
    for (const vector of readVectors(gunzipSync(readFileSync(new URL(file, FOLDER))))) {
      if (vector.index % STEP !== 0) continue;
      count++;
      assert.deepEqual(compareResult(vector, executor.execute(vector)), [], `${vector.template.name}, case ${vector.index}`);
    }
    assert.ok(count > 10, `only ${count} cases`);
  });
}

test('nearly all of these cases were compiled', () => {
  const { instructions } = executor.cpu.jit!.statistics;
  assert.ok(instructions > 2500, `only ${instructions} instructions`);
});
