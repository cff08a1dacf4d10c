import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { keepUntilBoot, keptSinceBoot } from './boot-cache.ts';

const folder = mkdtempSync(join(tmpdir(), 'krun-boot-cache-'));
const file = join(folder, 'krun/answer.json');
const environment = process.env['XDG_CACHE_HOME'];

before(() => {
  process.env['XDG_CACHE_HOME'] = folder;
});
after(() => {
  if (environment === undefined) delete process.env['XDG_CACHE_HOME'];
  else process.env['XDG_CACHE_HOME'] = environment;
  rmSync(folder, { recursive: true });
});

test('what was kept comes back until the host boots again', () => {
  assert.equal(keptSinceBoot('answer'), undefined);
  keepUntilBoot('answer', { n: 42 });
  assert.deepEqual(keptSinceBoot('answer'), { n: 42 });
  const kept = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...kept, bootId: 'another boot' }));
  assert.equal(keptSinceBoot('answer'), undefined);
});

test('a damaged file is as good as none', () => {
  keepUntilBoot('answer', 1);
  for (const text of ['', '{', 'null', '[]', '7']) {
    writeFileSync(file, text);
    assert.equal(keptSinceBoot('answer'), undefined, text);
  }
});

test('where nothing can be written nothing is kept, and nobody hears of it', () => {
  process.env['XDG_CACHE_HOME'] = file; // not a folder
  keepUntilBoot('answer', 1);
  assert.equal(keptSinceBoot('answer'), undefined);
  process.env['XDG_CACHE_HOME'] = folder;
});
