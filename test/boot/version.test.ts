import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('../../', import.meta.url));

test('krun --version prints the version of package.json', () => {
  const { version } = JSON.parse(readFileSync(`${top}package.json`, 'utf8')) as { version: string };
  const printed = execFileSync(process.execPath, [`${top}bin/krun.js`, '--version'], { encoding: 'utf8' });
  assert.equal(printed.split('\n')[0], `krun ${version}`);
});
