import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { at, check, folder, open, readAll, skipQemu } from '../disk-fixture.test.ts';
import { run } from './qcow2.fuzz.ts';
import { smallImage } from './small-image.fuzz.ts';

test('the image that is damaged is sound, and has every kind of cluster', { skip: skipQemu }, async () => {
  for (const version of [2, 3] as const) {
    const path = at('small.qcow2');
    writeFileSync(path, smallImage(version));
    const { corruptions, leaks, output } = check(path);
    assert.deepEqual({ corruptions, leaks }, { corruptions: 0, leaks: 1 }, output);
    const disk = open(path, { readOnly: true });
    const bytes = await readAll(disk);
    disk.close();
    assert.deepEqual([bytes[0], bytes[512], bytes[1024], bytes[1536], bytes[2560]], [5, 6, 7, 0, 0]);
    assert.equal(Buffer.from(bytes.subarray(2048, 2058)).toString(), 'compressed');
  }
});

test('damaged images are refused, or requests to them fail, and nothing else happens', async () => {
  const report = await run(1, 600, folder);
  const { refused, opened, failedRequests, goodRequests } = report;
  assert.ok(refused > 50 && opened > 50 && failedRequests > 50 && goodRequests > 500, JSON.stringify(report));
});

test('canary: an error that is neither the image’s nor the host’s is noticed', async () => {
  await assert.rejects(run(1, 100, folder, new TypeError('a mistake')), /a mistake/);
});
