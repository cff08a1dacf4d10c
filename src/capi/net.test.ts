import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveConfig } from '../config/resolve.ts';
import { removeContext } from './contexts.ts';
import * as capi from './index.ts';
import { toOptions } from './start.ts';

const [ENOENT, EINVAL] = [-2, -22];
const NO_CTX = 0x7fff_fff0;
const MAC = Uint8Array.of(0x5a, 0x94, 0xef, 0, 0, 1, 99);
const ALL = 0x5d83;

/** The specification that a context's calls make. */
function specAfter(use: (ctx: number) => void) {
  const ctx = capi.krun_create_ctx();
  capi.krun_set_root(ctx, '/r');
  use(ctx);
  const context = removeContext(ctx);
  assert.ok(context);
  return resolveConfig(toOptions(context));
}

test('numbers are those of the header', () => {
  assert.equal(capi.COMPAT_NET_FEATURES, 0x4c83);
  assert.deepEqual([capi.NET_FLAG_VFKIT, capi.NET_FLAG_DHCP_CLIENT], [1, 2]);
});

test('every function answers -ENOENT without its context, and -EINVAL for bad arguments before that', () => {
  const { krun_add_net_unixstream: stream, krun_add_net_unixgram: gram, krun_add_net_tap: tap } = capi;
  for (const add of [stream, gram]) {
    assert.equal(add(NO_CTX, '/s', -1, MAC, ALL, 2), ENOENT);
    assert.equal(add(NO_CTX, null, 0, MAC, 0, 0), ENOENT);
    assert.equal(add(NO_CTX, Uint8Array.of(0xff), 3, MAC, 0, 0), ENOENT, 'a path that is not UTF-8 is none');
    assert.equal(add(NO_CTX, null, -1, MAC, 0, 0), EINVAL);
    assert.equal(add(NO_CTX, '/s', 3, MAC, 0, 0), EINVAL);
    assert.equal(add(NO_CTX, Uint8Array.of(0xff), -1, MAC, 0, 0), EINVAL);
    assert.equal(add(NO_CTX, '/s', -1, MAC, ALL | (1 << 9), 0), EINVAL);
    assert.equal(add(NO_CTX, '/s', -1, MAC, 0, 4), EINVAL);
    assert.equal(add(NO_CTX, '/s', -1, MAC.subarray(0, 5), 0, 0), EINVAL);
  }
  assert.equal(stream(NO_CTX, '/s', -1, MAC, 0, capi.NET_FLAG_VFKIT), EINVAL);
  assert.equal(gram(NO_CTX, '/s', -1, MAC, 0, 3), ENOENT);
  assert.equal(tap(NO_CTX, 'tap0', MAC, ALL, 2), ENOENT);
  assert.equal(tap(NO_CTX, 'tap0', MAC, 0, capi.NET_FLAG_VFKIT), EINVAL);
  assert.equal(tap(NO_CTX, null, MAC, 0, 0), EINVAL);
  assert.equal(tap(NO_CTX, 'tap0', MAC, 1 << 15, 0), EINVAL);
  for (const segments of [1 << 7, 1 << 8, 1 << 10]) {
    assert.equal(tap(NO_CTX, 'tap0', MAC, segments, 0), EINVAL);
    assert.equal(tap(NO_CTX, 'tap0', MAC, segments | capi.NET_FEATURE_GUEST_CSUM, 0), ENOENT);
    assert.equal(stream(NO_CTX, '/s', -1, MAC, segments, 0), ENOENT, 'only a tap is asked');
  }
  assert.equal(capi.krun_set_passt_fd(NO_CTX, 3), ENOENT);
  assert.equal(capi.krun_set_passt_fd(NO_CTX, -1), EINVAL);
  assert.equal(capi.krun_set_gvproxy_path(NO_CTX, '/s'), ENOENT);
  assert.equal(capi.krun_set_gvproxy_path(NO_CTX, null), EINVAL);
  assert.equal(capi.krun_set_net_mac(NO_CTX, MAC), ENOENT);
  assert.equal(capi.krun_set_net_mac(NO_CTX, []), EINVAL);
});

test('after krun_add_net_* the deprecated functions and the port map are -EINVAL', () => {
  const ctx = capi.krun_create_ctx();
  assert.equal(capi.krun_set_passt_fd(ctx, 3), 0);
  assert.equal(capi.krun_set_gvproxy_path(ctx, '/g'), 0);
  assert.equal(capi.krun_set_port_map(ctx, ['1:1']), 0);
  assert.equal(capi.krun_add_net_unixstream(ctx, '/s', -1, MAC, 0, 0), 0);
  assert.equal(capi.krun_set_passt_fd(ctx, 3), EINVAL);
  assert.equal(capi.krun_set_gvproxy_path(ctx, '/g'), EINVAL);
  assert.equal(capi.krun_set_port_map(ctx, ['1:1']), EINVAL);
  assert.equal(capi.krun_set_net_mac(ctx, MAC), 0);
  capi.krun_free_ctx(ctx);
});

test('interfaces come in call order, the deprecated one last with its features and its MAC address', () => {
  const { interfaces, dhcp, vsock } = specAfter((ctx) => {
    capi.krun_set_gvproxy_path(ctx, '/g');
    capi.krun_add_net_unixgram(ctx, '/u', -1, MAC, 0x81, capi.NET_FLAG_VFKIT);
    capi.krun_add_net_unixgram(ctx, null, 7, MAC, 0, capi.NET_FLAG_VFKIT);
    capi.krun_add_net_unixstream(ctx, null, 8, MAC, ALL, capi.NET_FLAG_DHCP_CLIENT);
    capi.krun_add_net_tap(ctx, 'tap3', MAC, 2, 0);
  });
  const mac = '5a:94:ef:00:00:01';
  assert.deepEqual(interfaces, [
    { mac, features: 0x81, backend: { kind: 'unixgram', path: '/u', vfkit: true } },
    { mac, features: 0, backend: { kind: 'unixgram', fd: 7 } },
    { mac, features: ALL, backend: { kind: 'unixstream', fd: 8 } },
    { mac, features: 2, backend: { kind: 'tap', name: 'tap3' } },
    { mac: '5a:94:ef:e4:0c:ee', features: 0x4c83, backend: { kind: 'unixgram', path: '/g', vfkit: true } },
  ]);
  assert.deepEqual([dhcp, vsock], [true, undefined], 'no transparent sockets beside interfaces');
});

test('of the deprecated functions the last call counts, with the MAC address of krun_set_net_mac', () => {
  const { interfaces, dhcp } = specAfter((ctx) => {
    capi.krun_set_gvproxy_path(ctx, '/g');
    capi.krun_set_passt_fd(ctx, 5);
    capi.krun_set_net_mac(ctx, [2, 0, 0, 0, 0, 255]);
  });
  assert.deepEqual(interfaces, [
    { mac: '02:00:00:00:00:ff', features: 0x4c83, backend: { kind: 'unixstream', fd: 5 } },
  ]);
  assert.equal(dhcp, false);
});

test('krun_has_feature says that there is a network', () => {
  assert.equal(capi.krun_has_feature(0), 1);
});
