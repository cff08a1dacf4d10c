import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const INIT = fileURLToPath(new URL('../../guest/init', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'krun-init-'));
after(() => rmSync(work, { recursive: true, force: true }));

const make = (goal: string) => spawnSync('make', ['-s', '-C', INIT, `WORK=${work}`, goal], { encoding: 'utf8' });
const version = (compiler: string): string => spawnSync(compiler, ['--version'], { encoding: 'utf8' }).stdout ?? '';

const noGcc = version('gcc') === '' ? 'needs gcc' : false;
test('the parsers of the guest init pass their own tests under the sanitizers', { skip: noGcc }, () => {
  const { status, stdout, stderr } = make('test');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^\d{3,} checks, 0 failures/);
});

// Another compiler makes another binary of the same source, which says nothing about the committed one.
const otherCompiler = version('musl-gcc').includes('(Debian 12.2.0-') ? false : 'needs musl-gcc of Debian 12';
test('the committed guest init is what its source compiles to', { skip: otherCompiler }, () => {
  const { status, stderr, stdout } = make('check');
  assert.equal(status, 0, stdout + stderr);
});

test('the committed guest init is a small static executable for x86-64', () => {
  const elf = readFileSync(join(INIT, 'init.x86_64'));
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  assert.equal(view.getUint32(0), 0x7f454c46);
  assert.deepEqual([view.getUint16(16, true), view.getUint16(18, true)], [2, 62]); // ET_EXEC, EM_X86_64
  const segments = Array.from({ length: view.getUint16(56, true) }, (_, index) =>
    view.getUint32(64 + 56 * index, true),
  );
  assert.ok(!segments.includes(3), 'it names an interpreter'); // PT_INTERP
  assert.ok(elf.length < 48 * 1024, `${elf.length} bytes`);
});
