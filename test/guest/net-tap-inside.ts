// Run by net-tap.test.ts in a network namespace: a guest on a tap, with the host at its other end.
import { execFileSync, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { KrunError } from 'krun';
import { runGuest } from '../boot/guest.ts';
import { capiProgram, client, dataServer, type Seen } from './net-fixtures.ts';

const [what = 'all'] = process.argv.slice(2);
const MiB = 1024 * 1024;

if (what === 'all' || what === 'none') await useTap(what);
else if (what === 'capi') await enterTap();
else await openTap(what);

function makeTap(): void {
  execFileSync('ip', ['tuntap', 'add', 'krun0', 'mode', 'tap', 'vnet_hdr']);
  execFileSync('ip', ['addr', 'add', '10.77.0.1/24', 'dev', 'krun0']);
  execFileSync('ip', ['link', 'set', 'krun0', 'up']);
}

async function enterTap(): Promise<void> {
  makeTap();
  const server = await dataServer(100_000, '10.77.0.1');
  const configure = 'ip link set eth0 up; ip addr add 10.77.0.2/24 dev eth0;';
  const add = `k.krun_add_net_tap(ctx, 'krun0', MAC, k.COMPAT_NET_FEATURES, 0)`;
  const source = capiProgram([add], `${configure} ${client('10.77.0.1', server.port)}`);
  const vmm = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const seen = JSON.parse(await text(vmm.stdout)) as Seen;
  server.close();
  console.log(JSON.stringify({ seen, digest: server.digest }));
}

async function useTap(offloads: 'all' | 'none'): Promise<void> {
  makeTap();
  const server = await dataServer(4 * MiB, '10.77.0.1');
  const run = client('10.77.0.1', server.port, { bytes: 2 * MiB, connections: 30 });
  const { stdout, stderr, code } = await runGuest({
    command: [
      '/bin/sh',
      '-ec',
      `ip link set eth0 up; ip addr add 10.77.0.2/24 dev eth0; ${run}; head -c 17 /sys/class/net/eth0/device/features`,
    ],
    network: { interfaces: [{ type: 'tap', name: 'krun0', mac: '02:00:00:00:00:09', offloads }] },
  });
  server.close();
  if (code !== 0) throw new Error(`the guest ended with ${code}: ${stderr}`);
  const [json = '', offered] = stdout.split('\n');
  console.log(JSON.stringify({ seen: JSON.parse(json) as Seen, digest: server.digest, offered }));
}

async function openTap(name: string): Promise<void> {
  try {
    await runGuest({ command: ['/bin/true'], network: { interfaces: [{ type: 'tap', name }] } });
  } catch (error) {
    if (!(error instanceof KrunError)) throw error;
    console.log(`${error.code}: ${error.message}`);
  }
}
