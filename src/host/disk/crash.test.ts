import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Random } from '../../testing/random.ts';
import { at, check, qemuContents, qemuImg, skipQemu } from './disk-fixture.test.ts';
import { findLoss, parseJournal } from './journal.fuzz.ts';

const WRITER = fileURLToPath(new URL('./crash-writer.fuzz.js', import.meta.url));
const SIZE = 4 * 1024 * 1024;

/** Lets a writer work on an image and kills it; answers what it said. */
async function killedWriter(path: string, format: string, random: Random) {
  const child = spawn(process.execPath, [WRITER, path, format, String(random.u32())], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = text(child.stdout);
  await once(child.stdout, 'readable');
  await new Promise((resolve) => setTimeout(resolve, 5 + random.below(150)));
  child.kill('SIGKILL');
  await once(child, 'close');
  return parseJournal(await output);
}

for (const settings of ['compat=1.1', 'compat=0.10', 'cluster_size=512', 'cluster_size=4096,refcount_bits=64']) {
  test(`a killed writer leaves a sound image with all that was flushed: ${settings}`, { skip: skipQemu }, async () => {
    const random = new Random(settings.length);
    for (let round = 0; round < 5; round++) {
      const path = at('killed.qcow2');
      qemuImg('create', '-q', '-f', 'qcow2', '-o', settings, path, String(SIZE));
      const journal = await killedWriter(path, 'qcow2', random);
      assert.ok(journal.entries.length > 0);
      const { corruptions, output } = check(path);
      assert.equal(corruptions, 0, output);
      assert.equal(findLoss(journal, qemuContents(path, 'qcow2')), undefined);
    }
  });
}

test('a killed writer leaves a raw disk with all that was flushed', async () => {
  const path = at('killed.raw');
  writeFileSync(path, '');
  truncateSync(path, SIZE);
  const journal = await killedWriter(path, 'raw', new Random(9));
  assert.equal(findLoss(journal, readFileSync(path)), undefined);
});

test('canary: a lost sector is found', () => {
  const contents = new Uint8Array(1024);
  const entries = [{ kind: 'write', stamp: 1, first: 1, count: 1 }] as const;
  assert.equal(findLoss({ entries, flushed: 2 }, contents), 'sector 1 holds 0, not 1');
  assert.equal(findLoss({ entries, flushed: 1 }, contents), undefined);
});
