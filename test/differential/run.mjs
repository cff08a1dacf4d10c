// Compares an executor with the recorded vectors and prints a table of what differs.
//
//   node test/differential/run.mjs [family...] [--executor silicon | path/to/module.js] [--filter regex]
//     [--without feature,...] [--strict] [--all] [--show n]
//
// A module exports createExecutor(), which returns a CpuExecutor or a promise of one (src/testing/executor.ts).
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { compareResult } from '../../dist/testing/compare.js';
import { readVectors } from '../../dist/testing/vectors.js';

const FOLDER = new URL('../vectors/', import.meta.url).pathname;
const BATCH = 5000;

/** Families with recorded vectors. */
export function recordedFamilies() {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.bin.gz'))
    .map((name) => name.slice(0, -'.bin.gz'.length));
}

/** The vectors of one family whose template name matches. */
export function loadFamily(family, filter = /(?:)/) {
  const file = gunzipSync(readFileSync(`${FOLDER}${family}.bin.gz`));
  return [...readVectors(file)].filter((vector) => filter.test(vector.template.name));
}

/**
 * Runs a family on an executor.
 *
 * @returns one row per template: {name, feature, cases, mismatches, first: {vector, lines} | undefined}
 */
export function runFamily(executor, family, { filter, strict = false, without = [] } = {}) {
  const rows = new Map();
  const vectors = loadFamily(family, filter).filter((vector) => !without.includes(vector.template.feature));
  for (let at = 0; at < vectors.length; at += BATCH) {
    const batch = vectors.slice(at, at + BATCH);
    const results = executor.executeAll?.(batch);
    batch.forEach((vector, i) => {
      count(rows, vector, results?.[i] ?? attempt(executor, vector), strict);
    });
  }
  return [...rows.values()];
}

/** An executor that throws has a mismatch like any other; the table must go on. */
function attempt(executor, vector) {
  try {
    return executor.execute(vector);
  } catch (error) {
    return {
      error: String(error?.stack ?? error)
        .split('\n')
        .slice(0, 3)
        .join(' '),
    };
  }
}

function count(rows, vector, result, strict) {
  const { name, feature } = vector.template;
  if (!rows.has(name)) rows.set(name, { name, feature, cases: 0, mismatches: 0, first: undefined });
  const row = rows.get(name);
  row.cases++;
  const lines = result.error ? [`threw ${result.error}`] : compareResult(vector, result, { strict });
  if (lines.length === 0) return;
  row.mismatches++;
  row.first ??= { vector, lines };
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');

function print(family, rows, { all, show }) {
  const bad = rows.filter((row) => row.mismatches > 0);
  const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
  console.log(
    `${family}: ${rows.length - bad.length} of ${rows.length} templates agree, ${sum('mismatches')} of ${sum('cases')} cases differ`,
  );
  let left = show;
  for (const row of all ? rows : bad) {
    console.log(`  ${row.name.padEnd(40)} ${String(row.mismatches).padStart(4)} of ${String(row.cases).padStart(4)}`);
    if (!row.first || left-- <= 0) continue;
    const { vector, lines } = row.first;
    console.log(`      case ${vector.index}: ${hex(vector.bytes)}`);
    for (const line of lines) console.log(`      ${line}`);
  }
}

async function openExecutor(name) {
  if (name === 'silicon') return (await import('./silicon.mjs')).siliconExecutor();
  return (await import(pathToFileURL(resolve(name)).href)).createExecutor();
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      executor: { type: 'string', default: 'silicon' },
      filter: { type: 'string', default: '' },
      without: { type: 'string', default: '' },
      show: { type: 'string', default: '1000' },
      strict: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
    },
  });
  const executor = await openExecutor(values.executor);
  const { strict } = values;
  const without = values.without.split(',').filter((feature) => feature !== '');
  for (const family of positionals.length ? positionals : recordedFamilies()) {
    const rows = runFamily(executor, family, { filter: new RegExp(values.filter), strict, without });
    print(family, rows, { all: values.all, show: Number(values.show) });
    if (rows.some((row) => row.mismatches > 0)) process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
