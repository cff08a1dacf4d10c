// Runs the tests: `unit` (beside the code) or `all` (unit, then everything in test/). A path fragment narrows the files.
// The closing lines are those of node:test; what was skipped is listed by name just before them.
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [set = 'unit', ...fragments] = process.argv.slice(2);
if (set !== 'unit' && set !== 'all') {
  console.error(`Cannot run tests: "${set}" is neither "unit" nor "all"`);
  process.exit(2);
}

const unit = testFiles('dist').filter((file) => !file.endsWith('.boot.test.js'));
const crossing = [...testFiles('dist').filter((file) => file.endsWith('.boot.test.js')), ...testFiles('dist-test')];
const files = (set === 'unit' ? unit : [...unit, ...crossing]).filter(
  (file) => fragments.length === 0 || fragments.some((fragment) => file.includes(fragment)),
);
if (files.length === 0) {
  console.error('Cannot run tests: no test file matches');
  process.exit(2);
}

const skipped = [];
const events = run({ files, concurrency: availableParallelism() });
events.on('test:fail', (event) => {
  if (event.todo === undefined || event.todo === false) process.exitCode = 1;
});
const output = new spec();
output.pipe(process.stdout);
let listed = false;
for await (const event of events) {
  if (event.type === 'test:pass' && event.data.skip !== undefined) skipped.push(describe(event.data));
  if (event.type === 'test:diagnostic' && event.data.nesting === 0 && /^tests \d+$/.test(event.data.message))
    listSkipped();
  output.write(event);
}
output.end();

function listSkipped() {
  if (listed) return;
  listed = true;
  for (const line of skipped) process.stdout.write(`skipped: ${line}\n`);
  process.stdout.write(`${skipped.length} tests skipped\n`);
}

function describe({ name, skip }) {
  return typeof skip === 'string' ? `${name} (${skip})` : name;
}

function testFiles(folder) {
  const base = join(root, folder);
  if (!existsSync(base)) return [];
  return readdirSync(base, { recursive: true })
    .filter((file) => file.endsWith('.test.js'))
    .sort()
    .map((file) => join(base, file));
}
