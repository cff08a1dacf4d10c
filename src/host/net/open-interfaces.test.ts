import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import type { InterfaceSpec, PasstSpec } from '../../config/spec.ts';
import { ownFolder } from './link-harness.ts';
import { openInterfaces } from './open-interfaces.ts';
import { passtArguments } from './passt-arguments.ts';

const folder = ownFolder();
const open = (...specs: Omit<InterfaceSpec, 'features'>[]) =>
  openInterfaces(
    specs.map((spec) => ({ ...spec, features: 0 })),
    () => {},
  );
const passt = (change: Partial<PasstSpec>): PasstSpec => ({
  kind: 'passt',
  program: 'passt',
  args: [],
  hostLoopback: false,
  ports: [],
  ...change,
});

test('a socket that nobody listens at is a typed error, and interfaces opened before are closed', async () => {
  const path = join(folder, 'there');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const connected = once(server, 'connection');
  const nowhere = join(folder, 'nowhere');
  await assert.rejects(
    open({ backend: { kind: 'unixstream', path } }, { backend: { kind: 'unixstream', path: nowhere } }),
    { code: 'ERR_NET_OPEN', stage: 'resources', message: /Cannot open eth1 at unixstream .*nowhere: .*ENOENT/ },
  );
  const [peer] = (await connected) as [import('node:net').Socket];
  await once(peer.resume(), 'end');
  server.close();
});

test('passt that is not installed is a typed error with a hint', async () => {
  await assert.rejects(open({ backend: passt({ program: join(folder, 'no-passt') }) }), {
    code: 'ERR_PASST_NOT_FOUND',
    hint: /install it/,
  });
});

test('passt that cannot start is a typed error with its own words', async () => {
  await assert.rejects(open({ backend: passt({ program: '/bin/sh', args: [] }) }), {
    code: 'ERR_PASST_FAILED',
    message: /it ended with code \d+: .*/,
  });
});

/** passt takes addresses from the interface with the default route, and locks itself into namespaces of its own. */
const hasRoute = /^\S+\t00000000\t/m.test(readFileSync('/proc/net/route', 'latin1'));
const hasNamespaces = spawnSync('unshare', ['--user', 'true']).status === 0;
const noPasst =
  spawnSync('passt', ['--version']).error === undefined
    ? (!hasRoute && 'no default route here') || (!hasNamespaces && 'no user namespaces here')
    : 'no passt here';

test('passt ends with its interface', { skip: noPasst }, async () => {
  const [opened] = await open({ mac: '02:00:00:00:00:07', backend: passt({}) });
  assert.deepEqual([...(opened?.mac ?? [])], [2, 0, 0, 0, 0, 7]);
  assert.equal(opened?.isUp, true);
  const child = runningChild('passt');
  assert.notEqual(child, undefined);
  opened?.close();
  while (runningChild('passt') !== undefined) await new Promise((resolve) => setTimeout(resolve, 10));
});

/** The first child of ours whose name begins so, and that is no zombie. */
function runningChild(name: string): string | undefined {
  return readdirSync('/proc').find((id) => {
    try {
      const [, command = '', state, parent] =
        /\((.*)\) (\S) (\d+)/.exec(readFileSync(`/proc/${id}/stat`, 'latin1')) ?? [];
      return command.startsWith(name) && state !== 'Z' && Number(parent) === process.pid;
    } catch {
      return false; // no process, or not any more
    }
  });
}

test('an interface without a MAC address gets one of its own', async () => {
  const path = join(folder, 'both');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const [first, second] = await open(
    { backend: { kind: 'unixstream', path } },
    { backend: { kind: 'unixstream', path } },
  );
  assert.equal((first?.mac[0] ?? 0) & 3, 2);
  assert.notDeepEqual(first?.mac, second?.mac);
  first?.close();
  second?.close();
  server.close();
});

test('ports become arguments of passt, and the user has the last word', () => {
  const ports = [
    { hostPort: 8080, guestPort: 80, address: '127.0.0.1' },
    { hostPort: 22, guestPort: 2222 },
  ];
  assert.deepEqual(passtArguments({ ports, hostLoopback: false, args: ['--mtu', '1500'] }), [
    '--no-map-gw',
    ...['--tcp-ports', '127.0.0.1/8080:80', '--tcp-ports', '22:2222'],
    ...['--mtu', '1500'],
  ]);
  assert.deepEqual(passtArguments({ ports: 'all', hostLoopback: true, args: [] }), ['--tcp-ports', 'all']);
});
