// Devices of krun's machine beside QEMU TCG with the same kernel: its virtio-blk, virtiofsd and user networking.
// usage: node bench/io.mjs [ROUNDS=3] [--write]   (--write puts the table into docs/performance.md)
// Needs gcc with a static libc, QEMU with its virtiofsd, and a build: npm run build. The times are taken in the guest.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fetchKernel } from '../dist/index.js';
import { median, writeTable } from './report.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const MIB = 1 << 20;
const VIRTIOFSD = ['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd'].find((path) => existsSync(path));

const rounds = Number(process.argv.find((word) => /^\d+$/.test(word)) ?? 3);
const folder = mkdtempSync(join(tmpdir(), 'krun-bench-'));
const server = createServer(serve).listen(0, '127.0.0.1');
try {
  await once(server, 'listening');
  const table = await run(String(server.address().port));
  console.log(table);
  if (process.argv.includes('--write')) writeTable('io', table);
} finally {
  server.close();
  rmSync(folder, { recursive: true });
}

async function run(port) {
  const program = join(folder, 'root', 'io');
  const disk = join(folder, 'disk');
  for (const name of ['root', 'root/data', 'root/proc', 'root/dev', 'root/sys', 'share', 'tcg'])
    mkdirSync(join(folder, name));
  build(program);
  writeFileSync(disk, '');
  truncateSync(disk, 256 * MIB);
  const { path: firmware } = await fetchKernel();
  const tcg = tcgCommand(firmware, program, disk, port);
  const [krunRuns, tcgRuns] = [[], []];
  for (let round = 0; round < rounds; round++) {
    krunRuns.push(await results([process.execPath, here('../bin/krun.js'), ...krunWords(disk, port)]));
    tcgRuns.push(await withVirtiofsd(() => results(tcg)));
  }
  return format(krunRuns, tcgRuns);
}

function krunWords(disk, port) {
  const root = ['--root', join(folder, 'root'), '--disk', disk, '--network', `127.0.0.1:${port}`];
  return ['run', ...root, '-e', 'server=127.0.0.1', '-e', `port=${port}`, '--', '/io'];
}

/** Transports are given to devices from the last one down; each says where it is. */
function tcgCommand(firmware, program, disk, port) {
  const slots = [0, 1, 2, 3].map((i) => `virtio_mmio.device=512@0x${(0xfeb00000 + i * 512).toString(16)}:${5 + i}`);
  const env = { ...process.env, BENCH_WORDS: [...slots, 'server=10.0.2.2', `port=${port}`].join(' ') };
  const args = [here('boot/tcg.mjs'), firmware, join(folder, 'tcg'), program];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`Cannot prepare the image: ${stderr}`);
  const bus = (i) => `bus=virtio-mmio-bus.${i}`;
  return [
    ...JSON.parse(stdout),
    ...['-global', 'virtio-mmio.force-legacy=false'],
    ...['-object', 'memory-backend-memfd,id=ram,size=512M,share=on', '-machine', 'memory-backend=ram'],
    ...['-chardev', 'stdio,id=out', '-device', `virtio-serial-device,${bus(0)}`, '-device', 'virtconsole,chardev=out'],
    ...[
      '-drive',
      `file=${disk},if=none,id=disk,format=raw,cache=none,aio=threads`,
      '-device',
      `virtio-blk-device,drive=disk,${bus(1)}`,
    ],
    ...['-netdev', 'user,id=net', '-device', `virtio-net-device,netdev=net,${bus(2)}`],
    ...[
      '-chardev',
      `socket,id=fs,path=${join(folder, 'fs.sock')}`,
      '-device',
      `vhost-user-fs-device,chardev=fs,tag=share,${bus(3)}`,
    ],
  ];
}

async function withVirtiofsd(body) {
  const socket = join(folder, 'fs.sock');
  const share = join(folder, 'share');
  const daemon = spawn(VIRTIOFSD, [`--socket-path=${socket}`, '-o', `source=${share}`, '-o', 'sandbox=chroot', '-f'], {
    stdio: 'ignore',
  });
  for (let tries = 0; !existsSync(socket) && tries < 100; tries++) await delay(50);
  try {
    return await body();
  } finally {
    // It ends by itself when QEMU does.
    if (daemon.exitCode === null && daemon.kill()) await once(daemon, 'exit');
    rmSync(socket, { force: true });
  }
}

/** Runs a command; what it measured, by name. */
async function results([file, ...args]) {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  await once(child, 'close');
  const found = [...output.matchAll(/^RESULT (.*) ([\d.]+)\r?$/gm)].map(([, name, seconds]) => [name, Number(seconds)]);
  if (found.length < 12) throw new Error(`Cannot use a run of ${file}: it printed\n${output.slice(-3000)}`);
  return new Map(found);
}

function serve(socket) {
  let taken = -1;
  socket.on('error', () => {});
  socket.on('data', (data) => {
    if (taken < 0 && data[0] === 0x64) socket.end(Buffer.alloc(64 * MIB));
    else if (taken < 0 && data[0] === 0x65) socket.write('e');
    else {
      taken = Math.max(taken, -1) + data.length;
      if (taken === 64 * MIB) socket.end('u');
    }
  });
}

function build(program) {
  const { status, stderr } = spawnSync('gcc', ['-O2', '-static', '-o', program, here('io/io.c')], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Cannot build ${program}: ${stderr}`);
}

function format(krunRuns, tcgRuns) {
  const rows = [...krunRuns[0].keys()].map((name) => {
    const [krun, tcg] = [krunRuns, tcgRuns].map((runs) => median(runs.map((run) => run.get(name))));
    return `| ${name} | ${krun.toFixed(3)} | ${tcg.toFixed(3)} | ${(krun / tcg).toFixed(2)} |`;
  });
  return [
    `\`node bench/io.mjs ${rounds} --write\` on ${cpus()[0].model}, ${cpus().length} CPUs, Node ${process.version}; seconds by the guest's clock,`,
    `median of ${rounds} runs in turn. krun: virtio-fs, virtio-blk raw, TSI. QEMU: virtiofsd, virtio-blk raw with cache=none, user networking.`,
    '',
    '| what | krun s | QEMU TCG s | krun / QEMU |',
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}
