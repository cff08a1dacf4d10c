import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { needs, type Seen } from './net-fixtures.ts';

const INSIDE = fileURLToPath(new URL('./net-tap-inside.js', import.meta.url));

/** Taps need privileges, which a network namespace of our own confines. */
function needsTap() {
  const { skip, timeout } = needs('ip', 'unshare', 'python3');
  const script = 'ip tuntap add krun0 mode tap vnet_hdr && ip link set lo up';
  const isAllowed = spawnSync('unshare', ['--net', '/bin/sh', '-c', script]).status === 0;
  return { skip: skip || (!isAllowed && 'taps and network namespaces are not allowed here'), timeout };
}

for (const offloads of ['all', 'none']) {
  const title = `through a tap with ${offloads} offloads a guest reaches the host, and transfers keep every byte`;
  test(title, needsTap(), async () => {
    const inside = spawn('unshare', ['--net', process.execPath, INSIDE, offloads], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [stdout, stderr] = await Promise.all([text(inside.stdout), text(inside.stderr)]);
    assert.match(stdout, /^\{/, stderr);
    const { seen, digest, offered } = JSON.parse(stdout) as { seen: Seen; digest: string; offered: string };
    assert.deepEqual([seen.mac, seen.hello, seen.echoes], ['02:00:00:00:00:09', 'hello from the host', 30]);
    assert.equal(seen.upload[1], seen.upload[0]);
    assert.equal(seen.download, digest);
    assert.equal(offered, offloads === 'all' ? '11000101101110101' : '00000100000000001');
  });
}

test('krun_add_net_tap attaches to a tap', needsTap(), async () => {
  const inside = spawn('unshare', ['--net', process.execPath, INSIDE, 'capi'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = await Promise.all([text(inside.stdout), text(inside.stderr)]);
  assert.match(stdout, /^\{/, stderr);
  const { seen, digest } = JSON.parse(stdout) as { seen: Seen; digest: string };
  assert.deepEqual([seen.mac, seen.hello, seen.download], ['02:00:00:00:00:07', 'hello from the host', digest]);
});

test('an interface that is no tap is a typed error', needsTap(), () => {
  const { stdout } = spawnSync('unshare', ['--net', process.execPath, INSIDE, 'lo'], { encoding: 'utf8' });
  assert.match(stdout, /^ERR_NET_OPEN: Cannot open eth0 at tap lo: Cannot attach to interface lo: EINVAL/);
});
