import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRunArguments } from './run-arguments.ts';
import { UsageError } from './usage-error.ts';

const network = (...args: string[]) => parseRunArguments([...args, '--', 'x'], {}).options.network;
const vsock = (...args: string[]) => parseRunArguments([...args, '--', 'x'], {}).options.vsock;

test('without --network and --publish nothing is said about the network', () => {
  const { options } = parseRunArguments(['--', 'x'], {});
  assert.ok(!('network' in options) && !('vsock' in options));
});

test('--network is none, all, or rules, where "!" forbids', () => {
  assert.equal(network('--network', 'none'), 'none');
  assert.deepEqual(network('--network', 'all'), {});
  assert.deepEqual(network('--network', 'example.com:443,!10.0.0.0/8', '--network', '[::1]:80'), {
    allow: ['example.com:443', '[::1]:80'],
    deny: ['10.0.0.0/8'],
  });
  assert.deepEqual(network('--network', '!:25'), { deny: [':25'] });
  assert.deepEqual(network('--network', 'all,!:25'), { deny: [':25'] });
});

test('--publish lets in and, alone, nothing out', () => {
  assert.deepEqual(network('--publish', '8080:80', '-p', '0.0.0.0:81:82', '-p', '[::1]:83:84'), {
    allow: [],
    ports: { '8080': 80, '0.0.0.0:81': 82, '[::1]:83': 84 },
  });
  assert.deepEqual(network('--network', 'all', '-p', '1:2'), { ports: { '1': 2 } });
  assert.deepEqual(network('--network', 'none', '-p', '1:2'), { allow: [], ports: { '1': 2 } });
});

test('--net adds interfaces in order, with their options; paths may hold commas and colons', () => {
  assert.deepEqual(network('--net', 'passt'), { interfaces: [{ type: 'passt' }] });
  assert.deepEqual(
    network(
      ...['--net', 'passt,host-loopback,arg=--mtu,arg=1500,mac=02:00:00:00:00:01', '-p', '8080:80'],
      ...['--net', 'unix:/a,b:c,offloads=csum+host_tso4', '--net', 'unix:fd=5'],
      ...['--net', 'unixgram:/g,vfkit,no-dhcp', '--net', 'unixgram:fd=6', '--net', 'tap:tap0,offloads=none'],
    ),
    {
      interfaces: [
        { type: 'passt', hostLoopback: true, args: ['--mtu', '1500'], mac: '02:00:00:00:00:01' },
        { type: 'unixstream', path: '/a,b:c', offloads: ['csum', 'host_tso4'] },
        { type: 'unixstream', fd: 5 },
        { type: 'unixgram', path: '/g', vfkit: true },
        { type: 'unixgram', fd: 6 },
        { type: 'tap', name: 'tap0', offloads: 'none' },
      ],
      dhcp: false,
      ports: { '8080': 80 },
    },
  );
});

test('--vsock joins a port to a path that may hold colons', () => {
  assert.deepEqual(vsock('--vsock', '1234:/a:b', '--vsock', '9:/s:listen'), {
    ports: [
      { port: 1234, path: '/a:b', listen: false },
      { port: 9, path: '/s', listen: true },
    ],
  });
});

test('what cannot be read is named', () => {
  for (const args of [
    ['--publish', '80'],
    ['--publish', '::1:80:80'],
    ['--vsock', '/s'],
    ['--network', 'a,,b'],
    ['--network', 'none,a'],
    ['--net', 'slirp'],
    ['--net', 'tap'],
    ['--net', 'passt', '--network', 'all'],
  ]) {
    assert.throws(() => network(...args), UsageError, args.join(' '));
  }
});
