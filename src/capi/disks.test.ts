import assert from 'node:assert/strict';
import { test } from 'node:test';
import { removeContext } from './contexts.ts';
import * as capi from './index.ts';
import { toOptions } from './start.ts';

const ENOENT = -2;
const EINVAL = -22;
const NO_CTX = 0x7fff_fff0;
const NOT_UTF8 = Uint8Array.of(0xff, 0xfe, 0);

/** What the machine of a context would be started with. */
function optionsOf(ctx: number) {
  const context = removeContext(ctx);
  assert.ok(context !== undefined);
  return toOptions(context);
}

test('with good arguments an unknown context is -ENOENT', () => {
  assert.equal(capi.krun_add_disk(NO_CTX, 'a', '/d', false), ENOENT);
  assert.equal(capi.krun_add_disk2(NO_CTX, 'a', '/d', 1, false), ENOENT);
  assert.equal(capi.krun_add_disk3(NO_CTX, 'a', '/d', 2, false, true, 0), ENOENT);
  assert.equal(capi.krun_set_root_disk(NO_CTX, '/d'), ENOENT);
  assert.equal(capi.krun_set_data_disk(NO_CTX, '/d'), ENOENT);
  assert.equal(capi.krun_set_root_disk_remount(NO_CTX, '/dev/vda', null, null), ENOENT);
});

test('bad arguments are -EINVAL before the context is looked up', () => {
  for (const bad of [null, NOT_UTF8]) {
    assert.equal(capi.krun_add_disk(NO_CTX, bad, '/d', false), EINVAL);
    assert.equal(capi.krun_add_disk(NO_CTX, 'a', bad, false), EINVAL);
    assert.equal(capi.krun_set_root_disk(NO_CTX, bad), EINVAL);
    assert.equal(capi.krun_set_data_disk(NO_CTX, bad), EINVAL);
    assert.equal(capi.krun_set_root_disk_remount(NO_CTX, bad, null, null), EINVAL);
  }
  assert.equal(capi.krun_set_root_disk_remount(NO_CTX, '/dev/vda', NOT_UTF8, null), EINVAL);
  assert.equal(capi.krun_set_root_disk_remount(NO_CTX, '/dev/vda', null, NOT_UTF8), EINVAL);
  for (const format of [3, -1, 0xffff_ffff])
    assert.equal(capi.krun_add_disk2(NO_CTX, 'a', '/d', format, false), EINVAL);
  for (const sync of [3, -1]) assert.equal(capi.krun_add_disk3(NO_CTX, 'a', '/d', 0, false, false, sync), EINVAL);
});

test('disks come in call order, with format, mode and sync as asked for', () => {
  const ctx = capi.krun_create_ctx();
  assert.equal(capi.krun_add_disk(ctx, 'a', '/a', true), 0);
  assert.equal(capi.krun_add_disk2(ctx, 'b', '/b', capi.KRUN_DISK_FORMAT_QCOW2, false), 0);
  assert.equal(capi.krun_add_disk3(ctx, 'c', '/c', capi.KRUN_DISK_FORMAT_VMDK, false, true, capi.KRUN_SYNC_NONE), 0);
  assert.deepEqual(optionsOf(ctx).disks, [
    { path: '/a', format: 'raw', readOnly: true, direct: false, sync: 'full' },
    { path: '/b', format: 'qcow2', readOnly: false, direct: false, sync: 'full' },
    { path: '/c', format: 'vmdk', readOnly: false, direct: true, sync: 'none' },
  ]);
});

test('the deprecated setters: root before data, the last call counts, and none of it beside an added disk', () => {
  const ctx = capi.krun_create_ctx();
  assert.equal(capi.krun_set_data_disk(ctx, '/data'), 0);
  assert.equal(capi.krun_set_root_disk(ctx, '/old'), 0);
  assert.equal(capi.krun_set_root_disk(ctx, '/root'), 0);
  const raw = { format: 'raw', readOnly: false, direct: false, sync: 'full' };
  assert.deepEqual(optionsOf(ctx).disks, [
    { path: '/root', ...raw },
    { path: '/data', ...raw },
  ]);
  const other = capi.krun_create_ctx();
  capi.krun_set_root_disk(other, '/root');
  capi.krun_add_disk(other, 'a', '/a', false);
  assert.deepEqual(optionsOf(other).disks, [{ path: '/a', ...raw }]);
});

test('a root on a disk needs an added disk and no root share', () => {
  const ctx = capi.krun_create_ctx();
  assert.equal(capi.krun_set_root_disk(ctx, '/old'), 0);
  assert.equal(capi.krun_set_root_disk_remount(ctx, '/dev/vda', null, null), EINVAL);
  assert.equal(capi.krun_add_disk(ctx, 'a', '/a', false), 0);
  assert.equal(capi.krun_set_root_disk_remount(ctx, '/dev/vda', 'auto', null), 0);
  assert.equal(capi.krun_set_root_disk_remount(ctx, '/dev/vda', null, null), EINVAL, 'there is a root now');
  const { rootDisk, shares } = optionsOf(ctx);
  assert.deepEqual(rootDisk, { device: '/dev/vda' });
  assert.deepEqual(
    shares?.map(({ tag, path, init, overlay }) => ({ tag, path, init, names: overlay?.map((item) => item.path) })),
    [{ tag: '/dev/root', path: null, init: true, names: ['dev', 'proc', 'sys', 'newroot'] }],
  );
});

test('type and options of a root disk are passed on, and the init program stays away when it was disabled', () => {
  const ctx = capi.krun_create_ctx();
  capi.krun_add_disk(ctx, 'a', '/a', false);
  capi.krun_disable_implicit_init(ctx);
  assert.equal(capi.krun_set_root_disk_remount(ctx, '/dev/vda1', 'ext4', 'ro,noatime'), 0);
  const { rootDisk, shares } = optionsOf(ctx);
  assert.deepEqual(rootDisk, { device: '/dev/vda1', fileSystem: 'ext4', options: 'ro,noatime' });
  assert.equal(shares?.[0]?.init, false);
});

test('this build has disks', () => {
  assert.equal(capi.krun_has_feature(1), 1);
});
