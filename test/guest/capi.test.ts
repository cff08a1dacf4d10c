// What a guest sees of each setting that the C interface collects.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { skipReason } from '../boot/guest.ts';

const options = { skip: await skipReason(), timeout: 180_000 };
const folder = mkdtempSync(join(tmpdir(), 'krun-capi-'));
after(() => rmSync(folder, { recursive: true }));

/** Runs calls with `ctx` in a process of its own, then enters the machine; a call that fails ends it with 99. */
async function enter(calls: string, env: Record<string, string> = {}) {
  const file = join(folder, 'enter.mjs');
  writeFileSync(
    file,
    `import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const must = (value) => { if (value < 0) { console.error('failed', value); process.exit(99); } return value; };
    const ctx = must(k.krun_create_ctx());
    must(k.krun_set_vm_config(ctx, 1, 256));
    ${calls}
    process.exit(-must(await k.krun_start_enter(ctx)));`,
  );
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    timeout: 120_000,
  });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { stdout, stderr, code: code as number };
}

test(
  'shares, overlays, environment, directory, limits and log settings of krun/capi arrive in a guest',
  options,
  async () => {
    mkdirSync(join(folder, 'share'));
    writeFileSync(join(folder, 'share/file'), 'of the share');
    const path = JSON.stringify(join(folder, 'share'));
    const script = `pwd; echo "$A"; ulimit -n
    mkdir -p /run/a 2>/dev/null; mount -t tmpfs t /mnt; mkdir /mnt/a /mnt/b /mnt/c
    for t in a b c; do mount -t virtiofs tag-$t /mnt/$t; done
    cat /mnt/a/file; echo; echo written > /mnt/b/new; echo written > /mnt/a/other || true
    cat /mnt/c/dir/over; stat -c %a /mnt/c/dir /mnt/c/dir/over`;
    const { stdout, stderr, code } = await enter(
      `must(k.krun_init_log(k.KRUN_LOG_TARGET_DEFAULT, k.KRUN_LOG_LEVEL_DEBUG, k.KRUN_LOG_STYLE_NEVER, k.KRUN_LOG_OPTION_NO_ENV));
    must(k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true));
    must(k.krun_add_virtiofs(ctx, 'tag-a', ${path}));
    must(k.krun_add_virtiofs2(ctx, 'tag-b', ${path}, 0));
    must(k.krun_add_virtiofs3(ctx, 'tag-c', null, 0, false));
    must(k.krun_fs_add_overlay_dir(ctx, 'tag-c', 'dir', 0o751));
    must(k.krun_fs_add_overlay_file(ctx, 'tag-c', 'dir/over', new TextEncoder().encode('laid over\\n'), 10, 0o640, false));
    must(k.krun_set_exec(ctx, '/bin/sh', ['-c', ${JSON.stringify(script)}], null));
    must(k.krun_set_env(ctx, ['A="a b" ü', 'PATH=/usr/bin:/bin', null]));
    must(k.krun_set_workdir(ctx, '/usr'));
    must(k.krun_set_rlimits(ctx, ['7=512:1024', null]));
    const spare = must(k.krun_create_ctx());
    must(k.krun_free_ctx(spare));`,
    );
    assert.equal(
      stdout,
      '/usr\n"a b" ü\n512\nof the share\nlaid over\n751\n640\n',
      stderr.split('\n').slice(-12).join('\n'),
    );
    assert.equal(code, 0);
    assert.match(stderr, /DEBUG.*kernel command line: /);
    assert.equal(readFileSync(join(folder, 'share/new'), 'utf8'), 'written\n');
  },
);

test(
  'krun_disable_implicit_init and krun_get_default_init: the init is the one that the caller lays over the root',
  options,
  async () => {
    const { stdout, stderr, code } = await enter(
      `must(k.krun_set_log_level(k.KRUN_LOG_LEVEL_OFF));
    must(k.krun_disable_implicit_init(ctx));
    must(k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true));
    const [data, len] = [{ value: null }, { value: 0 }];
    must(k.krun_get_default_init(data, len));
    must(k.krun_fs_add_overlay_file(ctx, k.KRUN_FS_ROOT_TAG, 'init.krun', data.value, len.value, 0o755, true));
    const config = new TextEncoder().encode(JSON.stringify({ args: ['/bin/sh', '-c', 'echo from the file of the caller; exit 5'] }));
    must(k.krun_fs_add_overlay_file(ctx, k.KRUN_FS_ROOT_TAG, '.krun_config.json', config, config.length, 0o644, true));
    must(k.krun_disable_implicit_console(ctx));
    must(k.krun_add_virtio_console_default(ctx, -1, 1, -1));`,
    );
    assert.deepEqual([stdout, stderr, code], ['from the file of the caller\n', '', 5]);
  },
);

test(
  'krun_add_disk, krun_add_disk3, krun_set_root_disk and krun_set_data_disk are disks in their order',
  options,
  async () => {
    for (const name of ['one', 'two']) writeFileSync(join(folder, name), name.padEnd(65536, '.'));
    const [one, two] = [JSON.stringify(join(folder, 'one')), JSON.stringify(join(folder, 'two'))];
    const script =
      'for d in vda vdb; do head -c 3 /dev/$d; cat /sys/block/$d/ro; done; printf NEW | dd of=/dev/vdb conv=fsync 2>/dev/null';
    const common = `must(k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true));
    must(k.krun_set_exec(ctx, '/bin/sh', ['-c', ${JSON.stringify(script)}], ['PATH=/usr/bin:/bin']));`;
    const added = await enter(
      `${common} must(k.krun_add_disk(ctx, 'a', ${one}, true));
    must(k.krun_add_disk3(ctx, 'b', ${two}, k.KRUN_DISK_FORMAT_RAW, false, false, k.KRUN_SYNC_FULL));`,
    );
    assert.deepEqual([added.stdout, added.stderr, added.code], ['one1\ntwo0\n', '', 0]);
    assert.equal(readFileSync(join(folder, 'two'), 'latin1').slice(0, 3), 'NEW');
    const old = await enter(
      `${common} must(k.krun_set_data_disk(ctx, ${one}));
    must(k.krun_set_root_disk(ctx, ${two}));`,
    );
    assert.deepEqual([old.stdout, old.stderr, old.code], ['NEW0\none0\n', '', 0]);
  },
);

test(
  'vsock ports of krun/capi: the guest reaches a unix socket of the host, and the host a port of the guest',
  options,
  async () => {
    const [service, reach] = [join(folder, 'service.sock'), join(folder, 'reach.sock')];
    const server = createServer((socket) => socket.end('from the host\n'));
    server.listen(service);
    await once(server, 'listening');
    const script = `import socket, sys
to_host = socket.socket(socket.AF_VSOCK); to_host.connect((2, 1234)); print(to_host.makefile().readline().strip())
server = socket.socket(socket.AF_VSOCK); server.bind((0xffffffff, 5000)); server.listen()
print("listening", flush=True)
peer, _ = server.accept(); peer.sendall(b"from the guest\\n"); peer.close()
print("tsi_hijack" in open("/proc/cmdline").read())`;
    const file = join(folder, 'vsock.mjs');
    writeFileSync(
      file,
      `import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const must = (value) => { if (value < 0) { console.error('failed', value); process.exit(99); } return value; };
    const ctx = must(k.krun_create_ctx());
    must(k.krun_set_vm_config(ctx, 1, 256));
    must(k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true));
    must(k.krun_disable_implicit_vsock(ctx));
    must(k.krun_add_vsock(ctx, 0));
    must(k.krun_add_vsock_port(ctx, 1234, ${JSON.stringify(service)}));
    must(k.krun_add_vsock_port2(ctx, 5000, ${JSON.stringify(reach)}, true));
    must(k.krun_set_exec(ctx, '/usr/bin/python3', ['-c', ${JSON.stringify(script)}], ['PATH=/usr/bin:/bin']));
    process.exit(-must(await k.krun_start_enter(ctx)));`,
    );
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 120_000 });
    let heard = Promise.resolve('');
    child.stdout.on('data', (chunk: Buffer) => {
      if (chunk.includes('listening')) heard = text(connect(reach));
    });
    const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
    server.close();
    assert.deepEqual([stdout, code], ['from the host\nlistening\nFalse\n', 0]);
    assert.equal(await heard, 'from the guest\n');
  },
);
