// What the benchmarks share: the middle of several runs, and the place of a table in docs/performance.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** Puts a table between the two comments that name its benchmark. */
export function writeTable(name, table) {
  const page = fileURLToPath(new URL('../docs/performance.md', import.meta.url));
  const [begin, end] = ['begin', 'end'].map((what) => `<!-- bench/${name}: ${what} -->`);
  const text = readFileSync(page, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`Cannot write the table: ${page} has no ${begin} … ${end}`);
  writeFileSync(page, `${text.slice(0, from + begin.length)}\n${table}\n${text.slice(to)}`);
}
