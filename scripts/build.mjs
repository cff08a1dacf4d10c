// Compiles src/, scripts/ and test/ and removes what no source stands behind any more. Says nothing when all is up to date.
// A type error in one project fails the build at its end, after everything that could be made was made.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Source folder, output folder and compiler settings; later projects may import what earlier ones made. */
const PROJECTS = [
  { source: 'src', output: 'dist', config: 'tsconfig.json' },
  { source: 'scripts', output: 'dist-scripts', config: 'tsconfig.scripts.json' },
  { source: 'test', output: 'dist-test', config: 'tsconfig.test.json' },
];

const compiler = findCompiler();
if (compiler === undefined) {
  if (existsSync(join(root, 'dist/index.js'))) process.exit(0); // an installed package: built already, no compiler
  console.error('Cannot build: typescript is not installed; run npm install first');
  process.exit(1);
}
for (const { source, output, config } of PROJECTS) {
  removeOrphans(join(root, source), join(root, output));
  const { status } = spawnSync(process.execPath, [compiler, '-p', join(root, config)], { stdio: 'inherit' });
  if (status !== 0) process.exitCode = status ?? 1;
}
try {
  await keepInterpreter();
} catch (error) {
  // Without types everywhere the generator may not even load; then the compiler has said why.
  if (process.exitCode === undefined) throw error;
  console.error(`Cannot write interpreter.wasm: ${error.message}`);
}

/** The interpreter is generated from the instruction table: done here once instead of at each start of a VM. */
async function keepInterpreter() {
  const { softHost } = await import('../dist/host/soft-host.js');
  if (softHost.interpreter() !== undefined) return;
  const { interpreterBytes } = await import('../dist/x86/interp/interpreter-module.js');
  writeFileSync(join(root, 'dist/x86/interp/interpreter.wasm'), interpreterBytes());
}

function findCompiler() {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  } catch {
    return undefined;
  }
}

/** A compiled file whose source is gone would still be run as a test or be packed. */
function removeOrphans(source, output) {
  if (!existsSync(output)) return;
  for (const entry of readdirSync(output, { recursive: true })) {
    const stem = /^(.*?)(\.d\.ts|\.js|\.js\.map)$/.exec(entry)?.[1];
    if (stem === undefined) continue;
    if (['.ts', '.mts', '.d.ts'].some((ending) => existsSync(join(source, stem + ending)))) continue;
    rmSync(join(output, entry));
    // The compiler believes that the file is still there.
    rmSync(join(output, '.tsbuildinfo'), { force: true });
    console.log(`removed ${relative(root, join(output, entry))}`);
  }
}
