import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { MicroVm } from 'krun';
import { skipReason } from '../boot/guest.ts';

/** Divides again and again: how often MXCSR tells that a quotient was rounded, and that another was not. */
const PROGRAM = `
#include <stdio.h>
#include <xmmintrin.h>
__attribute__((noinline)) static double quotient(double a, double b) {
  for (int i = 0; i < 3; i++) __asm__ volatile("" : "+x"(a));
  return a / b;
}
__attribute__((noinline)) static unsigned divide(double by) {
  _mm_setcsr(0x1f80);
  volatile double result = quotient(1, by);
  return _mm_getcsr() & 0x3f;
}
int main(void) {
  unsigned inexact = 0, exact = 0;
  for (int i = 0; i < 200000; i++) {
    inexact += divide(3) == 0x20;
    exact += divide(2) == 0;
  }
  printf("%u %u\\n", inexact, exact);
}
`;

const folder = mkdtempSync(join(tmpdir(), 'krun-precise-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const noGuest = await skipReason();
const skip = noGuest !== false ? noGuest : spawnSync('gcc', ['--version']).status !== 0 ? 'no gcc' : false;

test('with precise: true, compiled code raises the inexact flag of MXCSR as the processor does', {
  skip,
  timeout: 240_000,
}, async () => {
  writeFileSync(join(folder, 'program.c'), PROGRAM);
  execFileSync('gcc', ['-O1', '-static', '-o', join(folder, 'program'), join(folder, 'program.c')]);
  process.env['KRUN_SOFT_TIER'] = 'mixed';
  await using vm = await MicroVm.start({
    root: '/',
    readOnly: true,
    engine: 'soft',
    precise: true,
    volumes: [{ hostPath: folder, guestPath: '/mnt', readOnly: true }],
    command: ['/mnt/program'],
  });
  assert.equal(await vm.stdout.text(), '200000 200000\n');
});
