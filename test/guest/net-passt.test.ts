import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MicroVm } from 'krun';
import { runGuest } from '../boot/guest.ts';
import { capiProgram, childrenNamed, client, dataServer, needsPasst, type Seen } from './net-fixtures.ts';

const MiB = 1024 * 1024;
const shell = (script: string): readonly string[] => ['/bin/sh', '-ec', script];
const PASST = { type: 'passt', hostLoopback: true } as const;

test(
  'through passt a guest has an address, name servers, HTTP, transfers that keep every byte, and many connections',
  needsPasst(),
  async () => {
    const server = await dataServer(6 * MiB);
    const mac = '02:00:00:aa:bb:cc';
    const { stdout, stderr, code, consoleTail } = await runGuest({
      command: shell(client('gateway', server.port, { bytes: 3 * MiB, connections: 150 })),
      network: { interfaces: [{ ...PASST, mac, args: ['--dns', '192.0.2.53'] }] },
    });
    server.close();
    assert.equal(code, 0, stderr + consoleTail);
    const seen = JSON.parse(stdout) as Seen;
    assert.deepEqual([seen.mac, seen.mtu, seen.hello], [mac, 65520, 'hello from the host']);
    assert.deepEqual(seen.resolvers, ['nameserver 192.0.2.53', '']);
    assert.equal(seen.upload[1], seen.upload[0]);
    assert.equal(seen.download, server.digest);
    assert.equal(seen.echoes, 150);
  },
);

test('without offloads the guest keeps to short frames, and transfers keep every byte', needsPasst(), async () => {
  const server = await dataServer(1 * MiB);
  const { stdout, stderr, code } = await runGuest({
    command: shell(client('gateway', server.port, { bytes: 1 * MiB, connections: 3 })),
    network: { interfaces: [{ ...PASST, offloads: 'none' }] },
  });
  server.close();
  assert.equal(code, 0, stderr);
  const seen = JSON.parse(stdout) as Seen;
  assert.deepEqual([seen.mtu, seen.upload[1], seen.download], [1500, seen.upload[0], server.digest]);
});

test('--publish with --net passt lets the host in', needsPasst(), async () => {
  const krun = fileURLToPath(new URL('../../bin/krun.js', import.meta.url));
  const { port } = await dataServer(0).then((server) => {
    server.close();
    return server;
  });
  const script = `cd /dev/shm; echo from the guest >file; exec python3 -m http.server 8000`;
  const vm = spawn(
    process.execPath,
    [krun, 'run', '--net', 'passt', '--publish', `127.0.0.1:${port}:8000`, '--timeout', '200', '--', ...shell(script)],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const failed = text(vm.stderr);
  const answer = await untilAnswered(`http://127.0.0.1:${port}/file`, () => vm.exitCode !== null);
  vm.kill('SIGKILL');
  await once(vm, 'close');
  assert.equal(answer, 'from the guest\n', await failed);
});

/** passt takes the connection at once; the guest's program is there only later. */
async function untilAnswered(url: string, isOver: () => boolean): Promise<string | undefined> {
  while (!isOver()) {
    const answer = await new Promise<string | undefined>((resolve) => {
      const request = get(url, { timeout: 5000, agent: false }, (response) => {
        text(response).then(resolve, () => resolve(undefined));
      });
      request.on('timeout', () => request.destroy());
      request.on('error', () => resolve(undefined));
    });
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  return undefined;
}

test('a guest whose passt is killed sees its link go down and runs on; the log has a line', needsPasst(), async () => {
  const lines: string[] = [];
  await using vm = await MicroVm.start({
    root: '/',
    readOnly: true,
    memoryMiB: 256,
    timeoutMs: 120_000,
    command:
      shell(`cat /sys/class/net/eth0/carrier; read go; while test "$(cat /sys/class/net/eth0/carrier)" = 1; do :; done
      python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x" * 100, ("192.0.2.9", 9))' || echo unreachable
      echo alive`),
    network: { interfaces: [PASST] },
    log: (level, line) => level === 'error' && lines.push(line),
  });
  const output = vm.stdout.text();
  const [passt] = childrenNamed('passt');
  assert.ok(passt !== undefined);
  process.kill(passt, 'SIGKILL');
  await vm.stdin.write('go\n');
  vm.stdin.end();
  const { code } = await vm.exited;
  assert.equal(code, 0);
  assert.match(await output, /^[01]\n(unreachable\n)?alive\n$/);
  assert.ok(
    lines.some((line) => /eth0.*ERR_NET_LINK_DOWN/.test(line)),
    lines.join('\n'),
  );
  assert.ok(
    lines.some((line) => /passt ended with SIGKILL/.test(line)),
    lines.join('\n'),
  );
});

test('passt ends with its machine', needsPasst(), async () => {
  const { code } = await runGuest({ command: ['/bin/true'], network: 'passt' });
  assert.equal(code, 0);
  for (let tries = 0; childrenNamed('passt').length > 0 && tries < 100; tries++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(childrenNamed('passt'), []);
});

const folder = mkdtempSync(join(tmpdir(), 'krun-passt-'));
after(() => rmSync(folder, { recursive: true }));

/** Starts a passt that listens at a path. */
async function listeningPasst(path: string) {
  const passt = spawn('passt', ['--foreground', '--one-off', '--runas', '0', '--socket', path], { stdio: 'ignore' });
  while (!existsSync(path) && passt.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20));
  return passt;
}

test('krun_add_net_unixstream reaches a passt that listens', needsPasst(), async () => {
  const server = await dataServer(100_000);
  const [path, program] = [join(folder, 'stream.sock'), join(folder, 'stream.mjs')];
  const passt = await listeningPasst(path);
  const add = `k.krun_add_net_unixstream(ctx, '${path}', -1, MAC, k.COMPAT_NET_FEATURES, k.NET_FLAG_DHCP_CLIENT)`;
  writeFileSync(program, capiProgram([add], client('gateway', server.port)));
  const { stdout, stderr } = await runProgram(program);
  passt.kill();
  server.close();
  assert.match(stdout, /^\{/, stderr);
  const { mac, mtu, hello, download } = JSON.parse(stdout) as Seen;
  assert.deepEqual([mac, mtu, hello, download], ['02:00:00:00:00:07', 65520, 'hello from the host', server.digest]);
});

test('krun_set_passt_fd speaks to a passt over a descriptor', needsPasst('ip'), async () => {
  const server = await dataServer(100_000);
  const [path, program] = [join(folder, 'fd.sock'), join(folder, 'fd.mjs')];
  const passt = await listeningPasst(path);
  // The deprecated names know no DHCP; passt takes any address for the guest's.
  const [, , gateway = ''] = spawnSync('ip', ['-4', 'route', 'show', 'default'], { encoding: 'utf8' }).stdout.split(
    ' ',
  );
  const configure = 'ip link set eth0 up; ip addr add 192.0.2.77/24 dev eth0; ip route add default dev eth0';
  const calls = ['k.krun_set_passt_fd(ctx, 3)', 'k.krun_set_net_mac(ctx, MAC)'];
  writeFileSync(program, capiProgram(calls, `${configure}; ${client(gateway, server.port)}`));
  const passtEnd = connect(path);
  const { stdout, stderr } = await runProgram(program, passtEnd);
  passt.kill();
  server.close();
  assert.match(stdout, /^\{/, stderr);
  const { mac, hello, download } = JSON.parse(stdout) as Seen;
  assert.deepEqual([mac, hello, download], ['02:00:00:00:00:07', 'hello from the host', server.digest]);
});

/** Runs a program; what it says to its descriptor 3 goes to a socket, and back. */
async function runProgram(program: string, other?: Socket): Promise<{ stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [program], {
    stdio: ['ignore', 'pipe', 'pipe', other === undefined ? 'ignore' : 'pipe'],
  });
  const end = child.stdio[3] as Socket | null;
  if (end !== null && other !== undefined) end.pipe(other).pipe(end);
  const [stdout, stderr] = await Promise.all([child.stdout, child.stderr].map((one) => text(one as Readable)));
  return { stdout: stdout ?? '', stderr: stderr ?? '' };
}
