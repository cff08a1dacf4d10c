import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineOptions } from './options.ts';
import { resolveConfig } from './resolve.ts';

const resolve = (network: MachineOptions['network'], more: Partial<MachineOptions> = {}) =>
  resolveConfig({ root: '/', command: ['x'], ...more, ...(network !== undefined && { network }) });
const ALL = 0x5d83;
const PASST = { kind: 'passt', program: 'passt', args: [], hostLoopback: false, ports: [] };

test('without interfaces there are none, and nobody asks for an address', () => {
  for (const network of [undefined, 'none', {}] as const) {
    const { interfaces, dhcp } = resolve(network);
    assert.deepEqual([interfaces, dhcp], [[], false]);
  }
});

test('"passt" is one interface with all offloads and DHCP, and takes the place of transparent sockets', () => {
  const { interfaces, dhcp, vsock } = resolve('passt');
  assert.deepEqual([interfaces, dhcp], [[{ features: ALL, backend: PASST }], true]);
  assert.deepEqual(vsock?.tsi, { inet: false, unix: false });
  assert.equal(resolve('passt', { vsock: false }).vsock, undefined);
});

test('each kind has its place, its offloads and its MAC address', () => {
  const { interfaces, dhcp } = resolve({
    interfaces: [
      { type: 'unixstream', path: '/s', mac: '5A:94:EF:00:00:0A' },
      { type: 'unixgram', path: '/g', vfkit: true },
      { type: 'unixgram', fd: 5, offloads: 'all' },
      { type: 'tap', name: 'tap0', offloads: ['csum', 'host_ufo'] },
    ],
  });
  assert.deepEqual(interfaces, [
    { mac: '5a:94:ef:00:00:0a', features: 0, backend: { kind: 'unixstream', path: '/s' } },
    { mac: '5a:94:ef:e4:0c:ee', features: 0, backend: { kind: 'unixgram', path: '/g', vfkit: true } },
    { features: ALL, backend: { kind: 'unixgram', fd: 5 } },
    { features: 0x4001, backend: { kind: 'tap', name: 'tap0' } },
  ]);
  assert.equal(dhcp, false);
  assert.equal(resolve({ interfaces: [{ type: 'unixgram', path: '/g', vfkit: true }] }).dhcp, true);
  assert.equal(resolve({ interfaces: [{ type: 'passt' }], dhcp: false }).dhcp, false);
});

test('ports go to the first passt; with families named they stay with the sockets', () => {
  const ports = { '8080': 80 };
  const published = [{ hostPort: 8080, guestPort: 80, address: '127.0.0.1' }];
  const interfaces = [{ type: 'tap', name: 't' }, { type: 'passt' }, { type: 'passt' }] as const;
  const alone = resolve({ interfaces, ports });
  assert.deepEqual(
    alone.interfaces.map(({ backend }) => 'ports' in backend && backend.ports),
    [false, published, []],
  );
  assert.deepEqual(alone.vsock?.ports, []);
  const beside = resolve({ interfaces, ports, families: ['inet'], allow: ['example.com'] });
  assert.deepEqual(beside.vsock?.ports, published);
  assert.equal(beside.vsock?.tsi.inet, true);
});

for (const [network, message] of [
  ['tap', /expected "none", "passt" or an object/],
  [{ interfaces: [{ type: 'slirp' }] }, /network.interfaces\[0\].type/],
  [{ interfaces: [null] }, /network.interfaces\[0\].type/],
  [{ interfaces: [{ type: 'unixstream' }] }, /needs either path or fd/],
  [{ interfaces: [{ type: 'unixgram', path: '/g', fd: 1 }] }, /needs either path or fd/],
  [{ interfaces: [{ type: 'unixstream', path: '/s', vfkit: true }] }, /unknown option "vfkit"/],
  [{ interfaces: [{ type: 'tap', name: 'a name that is too long' }] }, /no name of an interface/],
  [{ interfaces: [{ type: 'tap', name: 'a/b' }] }, /no name of an interface/],
  [{ interfaces: [{ type: 'tap', name: 't', offloads: ['guest_tso4'] }] }, /guest_csum/],
  [{ interfaces: [{ type: 'tap', name: 't', offloads: ['gso'] }] }, /offloads/],
  [{ interfaces: [{ type: 'passt', mac: '5a:94:ef' }] }, /no MAC address/],
  [{ interfaces: [{ type: 'passt', mac: '01:00:00:00:00:00' }] }, /address of a group/],
  [{ interfaces: [{ type: 'passt' }], allow: ['a.b'] }, /network.allow.*do not reach/],
  [{ interfaces: [{ type: 'tap', name: 't' }], ports: { '1': 2 } }, /only passt forwards/],
  [{ interfaces: Array(7).fill({ type: 'passt' }) }, /7 are more than 6/],
  [{ dhcp: true }, /network.dhcp.*no interface/],
] as const) {
  test(`refused: ${JSON.stringify(network)}`, () => {
    assert.throws(() => resolve(network as MachineOptions['network']), { code: 'ERR_INVALID_OPTION', message });
  });
}
