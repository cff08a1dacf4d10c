// Builds a recorder and records the vectors of x87-vectors.test.ts or softfloat/sse.test.ts on this machine's processor:
//   node test/differential/x87/record.mjs x87|sse test/vectors/fpu/<name>.bin.gz [seed] [count]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const [what, output, seed = '2026', count = what === 'sse' ? '13200' : '18000'] = process.argv.slice(2);
if ((what !== 'x87' && what !== 'sse') || output === undefined) {
  console.error('Cannot record: say x87 or sse, and the output file');
  process.exit(2);
}

// Second bytes after D9 that random choice meets too rarely: they get a share of their own.
const OFTEN =
  what === 'x87' ? ['f0', 'f1', 'f2', 'f3', 'f4', 'f5', 'f8', 'f9', 'fa', 'fb', 'fc', 'fd', 'fe', 'ff'] : [];

const folder = mkdtempSync(join(tmpdir(), 'x87-'));
try {
  const program = join(folder, what);
  const flags = ['-O1', '-mavx', '-mfma', '-Wall', '-Wextra'];
  execFileSync('gcc', [...flags, '-o', program, join(here, `${what}.c`)], { stdio: 'inherit' });
  const run = (...args) => execFileSync(program, args, { maxBuffer: 1 << 30 });
  const parts = [run(seed, count), ...OFTEN.map((modrm) => run(seed, '300', 'd9', modrm))];
  writeFileSync(output, gzipSync(Buffer.concat(parts), { level: constants.Z_BEST_COMPRESSION }));
} finally {
  rmSync(folder, { recursive: true });
}
