import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveConfig } from '../config/resolve.ts';
import { removeContext } from './contexts.ts';
import * as capi from './index.ts';
import { toOptions } from './start.ts';
import { networkOf } from './vsock.ts';

const [ENOENT, EEXIST, ENODEV, EINVAL] = [-2, -17, -19, -22];
const NO_CTX = 0x7fff_fff0;
const MISSING = '/nonexistent-krun-vsock';

/** The options of a context after `use`. */
function optionsAfter(use: (ctx: number) => void, hasNet = false) {
  const ctx = capi.krun_create_ctx();
  if (hasNet) assert.equal(capi.krun_set_passt_fd(ctx, 9), 0);
  use(ctx);
  const context = removeContext(ctx);
  assert.ok(context);
  return networkOf(context);
}

test('every function answers -ENOENT without its context, and -EINVAL for bad arguments before that', () => {
  assert.equal(capi.krun_set_port_map(NO_CTX, ['80:80', null]), ENOENT);
  assert.equal(capi.krun_set_port_map(NO_CTX, null), ENOENT);
  assert.equal(capi.krun_add_vsock_port(NO_CTX, 1, '/s'), ENOENT);
  assert.equal(capi.krun_add_vsock_port2(NO_CTX, 1, MISSING, true), ENOENT);
  assert.equal(capi.krun_add_vsock(NO_CTX, 0), ENOENT);
  assert.equal(capi.krun_disable_implicit_vsock(NO_CTX), ENOENT);
  for (const entry of ['80', '80:', ':80', '80:80:80', '65536:80', '80:65536', 'a:80', '80:-1', '0x50:80', ' 80:80']) {
    assert.equal(capi.krun_set_port_map(NO_CTX, [entry]), EINVAL, entry);
  }
  assert.equal(capi.krun_set_port_map(NO_CTX, ['80:1', '80:2']), EINVAL);
  assert.equal(capi.krun_set_port_map(NO_CTX, ['1:80', '2:80']), EINVAL);
  assert.equal(capi.krun_add_vsock_port(NO_CTX, 1, null), EINVAL);
  assert.equal(capi.krun_add_vsock_port2(NO_CTX, 1, '/dev/null/x', true), EINVAL);
  assert.equal(capi.krun_add_vsock(NO_CTX, 4), EINVAL);
});

test('a path to listen at must not exist; a path to connect to may', () => {
  assert.equal(capi.krun_add_vsock_port2(NO_CTX, 1, '/dev/null', true), EEXIST);
  assert.equal(capi.krun_add_vsock_port2(NO_CTX, 1, '/dev/null', false), ENOENT);
});

test("by default Internet sockets are the host's and every listening port is exposed", () => {
  const all = { vsock: { ports: [] }, network: { families: ['inet'], ports: 'all' } };
  assert.deepEqual(
    optionsAfter(() => {}),
    all,
  );
  assert.deepEqual(
    optionsAfter((ctx) => assert.equal(capi.krun_set_port_map(ctx, null), 0)),
    all,
  );
});

test('an empty port map exposes nothing, an explicit one what it lists, at the address of the guest', () => {
  const empty = optionsAfter((ctx) => assert.equal(capi.krun_set_port_map(ctx, []), 0));
  assert.deepEqual(empty.network, { families: ['inet'], ports: {} });
  const mapped = optionsAfter((ctx) => assert.equal(capi.krun_set_port_map(ctx, ['8080:80', '+22:022']), 0));
  assert.deepEqual(mapped.network, { families: ['inet'], ports: { '*:8080': 80, '*:22': 22 } });
});

test('the device is implicit, then disabled, then explicit, and disabled again at any time', () => {
  const ctx = capi.krun_create_ctx();
  assert.equal(capi.krun_add_vsock(ctx, 0), EEXIST);
  assert.equal(capi.krun_disable_implicit_vsock(ctx), 0);
  assert.equal(capi.krun_set_port_map(ctx, ['1:1']), ENODEV);
  assert.equal(capi.krun_add_vsock_port(ctx, 1, '/s'), ENODEV);
  assert.equal(capi.krun_add_vsock(ctx, capi.KRUN_TSI_HIJACK_UNIX), 0);
  assert.equal(capi.krun_add_vsock(ctx, 0), EEXIST);
  assert.equal(capi.krun_add_vsock_port(ctx, 1, '/s'), 0);
  assert.equal(capi.krun_disable_implicit_vsock(ctx), 0);
  assert.equal(capi.krun_add_vsock(ctx, 3), 0);
  capi.krun_free_ctx(ctx);
});

test("the vsock decision follows upstream's table", () => {
  const explicit = (flags: number) => (ctx: number) => {
    capi.krun_disable_implicit_vsock(ctx);
    capi.krun_add_vsock(ctx, flags);
  };
  assert.deepEqual(
    optionsAfter((ctx) => capi.krun_disable_implicit_vsock(ctx)),
    { vsock: false },
  );
  assert.deepEqual(optionsAfter(explicit(0)), { vsock: { ports: [] } });
  assert.deepEqual(optionsAfter(explicit(2)).network, { families: ['unix'], ports: 'all' });
  const beside = optionsAfter(explicit(3), true).network;
  assert.ok(typeof beside === 'object');
  assert.deepEqual([beside.families, beside.ports, beside.interfaces?.length], [['inet', 'unix'], 'all', 1]);
  assert.equal(optionsAfter(() => {}, true).vsock, false);
  const port = (ctx: number) => assert.equal(capi.krun_add_vsock_port(ctx, 9, '/s'), 0);
  const { vsock, network } = optionsAfter(port, true);
  assert.deepEqual(vsock, { ports: [{ port: 9, path: '/s', listen: false }] });
  assert.ok(typeof network === 'object' && network.families === undefined);
});

test('the last path of a port counts, and what the functions collect is a sound configuration', () => {
  const ctx = capi.krun_create_ctx();
  capi.krun_set_root(ctx, '/r');
  capi.krun_add_vsock_port(ctx, 9, '/a');
  capi.krun_add_vsock_port2(ctx, 9, MISSING, true);
  capi.krun_set_port_map(ctx, ['8080:80']);
  const context = removeContext(ctx);
  assert.ok(context);
  const { vsock } = resolveConfig(toOptions(context));
  assert.deepEqual(vsock, {
    tsi: { inet: true, unix: false },
    egress: { deny: [] },
    ports: [{ hostPort: 8080, guestPort: 80 }],
    unixPorts: [{ port: 9, path: MISSING, listen: true }],
  });
});
