// Compares libkrun's functions with the exports of krun/capi and with the tests that name them, and keeps the table in
// docs/parity.md. `--write` brings the table up to date; without it a stale one is a problem.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LIBKRUN_FUNCTIONS } from './libkrun-functions.ts';
import { ROOT, report, sourcesUnder } from './sources.ts';

const PAGE = join(ROOT, 'docs/parity.md');
const BEGIN = '<!-- made by `npm run parity` -->';
const END = '<!-- end of what is made -->';

interface Tests {
  /** Boot a guest. */
  readonly guest: ReadonlyMap<string, readonly string[]>;
  readonly unit: ReadonlyMap<string, readonly string[]>;
}

const exported = new Set(readFileSync(join(ROOT, 'src/capi/index.ts'), 'utf8').match(/\bkrun_\w+\b/g) ?? []);
const tests: Tests = {
  guest: namesIn([...sourcesUnder('test')]),
  unit: namesIn([...sourcesUnder('src/capi')].filter(({ path }) => path.endsWith('.test.ts'))),
};
const names = Object.values(LIBKRUN_FUNCTIONS).flat();
const page = readFileSync(PAGE, 'utf8');
const [before = '', rest = ''] = page.split(BEGIN);
const made = `${before}${BEGIN}\n${table()}\n${END}${rest.split(END)[1] ?? ''}`;

if (process.argv.includes('--write')) writeFileSync(PAGE, made);
else report([...untested(), ...strange(), ...(made === page ? [] : ['docs/parity.md: stale; run npm run parity'])]);

/** Which test files name each function, in a title or by a call; comments do not count. */
function namesIn(sources: readonly { readonly path: string; readonly text: string }[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { path, text } of sources) {
    const code = text.replaceAll(/^\s*(\/\/|\/?\*).*$/gm, '');
    for (const name of new Set(code.match(/\bkrun_\w+\b/g) ?? [])) found.set(name, [...(found.get(name) ?? []), path]);
  }
  return found;
}

function table(): string {
  const rows = Object.entries(LIBKRUN_FUNCTIONS).flatMap(([subject, list]) =>
    list.map((name) => `| ${subject} | \`${name}\` | ${stateOf(name)} | ${fileOf(name)} |`),
  );
  const have = names.filter((name) => exported.has(name)).length;
  const shown = names.filter((name) => exported.has(name) && tests.guest.has(name)).length;
  const summary = `${have} of ${names.length} functions; ${shown} of them shown by a guest.`;
  return [summary, '', '| subject | function | state | for example |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function stateOf(name: string): string {
  if (!exported.has(name)) return 'missing';
  return tests.guest.has(name) ? 'a guest shows it' : 'unit tests only';
}

/** One place to look at; there may be more. */
function fileOf(name: string): string {
  if (!exported.has(name)) return '';
  const [file = ''] = tests.guest.get(name) ?? tests.unit.get(name) ?? [];
  return file;
}

function untested(): string[] {
  return [...exported]
    .filter((name) => !tests.guest.has(name) && !tests.unit.has(name))
    .map((name) => `src/capi/index.ts: no test names ${name}`);
}

function strange(): string[] {
  return [...exported]
    .filter((name) => !names.includes(name))
    .map((name) => `scripts/libkrun-functions.ts: ${name} is exported and not listed`);
}
