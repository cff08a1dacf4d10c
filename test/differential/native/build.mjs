import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = new URL('./silicon.c', import.meta.url).pathname;

/** Names the version of the recorder in recorded files: a hash of its source. */
export function siliconVersion() {
  return createHash('sha256').update(readFileSync(SOURCE)).digest('hex').slice(0, 12);
}

/** Compiles silicon.c outside the work tree, once per version of its source; returns the path of the program. */
export function buildSilicon() {
  const folder = join(tmpdir(), 'krun-silicon');
  const program = join(folder, `silicon-${siliconVersion()}`);
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const fresh = `${program}.${process.pid}`;
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-fno-stack-protector', '-o', fresh, SOURCE]);
  renameSync(fresh, program);
  return program;
}
