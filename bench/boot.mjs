// Boot of the same kernel on krun's software CPU and under QEMU TCG, interleaved in one run.
// usage: node bench/boot.mjs [ROUNDS=5] [--write]   (--write puts the table into docs/performance.md)
// Needs qemu-system-x86_64 and python3, and a build: npm run build.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchKernel } from '../dist/index.js';
import { median, writeTable } from './report.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

const rounds = Number(process.argv.find((word) => /^\d+$/.test(word)) ?? 5);
const { path: firmware, release } = await fetchKernel();
const folder = mkdtempSync(join(tmpdir(), 'krun-bench-'));
try {
  const table = run();
  console.log(table);
  if (process.argv.includes('--write')) writeTable('boot', table);
} finally {
  rmSync(folder, { recursive: true });
}

function run() {
  const node = process.execPath;
  const tcg = spawnSync(node, [here('boot/tcg.mjs'), firmware, folder], { encoding: 'utf8' });
  if (tcg.status !== 0) throw new Error(`Cannot prepare the image: ${tcg.stderr}`);
  const empty = ['run', '--root', '/', '--read-only', '--', '/bin/true'];
  const rows = [
    {
      name: 'krun, software CPU: kernel and PID 1, no devices but those of a PC',
      command: [node, here('boot/krun.mjs'), firmware],
    },
    { name: 'QEMU TCG: the same image', command: JSON.parse(tcg.stdout) },
    { name: '`krun run --root / --read-only -- /bin/true`', command: [node, here('../bin/krun.js'), ...empty] },
  ].map((row) => ({ ...row, runs: [] }));
  for (let round = 0; round < rounds; round++) for (const row of rows) row.runs.push(measure(row.command));

  const [krun, qemu] = rows;
  const instructions = median(krun.runs.map((result) => JSON.parse(result.stdout).instructions));
  const engine = median(krun.runs.map((result) => JSON.parse(result.stdout).runCpuSeconds));
  const ratio = median(krun.runs.map(cpuOf)) / median(qemu.runs.map(cpuOf));
  const lines = rows.map(
    ({ name, runs }) =>
      `| ${name} | ${median(runs.map(wallOf)).toFixed(2)} | ${median(runs.map(cpuOf)).toFixed(2)} | ${spread(runs)} | ${median(runs.map((result) => result.rssMiB)).toFixed(0)} |`,
  );
  return [
    `\`node bench/boot.mjs ${rounds} --write\` on ${cpus()[0].model}, ${cpus().length} CPUs, Node ${process.version}, ${qemuVersion()},`,
    `kernel ${release}, 512 MiB, 1 vCPU; median of ${rounds} runs in turn, process start and image loading included.`,
    '',
    '| what | wall s | CPU s | CPU s, least to most | resident MiB, most |',
    '| --- | --- | --- | --- | --- |',
    ...lines,
    '',
    `krun ran ${(instructions / 1e6).toFixed(1)} M guest instructions up to the restart by PID 1, in ${engine.toFixed(2)} CPU seconds of its engine: ` +
      `${(instructions / engine / 1e6).toFixed(1)} MIPS. It needed ${ratio.toFixed(1)} times the CPU time of QEMU TCG.`,
  ].join('\n');
}

function measure(command) {
  const { stdout, stderr } = spawnSync('python3', [here('boot/measure.py'), ...command], { encoding: 'utf8' });
  if (stdout === '') throw new Error(`Cannot measure: ${stderr}`);
  const result = JSON.parse(stdout);
  if (result.code !== 0)
    throw new Error(`Cannot use a run of ${command[0]}: it ended with ${result.code}: ${result.stderr}`);
  return result;
}

function qemuVersion() {
  return /version ([\d.]+)/
    .exec(spawnSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).stdout)?.[0]
    .replace('version', 'QEMU');
}

function wallOf({ wall }) {
  return wall;
}

function cpuOf({ cpu }) {
  return cpu;
}

function spread(runs) {
  const all = runs.map(cpuOf);
  return `${Math.min(...all).toFixed(2)} to ${Math.max(...all).toFixed(2)}`;
}
