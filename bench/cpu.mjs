// Programs on krun's software CPU, under QEMU TCG and on the host itself, interleaved in one run.
// usage: node bench/cpu.mjs [ROUNDS=3] [NAME...] [--write]   (--write puts the table into docs/performance.md)
// Needs gcc with a static libc, qemu-system-x86_64 and python3, and a build: npm run build.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchKernel } from '../dist/index.js';
import { median, writeTable } from './report.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const PROGRAMS = ['sieve', 'sha256', 'intmix', 'matmul', 'qsort', 'strmix', 'interp', 'chase'];

const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const rounds = Number(words.find((word) => /^\d+$/.test(word)) ?? 3);
const named = words.filter((word) => !/^\d+$/.test(word));
const { path: firmware } = await fetchKernel();
const folder = mkdtempSync(join(tmpdir(), 'krun-bench-'));
try {
  const table = run(named.length > 0 ? named : PROGRAMS);
  console.log(table);
  if (process.argv.includes('--write')) writeTable('cpu', table);
} finally {
  rmSync(folder, { recursive: true });
}

function run(programs) {
  const init = build('init');
  const empty = build('empty');
  const idle = machines('idle', init, empty);
  const rows = programs.map((name) => {
    const program = build(name);
    return { name, native: { command: [program], runs: [] }, ...machines(name, init, program) };
  });
  for (let round = 0; round < rounds; round++) {
    for (const row of [idle, ...rows])
      for (const kind of ['native', 'krun', 'tcg']) row[kind]?.runs.push(cpuOf(row[kind].command));
  }
  // What a machine costs that boots and runs a program that does nothing is not the program's.
  const base = { native: 0, krun: median(idle.krun.runs), tcg: median(idle.tcg.runs) };
  const results = rows.map((row) => {
    const cost = (kind) => Math.max(0.001, median(row[kind].runs) - base[kind]);
    return { name: row.name, native: cost('native'), krun: cost('krun'), tcg: cost('tcg') };
  });
  return format(results, base);
}

function machines(name, init, program) {
  const own = join(folder, `tcg-${name}`);
  mkdirSync(own);
  const tcg = spawnSync(process.execPath, [here('boot/tcg.mjs'), firmware, own, init, program], { encoding: 'utf8' });
  if (tcg.status !== 0) throw new Error(`Cannot prepare ${name}: ${tcg.stderr}`);
  return {
    krun: { command: [process.execPath, here('boot/krun.mjs'), firmware, init, program], runs: [] },
    tcg: { command: JSON.parse(tcg.stdout), runs: [] },
  };
}

function build(name) {
  const output = join(folder, name);
  const { status, stderr } = spawnSync('gcc', ['-O2', '-static', '-o', output, here(`cpu/${name}.c`)], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`Cannot build ${name}: ${stderr}`);
  return output;
}

/** CPU seconds, of all threads. */
function cpuOf(command) {
  const env = { ...process.env, KRUN_SOFT_TIER: process.env.KRUN_SOFT_TIER ?? 'mixed' };
  const { stdout, stderr } = spawnSync('python3', [here('boot/measure.py'), ...command], { encoding: 'utf8', env });
  const result = JSON.parse(stdout || '{"code":1}');
  if (result.code !== 0) throw new Error(`Cannot run ${command.join(' ')}: ${stderr}${result.stderr}`);
  return result.cpu;
}

function format(results, base) {
  const mean = (of) => Math.exp(results.reduce((sum, result) => sum + Math.log(of(result)), 0) / results.length);
  const row = ({ name, native, krun, tcg }) =>
    `| ${name} | ${native.toFixed(2)} | ${krun.toFixed(2)} | ${tcg.toFixed(2)} | ${(krun / native).toFixed(1)} | ${(krun / tcg).toFixed(2)} |`;
  return [
    `\`node bench/cpu.mjs ${rounds} --write\` on ${cpus()[0].model}, ${cpus().length} CPUs, Node ${process.version}; CPU seconds of all threads,`,
    `median of ${rounds} runs in turn, without what booting costs (krun ${base.krun.toFixed(2)} s, TCG ${base.tcg.toFixed(2)} s).`,
    '',
    '| program | native s | krun s | TCG s | krun / native | krun / TCG |',
    '| --- | --- | --- | --- | --- | --- |',
    ...results.map(row),
    `| geometric mean | | | | ${mean(({ krun, native }) => krun / native).toFixed(1)} | ${mean(({ krun, tcg }) => krun / tcg).toFixed(2)} |`,
  ].join('\n');
}
