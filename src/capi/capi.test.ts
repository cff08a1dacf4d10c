import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { removeContext } from './contexts.ts';
import * as capi from './index.ts';
import { toOptions } from './start.ts';

const ENOENT = -2;
const ENOTDIR = -20;
const EINVAL = -22;
const NO_CTX = 0x7fff_fff0;
const NOT_UTF8 = Uint8Array.of(0xff, 0xfe, 0);

const withContext = (use: (ctx: number) => void): void => {
  const ctx = capi.krun_create_ctx();
  try {
    use(ctx);
  } finally {
    capi.krun_free_ctx(ctx);
  }
};

test('context ids are never reused, and a freed context is unknown', () => {
  const first = capi.krun_create_ctx();
  assert.equal(capi.krun_free_ctx(first), 0);
  assert.equal(capi.krun_free_ctx(first), ENOENT);
  const second = capi.krun_create_ctx();
  assert.ok(second > first);
  assert.equal(capi.krun_free_ctx(second), 0);
});

test('thousands of contexts leave nothing behind but their numbers', () => {
  const before = capi.krun_create_ctx();
  for (let i = 0; i < 5000; i++) assert.equal(capi.krun_free_ctx(capi.krun_create_ctx()), 0);
  const after = capi.krun_create_ctx();
  assert.equal(after, before + 5001);
  assert.equal(capi.krun_free_ctx(before), 0);
  assert.equal(capi.krun_free_ctx(after), 0);
});

test('every function with good arguments answers -ENOENT for a context that does not exist', () => {
  assert.equal(capi.krun_set_vm_config(NO_CTX, 1, 128), ENOENT);
  assert.equal(capi.krun_set_root(NO_CTX, '/r'), ENOENT);
  assert.equal(capi.krun_add_virtiofs(NO_CTX, 't', '/r'), ENOENT);
  assert.equal(capi.krun_add_virtiofs2(NO_CTX, 't', '/r', 0n), ENOENT);
  assert.equal(capi.krun_add_virtiofs3(NO_CTX, 't', null, 0, true), ENOENT);
  assert.equal(capi.krun_disable_implicit_init(NO_CTX), ENOENT);
  assert.equal(capi.krun_fs_add_overlay_file(NO_CTX, 't', 'f', null, 0, 0o644, false), ENOENT);
  assert.equal(capi.krun_fs_add_overlay_dir(NO_CTX, 't', 'd', 0o755), ENOENT);
  assert.equal(capi.krun_set_exec(NO_CTX, '/bin/x', null, null), ENOENT);
  assert.equal(capi.krun_set_env(NO_CTX, null), ENOENT);
  assert.equal(capi.krun_set_workdir(NO_CTX, '/'), ENOENT);
  assert.equal(capi.krun_set_rlimits(NO_CTX, []), ENOENT);
  assert.equal(capi.krun_set_console_output(NO_CTX, '/f'), ENOENT);
  assert.equal(capi.krun_disable_implicit_console(NO_CTX), ENOENT);
  assert.equal(capi.krun_add_virtio_console_default(NO_CTX, -1, -1, -1), ENOENT);
  assert.equal(capi.krun_set_kernel_console(NO_CTX, 'hvc0'), ENOENT);
  assert.equal(capi.krun_setuid(NO_CTX, 0), ENOENT);
  assert.equal(capi.krun_setgid(NO_CTX, 0), ENOENT);
});

test('a bad argument is reported before an unknown context', () => {
  assert.equal(capi.krun_set_vm_config(NO_CTX, 0, 128), EINVAL);
  assert.equal(capi.krun_set_root(NO_CTX, NOT_UTF8), EINVAL);
  assert.equal(capi.krun_add_virtiofs3(NO_CTX, null, '/r', 0, false), EINVAL);
  assert.equal(capi.krun_fs_add_overlay_file(NO_CTX, null, 'f', null, 0, 0, false), EINVAL);
  assert.equal(capi.krun_fs_add_overlay_dir(NO_CTX, 't', null, 0), EINVAL);
  assert.equal(capi.krun_set_exec(NO_CTX, null, null, null), EINVAL);
  assert.equal(capi.krun_set_env(NO_CTX, [NOT_UTF8]), EINVAL);
  assert.equal(capi.krun_set_workdir(NO_CTX, null), EINVAL);
  assert.equal(capi.krun_set_rlimits(NO_CTX, null), EINVAL);
  assert.equal(capi.krun_set_console_output(NO_CTX, NOT_UTF8), EINVAL);
  assert.equal(capi.krun_set_kernel_console(NO_CTX, null), EINVAL);
});

test('krun_set_vm_config refuses zero of either and more CPUs than the engine has', () => {
  withContext((ctx) => {
    assert.equal(capi.krun_set_vm_config(ctx, 0, 128), EINVAL);
    assert.equal(capi.krun_set_vm_config(ctx, 1, 0), EINVAL);
    assert.equal(capi.krun_set_vm_config(ctx, 256, 128), EINVAL);
    assert.equal(capi.krun_set_vm_config(ctx, capi.krun_get_max_vcpus() + 1, 128), EINVAL);
    assert.equal(capi.krun_set_vm_config(ctx, 1, 256), 0);
  });
  const most = capi.krun_get_max_vcpus(); // 1 with the software engine, what KVM says where KVM works
  assert.ok(most >= 1 && most <= 128, `${most}`);
});

test('krun_set_log_level accepts any level, krun_init_log checks descriptor, style and options', () => {
  assert.equal(capi.krun_set_log_level(99), 0);
  assert.equal(capi.krun_set_log_level(capi.KRUN_LOG_LEVEL_OFF), 0);
  assert.equal(capi.krun_init_log(-2, 0, 0, 0), EINVAL);
  assert.equal(capi.krun_init_log(0, 0, 0, 0), EINVAL);
  assert.equal(capi.krun_init_log(2, 0, 3, 0), EINVAL);
  assert.equal(capi.krun_init_log(2, 0, 0, 2), EINVAL);
  assert.equal(
    capi.krun_init_log(2, capi.KRUN_LOG_LEVEL_OFF, capi.KRUN_LOG_STYLE_NEVER, capi.KRUN_LOG_OPTION_NO_ENV),
    0,
  );
  assert.equal(capi.krun_init_log(capi.KRUN_LOG_TARGET_DEFAULT, capi.KRUN_LOG_LEVEL_OFF, 0, 0), 0);
});

test('krun_has_feature tells what is there and refuses numbers that never were a feature', () => {
  assert.equal(capi.krun_has_feature(11n), 1);
  assert.equal(capi.krun_has_feature(0), 1);
  assert.equal(capi.krun_has_feature(1), 1);
  for (const absent of [2, 4, 6, 7, 8, 9, 10]) assert.equal(capi.krun_has_feature(absent), 0, `feature ${absent}`);
  for (const unknown of [3, 5, 12, 2n ** 63n])
    assert.equal(capi.krun_has_feature(unknown), EINVAL, `feature ${unknown}`);
});

test('krun_get_default_init gives the static program and needs both places to put it', () => {
  const data: capi.Out<Uint8Array | null> = { value: null };
  const len = { value: 0 };
  assert.equal(capi.krun_get_default_init(null, len), EINVAL);
  assert.equal(capi.krun_get_default_init(data, null), EINVAL);
  assert.equal(capi.krun_get_default_init(data, len), 0);
  const file = readFileSync(new URL('../../guest/init/init.x86_64', import.meta.url));
  assert.equal(len.value, file.length);
  assert.deepEqual(Buffer.from(data.value ?? []), file);
});

test('krun_set_mapped_volumes is retired and says so without looking', () => {
  assert.equal(capi.krun_set_mapped_volumes(NO_CTX, null), EINVAL);
});

test('overlay files and directories: each error upstream has, in its order', () => {
  withContext((ctx) => {
    const file = (path: string) => capi.krun_fs_add_overlay_file(ctx, 't', path, Uint8Array.of(1), 1, 0o644, false);
    assert.equal(file('f'), ENOENT, 'no such tag');
    assert.equal(capi.krun_add_virtiofs(ctx, 't', '/r'), 0);
    assert.equal(capi.krun_fs_add_overlay_file(ctx, 't', 'f', null, 1, 0o644, false), EINVAL, 'no data');
    assert.equal(file(''), EINVAL, 'no last component');
    assert.equal(file('/'), EINVAL);
    assert.equal(file('d/'), EINVAL);
    assert.equal(file('d/f'), ENOENT, 'no parent');
    assert.equal(capi.krun_fs_add_overlay_dir(ctx, 't', '/d', 0o755), 0);
    assert.equal(file('d/f'), 0);
    assert.equal(file('d/f/g'), ENOTDIR);
    assert.equal(file('d/f'), 0, 'duplicates are not detected');
    assert.equal(capi.krun_fs_add_overlay_file(ctx, 't', 'empty', null, 0, 0o644, true), 0);
  });
});

test('the init program is in the way of overlay names on a root share only', () => {
  withContext((ctx) => {
    assert.equal(capi.krun_set_root(ctx, '/r'), 0);
    assert.equal(capi.krun_fs_add_overlay_dir(ctx, capi.KRUN_FS_ROOT_TAG, 'init.krun/x', 0o755), ENOTDIR);
  });
  withContext((ctx) => {
    assert.equal(capi.krun_disable_implicit_init(ctx), 0);
    assert.equal(capi.krun_set_root(ctx, '/r'), 0);
    assert.equal(capi.krun_fs_add_overlay_dir(ctx, capi.KRUN_FS_ROOT_TAG, 'init.krun/x', 0o755), ENOENT);
  });
});

test('krun_set_console_output works once', () => {
  withContext((ctx) => {
    assert.equal(capi.krun_set_console_output(ctx, '/a'), 0);
    assert.equal(capi.krun_set_console_output(ctx, '/b'), EINVAL);
  });
});

test('string arrays end at NULL and at the 4096th entry', () => {
  const ctx = capi.krun_create_ctx();
  assert.equal(capi.krun_set_exec(ctx, '/bin/x', ['a', null, 'b'], []), 0);
  const many = [...new Array<string>(4096).fill('1=2:3'), 'bad\0entry'];
  assert.equal(capi.krun_set_rlimits(ctx, many), 0);
  const context = removeContext(ctx);
  assert.deepEqual(context?.exec, { path: '/bin/x', args: ['a'] });
  assert.equal(context?.rlimits.length, 4096);
});

test('strings may be bytes that end at NUL; what no C string can be is refused', () => {
  const ctx = capi.krun_create_ctx();
  assert.equal(capi.krun_set_workdir(ctx, new TextEncoder().encode('/é\0rest')), 0);
  assert.equal(capi.krun_set_workdir(ctx, 'a\0b'), EINVAL);
  assert.equal(capi.krun_set_workdir(ctx, '\ud800'), EINVAL);
  assert.equal(removeContext(ctx)?.workdir, '/é');
});

test('everything that was set arrives in the options of the machine', () => {
  const ctx = capi.krun_create_ctx();
  const data = Uint8Array.of(1, 2, 3);
  capi.krun_set_vm_config(ctx, 1, 300);
  capi.krun_set_root(ctx, '/r');
  capi.krun_add_virtiofs3(ctx, 'null', null, 0, true);
  capi.krun_fs_add_overlay_file(ctx, 'null', '/f', data, 2, 0o100644, true);
  capi.krun_set_exec(ctx, '/bin/x', ['a b', '"', 'é\n'], ['A=1']);
  capi.krun_set_workdir(ctx, '/w');
  capi.krun_set_rlimits(ctx, ['7=1:2']);
  capi.krun_set_kernel_console(ctx, 'hvc1');
  capi.krun_set_console_output(ctx, '/log');
  capi.krun_add_virtio_console_default(ctx, -1, -1, -1);
  const context = removeContext(ctx);
  assert.ok(context);
  assert.deepEqual(toOptions(context), {
    command: ['/bin/x', 'a b', '"', 'é\n'],
    env: ['A=1'],
    workdir: '/w',
    rlimits: ['7=1:2'],
    memoryMiB: 300,
    vcpus: 1,
    shares: [
      { tag: '/dev/root', path: '/r', readOnly: false, init: true, overlay: [] },
      {
        tag: 'null',
        path: null,
        readOnly: true,
        init: false,
        overlay: [{ path: 'f', data: data.subarray(0, 2), mode: 0o644, oneShot: true }],
      },
    ],
    console: { outputFile: '/log' },
    extraConsoles: [{ input: 'none', output: 'none', error: 'none' }],
    serials: [],
    shutdown: false,
    vsock: { ports: [] },
    network: { families: ['inet'], ports: 'all' },
    kernel: { console: 'hvc1' },
  });
});

test('without a call the environment is that of this process and the machine has 1 CPU and 128 MiB', () => {
  const ctx = capi.krun_create_ctx();
  const context = removeContext(ctx);
  assert.ok(context);
  const { env, memoryMiB, vcpus } = toOptions(context);
  assert.ok((env as string[]).includes(`PATH=${process.env['PATH']}`));
  assert.deepEqual([vcpus, memoryMiB], [1, 128]);
});

test('krun_start_enter of a context that does not exist is -ENOENT, and the context of a failed start is gone', async () => {
  assert.equal(await capi.krun_start_enter(NO_CTX), ENOENT);
  const ctx = capi.krun_create_ctx();
  const saved = process.env['KRUN_FIRMWARE'];
  process.env['KRUN_FIRMWARE'] = '/nonexistent/libkrunfw.so.5';
  try {
    assert.equal(await capi.krun_start_enter(ctx), ENOENT);
  } finally {
    if (saved === undefined) delete process.env['KRUN_FIRMWARE'];
    else process.env['KRUN_FIRMWARE'] = saved;
  }
  assert.equal(capi.krun_free_ctx(ctx), ENOENT);
});
