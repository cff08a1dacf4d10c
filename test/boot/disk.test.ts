import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { describeKernel } from 'krun';
import { runGuest, skipReason } from './guest.ts';

const noKernel = await skipReason();
const folder = mkdtempSync(join(tmpdir(), 'krun-disks-'));
after(() => rmSync(folder, { recursive: true }));

/** Skips by name where a guest cannot boot, or where the host, whose programs the guest uses, lacks some. */
function needs(...programs: string[]) {
  const missing = programs.filter((program) => spawnSync('/bin/sh', ['-c', `command -v ${program}`]).status !== 0);
  return { skip: noKernel || (missing.length > 0 && `no ${missing.join(', ')} here`), timeout: 300_000 };
}

const at = (name: string): string => join(folder, name);
const host = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

function rawDisk(name: string, mebibytes: number): string {
  writeFileSync(at(name), '');
  truncateSync(at(name), mebibytes * 1024 * 1024);
  return at(name);
}

function qcow2Disk(name: string, mebibytes: number): string {
  host('qemu-img', 'create', '-q', '-f', 'qcow2', at(name), `${mebibytes}M`);
  return at(name);
}

const shell = (script: string): readonly string[] => ['/bin/sh', '-ec', script];
/** The guest's root is the host's, read-only: what it mounts on has to be its own. */
const OWN_TMP = 'mount -t tmpfs none /tmp; mkdir /tmp/m;';

test('disks appear in order with size, serial and mode, and a read-only one refuses writes', needs(), async () => {
  const [first, second] = [rawDisk('first.raw', 3), rawDisk('second.raw', 5)];
  const { stdout, code } = await runGuest({
    command: shell(`cd /sys/block; cat vda/size vda/ro vda/serial; echo; cat vdb/size vdb/ro
      dd if=/dev/zero of=/dev/vdb bs=512 count=1 2>/dev/null || echo refused`),
    disks: [
      { path: first, serial: 'serial number one' },
      { path: second, readOnly: true },
    ],
  });
  assert.deepEqual([stdout, code], ['6144\n0\nserial number one\n10240\n1\nrefused\n', 0]);
});

for (const format of ['raw', 'qcow2'] as const) {
  const name = `a file system on a ${format} disk survives mkfs, writes, unmounting and the end of the machine`;
  test(name, needs('mkfs.ext4', 'e2fsck', 'debugfs', 'qemu-img'), async () => {
    const path = format === 'raw' ? rawDisk('fs.raw', 64) : qcow2Disk('fs.qcow2', 64);
    const { stdout, code } = await runGuest({
      command: shell(`${OWN_TMP} mkfs.ext4 -q /dev/vda; mount /dev/vda /tmp/m
        dd if=/dev/urandom of=/tmp/m/random bs=64k count=40 2>/dev/null; cp /bin/sh /tmp/m/sh; rm /tmp/m/sh
        fstrim /tmp/m; cp /bin/ls /tmp/m/ls; cd /tmp/m; sha256sum random ls; cd /
        umount /tmp/m; e2fsck -fn /dev/vda >/dev/null 2>&1`),
      disks: [{ path, format }],
    });
    assert.equal(code, 0);
    if (format === 'qcow2') {
      assert.match(host('qemu-img', 'check', path), /No errors were found/);
      host('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', path, at('fs.raw'));
    }
    host('e2fsck', '-fn', at('fs.raw'));
    for (const line of stdout.trimEnd().split('\n')) {
      const [digest, file] = line.split(/ +/);
      host('debugfs', '-R', `dump ${file} ${at('dumped')}`, at('fs.raw'));
      assert.equal(host('sha256sum', at('dumped')).split(' ')[0], digest, file);
    }
  });
}

test('fio verifies what it wrote', needs('fio', 'qemu-img'), async () => {
  const path = qcow2Disk('fio.qcow2', 32);
  const { code, stdout, stderr } = await runGuest({
    command: shell(`fio --name=v --filename=/dev/vda --size=16M --rw=randwrite --bsrange=512-64k --iodepth=16 \
      --ioengine=libaio --direct=1 --verify=crc32c --do_verify=1 --fsync=64`),
    disks: [{ path, format: 'qcow2' }],
  });
  assert.equal(code, 0, stdout + stderr);
  assert.match(host('qemu-img', 'check', path), /No errors were found/);
});

/** A file system with a shell and what it needs, all from the host. */
function smallSystem(image: string, make: (folder: string) => void): string {
  const root = at('system');
  rmSync(root, { recursive: true, force: true });
  const programs = ['sh', 'cat', 'uname'].map((program) => host('/bin/sh', '-c', `command -v ${program}`).trim());
  const libraries = programs.flatMap((program) => [...host('ldd', program).matchAll(/(\/\S+)/g)].map(([path]) => path));
  for (const path of new Set([...programs.map((program) => program.replace(/^\/usr/, '')), ...libraries])) {
    mkdirSync(dirname(root + path), { recursive: true });
    copyFileSync(path, root + path);
  }
  for (const directory of ['dev', 'proc', 'sys', 'tmp', 'etc']) mkdirSync(`${root}/${directory}`);
  writeFileSync(`${root}/etc/name`, 'on a disk\n');
  make(root);
  return at(image);
}

test('the root is on an ext4 disk, with options, and is clean afterwards', needs('mkfs.ext4', 'debugfs'), async () => {
  const path = smallSystem('root.ext4', (root) => host('mkfs.ext4', '-q', '-d', root, at('root.ext4'), '48M'));
  const { stdout, stderr, code } = await runGuest({
    command: shell(
      'cat /etc/name; while read dev dir type options; do [ $dir = / ] && echo $dev $type $options; done </proc/mounts; echo new >/file',
    ),
    disks: [{ path }],
    rootDisk: { device: '/dev/vda', fileSystem: 'ext4', options: 'noatime' },
  });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^on a disk\n.* ext4 rw,noatime/);
  host('e2fsck', '-fn', path);
  assert.equal(host('debugfs', '-R', 'cat file', path), 'new\n');
});

test('krun_set_root_disk_remount finds the type of the root itself', needs('mkfs.ext4'), async () => {
  const path = smallSystem('auto.ext4', (root) => host('mkfs.ext4', '-q', '-d', root, at('auto.ext4'), '48M'));
  const program = at('enter.mjs');
  writeFileSync(
    program,
    `import * as k from ${JSON.stringify(new URL('../../dist/capi/index.js', import.meta.url).href)};
     const ctx = k.krun_create_ctx();
     k.krun_set_vm_config(ctx, 1, 256);
     k.krun_add_disk2(ctx, 'root', ${JSON.stringify(path)}, k.KRUN_DISK_FORMAT_RAW, false);
     console.log(k.krun_set_root_disk_remount(ctx, '/dev/vda', 'auto', null));
     k.krun_set_exec(ctx, '/bin/sh', ['-c', 'cat /etc/name; exit 9'], ['PATH=/bin']);
     console.log('not reached', await k.krun_start_enter(ctx));`,
  );
  const { stdout, stderr, status } = spawnSync(process.execPath, [program], { encoding: 'utf8', timeout: 120_000 });
  assert.deepEqual([stdout, status], ['0\non a disk\n', 9], stderr);
});

const asRoot = process.getuid?.() === 0 ? needs('qemu-img') : { skip: 'only root can become somebody else' };

test('disks are opened before the process takes another identity', asRoot, async () => {
  const raw = rawDisk('private.raw', 1);
  host('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', at('private.qcow2'));
  chmodSync(folder, 0o700);
  // The kernel is read as the other user.
  const open = mkdtempSync(join(tmpdir(), 'krun-kernel-'));
  after(() => rmSync(open, { recursive: true }));
  chmodSync(open, 0o755);
  const { path: kernel = '' } = await describeKernel();
  copyFileSync(kernel, join(open, 'libkrunfw.so.5'));
  chmodSync(join(open, 'libkrunfw.so.5'), 0o644);
  const program = at('other.mjs');
  const source = `import * as k from ${JSON.stringify(new URL('../../dist/capi/index.js', import.meta.url).href)};
    const ctx = k.krun_create_ctx();
    k.krun_set_vm_config(ctx, 1, 256);
    k.krun_add_virtiofs3(ctx, k.KRUN_FS_ROOT_TAG, '/', 0, true);
    k.krun_add_disk2(ctx, 'a', ${JSON.stringify(at('private.qcow2'))}, k.KRUN_DISK_FORMAT_QCOW2, false);
    k.krun_setgid(ctx, 65534);
    k.krun_setuid(ctx, 65534);
    k.krun_set_exec(ctx, '/bin/sh', ['-c', 'echo written | dd of=/dev/vda conv=fsync 2>/dev/null'], ['PATH=/bin']);
    console.log('not reached', await k.krun_start_enter(ctx));`;
  writeFileSync(program, source);
  const env = { ...process.env, KRUN_FIRMWARE: join(open, 'libkrunfw.so.5') };
  const { stdout, stderr, status } = spawnSync(process.execPath, [program], {
    encoding: 'utf8',
    timeout: 120_000,
    env,
  });
  assert.deepEqual([stdout, status], ['', 0], stderr);
  host('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', at('private.qcow2'), at('seen.raw'));
  assert.equal(readFileSync(at('seen.raw')).subarray(0, 8).toString(), 'written\n');
});

test('the root is on an erofs disk', needs('mkfs.erofs'), async () => {
  const path = smallSystem('root.erofs', (root) => host('mkfs.erofs', at('root.erofs'), root));
  const { stdout, code } = await runGuest({
    command: shell('cat /etc/name'),
    disks: [{ path, readOnly: true }],
    rootDisk: { fileSystem: 'erofs', options: 'ro' },
  });
  assert.deepEqual([stdout, code], ['on a disk\n', 0]);
});

test('a killed VMM leaves a sound image with all that the guest had synced', needs('qemu-img'), async () => {
  const krun = fileURLToPath(new URL('../../bin/krun.js', import.meta.url));
  const path = qcow2Disk('killed.qcow2', 64);
  const script = `n=0; while :; do n=$((n+1)); yes $n | head -c 300000 | dd of=/dev/vda bs=300000 iflag=fullblock \
    oflag=seek_bytes seek=$((n*300032)) conv=fsync,notrunc 2>/dev/null; echo $n; done`;
  const vmm = spawn(process.execPath, [krun, 'run', '--disk', `${path}:qcow2`, '--', ...shell(script)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = text(vmm.stdout);
  for (let lines = 0; lines < 20; ) {
    const [chunk] = (await once(vmm.stdout, 'data')) as [Buffer];
    lines += chunk.toString().split('\n').length - 1;
  }
  vmm.kill('SIGKILL');
  await once(vmm, 'close');
  const synced = Number((await output).trimEnd().split('\n').at(-1));
  const check = spawnSync('qemu-img', ['check', '--output=json', path], { encoding: 'utf8' });
  assert.equal((JSON.parse(check.stdout) as { corruptions?: number }).corruptions, undefined, check.stderr);
  host('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', path, at('killed.raw'));
  const contents = readFileSync(at('killed.raw'));
  assert.ok(synced >= 19);
  for (let n = 1; n <= synced; n++) {
    const expected = Buffer.from(`${n}\n`.repeat(300_000)).subarray(0, 300_000);
    assert.ok(contents.subarray(n * 300_032, n * 300_032 + 300_000).equals(expected), `block ${n} of ${synced}`);
  }
});
