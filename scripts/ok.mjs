// The one gate: format, lint, build, types, layers, spec tags, parity table, house rules, unit tests; one line per step, details only on failure.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bin = (name) => join(root, 'node_modules/.bin', name);

const STEPS = [
  ['format', bin('biome'), 'format', '.'],
  ['lint', bin('biome'), 'lint', '--error-on-warnings', '.'],
  ['build', process.execPath, 'scripts/build.mjs'],
  ['types', bin('tsc'), '-p', 'tsconfig.pure.json'],
  ['layers', process.execPath, 'dist-scripts/check-imports.js'],
  ['spec tags', process.execPath, 'dist-scripts/check-spec-tags.js'],
  ['parity', process.execPath, 'dist-scripts/check-parity.js'],
  ['tidy', process.execPath, 'dist-scripts/tidy.js'],
  ['unit tests', process.execPath, 'scripts/test.mjs', 'unit'],
];

for (const [name, command, ...args] of STEPS) {
  const started = performance.now();
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 256 << 20,
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const ok = status === 0;
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name.padEnd(10)} ${seconds.padStart(6)} s${summary(name, stdout ?? '')}`);
  if (ok) continue;
  process.stdout.write(stdout ?? '');
  process.stderr.write(stderr ?? '');
  if (error !== undefined) console.error(error.message);
  process.exit(1);
}

function summary(name, stdout) {
  if (name !== 'unit tests') return '';
  const count = (word) => new RegExp(`^\\S+ ${word} (\\d+)$`, 'm').exec(stdout)?.[1] ?? '?';
  return `  ${count('pass')} passed, ${count('fail')} failed, ${count('skipped')} skipped`;
}
