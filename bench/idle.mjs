// What a guest that does nothing costs: CPU time and memory of the whole process, Node included.
// usage: node bench/idle.mjs [ROUNDS=3] [--write]   (--write puts the table into docs/performance.md)
// Needs a build: npm run build.
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median, writeTable } from './report.mjs';

/** The first seconds are not idle: free pages go back to the host, and V8 compiles what was hot. */
const SETTLE_MS = 8000;
const WATCH_MS = 10_000;

if (process.argv.includes('--guest')) await watchGuest(Number(process.argv.at(-1)));
else measure(Number(process.argv.find((word) => /^\d+$/.test(word)) ?? 3));

/** In a process of its own: runs a guest that sleeps, and prints what it cost. */
async function watchGuest(memoryMiB) {
  const { MicroVm } = await import('../dist/index.js');
  const command = ['/bin/sh', '-c', 'echo up; exec sleep 1000'];
  const vm = await MicroVm.start({ root: '/', readOnly: true, engine: 'soft', memoryMiB, command });
  for await (const _ of vm.stdout) break;
  await setTimeout(SETTLE_MS);
  const before = { cpu: process.cpuUsage(), at: performance.now() };
  await setTimeout(WATCH_MS);
  const { user, system } = process.cpuUsage(before.cpu);
  const percent = (user + system) / 10 / (performance.now() - before.at);
  const mostMiB = process.resourceUsage().maxRSS / 1024;
  console.log(JSON.stringify({ percent, residentMiB: process.memoryUsage.rss() / 2 ** 20, mostMiB }));
  process.exit(0);
}

function measure(rounds) {
  const sizes = [256, 512, 2048];
  const runs = new Map(sizes.map((size) => [size, []]));
  for (let round = 0; round < rounds; round++) for (const size of sizes) runs.get(size).push(watch(size));
  const rows = sizes.map((size) => {
    const column = (name, digits) => median(runs.get(size).map((run) => run[name])).toFixed(digits);
    return `| ${size} MiB | ${column('percent', 2)} | ${column('residentMiB', 0)} | ${column('mostMiB', 0)} |`;
  });
  const table = [
    `\`node bench/idle.mjs ${rounds} --write\` on ${cpus()[0].model.trim().split(/ +/).slice(0, 2).join(' ')}, ${cpus().length} CPUs, Node ${process.version};`,
    `median of ${rounds} runs in turn, ${WATCH_MS / 1000} s each, ${SETTLE_MS / 1000} s after the command began to sleep.`,
    '',
    '| guest memory | % of a core | resident MiB | resident MiB, most since the start |',
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
  console.log(table);
  if (process.argv.includes('--write')) writeTable('idle', table);
}

function watch(memoryMiB) {
  const script = fileURLToPath(import.meta.url);
  const child = spawnSync(process.execPath, [script, '--guest', String(memoryMiB)], { encoding: 'utf8' });
  if (child.status !== 0) throw new Error(`Cannot measure a guest of ${memoryMiB} MiB: ${child.stderr}`);
  return JSON.parse(child.stdout);
}
