// Builds the recorder and records the vectors of src/x86/isa/x87-vectors.test.ts on this machine's processor:
//   node test/differential/x87/record.mjs <output.bin.gz> [seed] [count]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const [output, seed = '1', count = '18000'] = process.argv.slice(2);
if (output === undefined) {
  console.error('Cannot record: no output file named');
  process.exit(2);
}

// Encodings that random choice meets too rarely, with a share of their own.
const OFTEN = ['f0', 'f1', 'f2', 'f3', 'f4', 'f5', 'f8', 'f9', 'fa', 'fb', 'fc', 'fd', 'fe', 'ff'];

const folder = mkdtempSync(join(tmpdir(), 'x87-'));
try {
  const program = join(folder, 'x87');
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-o', program, join(here, 'x87.c')], { stdio: 'inherit' });
  const run = (...args) => execFileSync(program, args, { maxBuffer: 1 << 30 });
  const parts = [run(seed, count), ...OFTEN.map((modrm) => run(seed, '300', 'd9', modrm))];
  writeFileSync(output, gzipSync(Buffer.concat(parts), { level: constants.Z_BEST_COMPRESSION }));
} finally {
  rmSync(folder, { recursive: true });
}
