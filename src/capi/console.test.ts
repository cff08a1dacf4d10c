import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { type Context, removeContext } from './contexts.ts';
import * as capi from './index.ts';
import { toOptions } from './start.ts';

const ENOENT = -2;
const EINVAL = -22;
const ENOTTY = -25;
const NO_CTX = 0x7fff_fff0;
const NOT_UTF8 = Uint8Array.of(0xff, 0xfe, 0);

/** What a context holds after the calls. */
function collected(calls: (ctx: number) => void): Context {
  const ctx = capi.krun_create_ctx();
  calls(ctx);
  const context = removeContext(ctx);
  assert.ok(context);
  return context;
}

test('krun_add_virtio_console_multiport numbers consoles among all that are added', () => {
  collected((ctx) => {
    assert.equal(capi.krun_add_virtio_console_multiport(ctx), 0);
    assert.equal(capi.krun_add_virtio_console_default(ctx, -1, -1, -1), 0);
    assert.equal(capi.krun_add_virtio_console_multiport(ctx), 2);
    assert.equal(capi.krun_add_console_port_inout(ctx, 1, 'x', -1, -1), EINVAL, 'not of ports');
    assert.equal(capi.krun_add_console_port_inout(ctx, 3, 'x', -1, -1), EINVAL, 'no such console');
    assert.equal(capi.krun_add_console_port_inout(ctx, -1, 'x', -1, -1), EINVAL);
    assert.equal(capi.krun_add_console_port_inout(ctx, 2, 'x', -1, -1), 0);
  });
});

test('krun_add_console_port_tty: -EINVAL below 0, -ENOTTY for what is no terminal, then context, then console', () => {
  const file = openSync('/dev/null', 'r');
  assert.equal(capi.krun_add_console_port_tty(NO_CTX, 0, 'x', -1), EINVAL);
  assert.equal(capi.krun_add_console_port_tty(NO_CTX, 0, 'x', file), ENOTTY);
  assert.equal(capi.krun_add_console_port_tty(NO_CTX, 0, NOT_UTF8, file), EINVAL);
  closeSync(file);
});

test('console functions with good arguments answer -ENOENT for a context that does not exist', () => {
  assert.equal(capi.krun_add_virtio_console_multiport(NO_CTX), ENOENT);
  assert.equal(capi.krun_add_console_port_inout(NO_CTX, 0, 'x', -1, -1), ENOENT);
  assert.equal(capi.krun_add_console_port_inout(NO_CTX, 0, NOT_UTF8, -1, -1), EINVAL);
  assert.equal(capi.krun_add_serial_console_default(NO_CTX, -1, -1), ENOENT);
});

test('ports and serial ports arrive in the options of the machine, a negative descriptor as an absent direction', () => {
  const context = collected((ctx) => {
    assert.equal(capi.krun_disable_implicit_console(ctx), 0);
    const console = capi.krun_add_virtio_console_multiport(ctx);
    assert.equal(capi.krun_add_console_port_inout(ctx, console, 'both', 7, 8), 0);
    assert.equal(capi.krun_add_console_port_inout(ctx, console, null, 7, -1), 0);
    assert.equal(capi.krun_add_serial_console_default(ctx, -1, 9), 0);
  });
  const { console, extraConsoles, serials } = toOptions(context);
  assert.equal(console, false);
  assert.deepEqual(extraConsoles, [
    {
      ports: [
        { name: 'both', terminal: false, input: true, output: true },
        { name: '', terminal: false, input: true, output: false },
      ],
    },
  ]);
  assert.deepEqual(serials, [{ input: false, output: true }]);
});

test('krun_get_shutdown_eventfd gives one descriptor per context, which ends with it', (t) => {
  assert.equal(capi.krun_get_shutdown_eventfd(NO_CTX), ENOENT);
  const ctx = capi.krun_create_ctx();
  const fd = capi.krun_get_shutdown_eventfd(ctx);
  if (fd === EINVAL) return t.skip('no koffi');
  assert.equal(capi.krun_get_shutdown_eventfd(ctx), fd);
  assert.equal(writeSync(fd, new Uint8Array(8)), 8);
  assert.equal(capi.krun_free_ctx(ctx), 0);
  assert.throws(() => writeSync(fd, new Uint8Array(8)), { code: 'EBADF' });
});
