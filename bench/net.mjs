// A network interface of krun, with passt behind it, beside QEMU TCG with the same kernel and its own user networking.
// usage: node bench/net.mjs [ROUNDS=3] [--write]   (--write puts the table into docs/performance.md)
// Needs gcc with a static libc, QEMU, passt, and a build: npm run build. Wall time is the guest's; CPU time is that
// of the virtual machine's process and passt, from one line of the guest to the next.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchKernel } from '../dist/index.js';
import { median, writeTable } from './report.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const MIB = 1 << 20;
const TRANSFER_MIB = 16;
/** A machine that takes longer is stuck. */
const LIMIT_MS = 90_000;
/** What QEMU's user networking gives a guest; passt is told to do the same. */
const [GUEST, GATEWAY] = ['10.0.2.15', '10.0.2.2'];
const PASST = ['--address', GUEST, '--netmask', '24', '--gateway', GATEWAY];

const rounds = Number(process.argv.find((word) => /^\d+$/.test(word)) ?? 3);
const folder = mkdtempSync(join(tmpdir(), 'krun-bench-'));
const server = createServer(serve).listen(0, '127.0.0.1');
try {
  await once(server, 'listening');
  const table = await run(server.address().port);
  console.log(table);
  if (process.argv.includes('--write')) writeTable('net', table);
} finally {
  server.close();
  rmSync(folder, { recursive: true });
}

async function run(port) {
  const program = join(folder, 'root', 'net');
  for (const name of ['root', 'root/proc', 'root/dev', 'root/sys', 'root/etc', 'tcg']) mkdirSync(join(folder, name));
  build(program);
  const { path: firmware } = await fetchKernel();
  const words = [`server=${GATEWAY}`, `port=${port}`, `mib=${TRANSFER_MIB}`];
  const krun = krunCommand(words);
  const tcg = tcgCommand(firmware, program, words);
  const runs = { krun: [], tcg: [] };
  for (let round = 0; round < rounds; round++) {
    runs.krun.push(await measure(krun));
    runs.tcg.push(await measure(tcg));
  }
  return format(runs);
}

function krunCommand(words) {
  const args = [...PASST].map((word) => `,arg=${word}`).join('');
  const env = words.flatMap((word) => ['-e', word]);
  const net = ['--net', `passt,host-loopback${args}`];
  return [
    process.execPath,
    here('../bin/krun.js'),
    'run',
    '--root',
    join(folder, 'root'),
    ...net,
    ...env,
    '--',
    '/net',
  ];
}

/** Transports are given to devices from the last one down; each says where it is. */
function tcgCommand(firmware, program, words) {
  const slots = [0, 1].map((i) => `virtio_mmio.device=512@0x${(0xfeb00000 + i * 512).toString(16)}:${5 + i}`);
  const env = { ...process.env, BENCH_WORDS: [...slots, ...words].join(' ') };
  const args = [here('boot/tcg.mjs'), firmware, join(folder, 'tcg'), program];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`Cannot prepare the image: ${stderr}`);
  const console = ['virtio-serial-device,bus=virtio-mmio-bus.0', 'virtconsole,chardev=out'];
  return [
    ...JSON.parse(stdout),
    ...['-global', 'virtio-mmio.force-legacy=false', '-chardev', 'stdio,id=out'],
    ...console.flatMap((word) => ['-device', word]),
    ...['-netdev', 'user,id=net', '-device', 'virtio-net-device,netdev=net,bus=virtio-mmio-bus.1'],
  ];
}

/** Runs a command; seconds on the guest's clock and CPU seconds of the processes, by name. */
async function measure([file, ...args]) {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const found = new Map();
  let output = '';
  let before = 0;
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      const cpu = cpuSeconds(child.pid);
      const seen = found.size;
      output += text;
      for (const [, name, seconds] of output.matchAll(/^RESULT (.*) ([\d.]+)\r?$/gm))
        if (!found.has(name)) found.set(name, { wall: Number(seconds), cpu: cpu - before });
      if (found.size > seen) before = cpu;
    });
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  await once(child, 'close');
  clearTimeout(limit);
  found.delete('start');
  if (found.size !== 4) throw new Error(`Cannot use a run of ${file}: it printed\n${output.slice(-3000)}`);
  return found;
}

/** Of a process and its children, all threads. */
function cpuSeconds(pid) {
  const own = statOf(pid);
  const children = readdirSync('/proc').filter((id) => /^\d+$/.test(id) && statOf(id)?.parent === pid);
  return (own?.seconds ?? 0) + children.reduce((sum, id) => sum + (statOf(id)?.seconds ?? 0), 0);
}

function statOf(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /, '')
      .split(' ');
    return { parent: Number(fields[1]), seconds: (Number(fields[11]) + Number(fields[12])) / 100 };
  } catch {
    return undefined; // it is gone
  }
}

function serve(socket) {
  let command = 0;
  let taken = 0;
  socket.setNoDelay();
  socket.on('error', () => {});
  socket.on('data', (data) => {
    taken += command === 0 ? data.length - 1 : data.length;
    if (command === 0) command = data[0];
    if (command === 0x64) socket.end(Buffer.alloc(TRANSFER_MIB * MIB));
    else if (command === 0x65) socket.write(data);
    else if (taken === TRANSFER_MIB * MIB) socket.end('u');
  });
}

function build(program) {
  const { status, stderr } = spawnSync('gcc', ['-O2', '-static', '-o', program, here('net/net.c')], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`Cannot build ${program}: ${stderr}`);
}

function format({ krun, tcg }) {
  const rows = [...krun[0].keys()].map((name) => {
    const of = (runs, what) => median(runs.map((run) => run.get(name)[what]));
    const cell = (runs) => `${of(runs, 'wall').toFixed(2)} | ${of(runs, 'cpu').toFixed(2)}`;
    const ratio = (what) => (of(krun, what) / of(tcg, what)).toFixed(2);
    return `| ${name} | ${cell(krun)} | ${cell(tcg)} | ${ratio('wall')} | ${ratio('cpu')} |`;
  });
  return [
    `\`node bench/net.mjs ${rounds} --write\` on ${cpus()[0].model}, ${cpus().length} CPUs, Node ${process.version}; median of ${rounds} runs in turn,`,
    `transfers of ${TRANSFER_MIB} MiB. Seconds by the guest's clock, and CPU seconds of the machine's process (krun: and passt).`,
    '',
    '| what | krun, passt: s | CPU s | QEMU TCG, user networking: s | CPU s | krun / QEMU, s | krun / QEMU, CPU s |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}
