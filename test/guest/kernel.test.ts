import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { describeKernelFile, type Exit, MicroVm, type MicroVmOptions } from 'krun';
import { runGuest } from '../boot/guest.ts';
import { type DebianKernel, debianKernel, QUICK } from './kernel-parts.ts';

const found = debianKernel();
const skip = typeof found === 'string' && found;
const options = { skip, timeout: 180_000 };
const debian = found as DebianKernel;

const folder = mkdtempSync(join(tmpdir(), 'krun-kernels-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const VIRTIO = ['virtio_ring', 'virtio', 'virtio_mmio'].map((name) => `drivers/virtio/${name}.ko`);
const CONSOLE = 'drivers/char/virtio_console.ko';
const SHARES = ['fs/fuse/fuse.ko', 'fs/fuse/virtiofs.ko'];

/** What an initramfs does first; modules are loaded in the order given. */
const PROLOG = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
`;

const insmod = (modules: readonly string[]): string =>
  modules.map((path) => `$b insmod /${path.replace(/.*\//, '')} || echo no module ${path}\n`).join('');

/** Boots something on the serial port alone and collects what it says there. */
async function serial(machine: MicroVmOptions): Promise<Exit & { readonly printed: string }> {
  await using vm = await MicroVm.start({
    memoryMiB: 256,
    timeoutMs: 150_000,
    console: { input: 'none', output: 'none', error: 'none' },
    serials: [{}],
    ...machine,
  });
  const [port] = vm.serials;
  assert(port !== undefined);
  const [printed, exit] = await Promise.all([port.output.text(), vm.exited]);
  return { ...exit, printed };
}

/** Prints its release, and resets. */
let tiny = '';
before(() => {
  if (skip !== false) return;
  tiny = file(
    'tiny.cpio',
    debian.initramfs(`${PROLOG}echo "release $($b uname -r) $($b cat /proc/cmdline)"\n$b reboot -f\n`),
  );
});

test(
  'a Debian cloud kernel finds virtio-mmio by ACPI, mounts its root from virtio-fs and runs a command there',
  options,
  async () => {
    const modules = [...VIRTIO, CONSOLE, ...SHARES];
    const init = `${PROLOG}${insmod(modules)}$b mount -t virtiofs /dev/root /newroot\nexec $b switch_root /newroot /init.krun\n`;
    const { reason, code, stdout } = await runGuest({
      kernel: {
        path: debian.path,
        initramfs: file('virtiofs.cpio', debian.initramfs(init, modules)),
        cmdline: `console=hvc0 ${QUICK}`,
      },
      oemStrings: ['owner=test', 'äöü and spaces'],
      engine: 'soft',
      command: [
        '/bin/sh',
        '-c',
        'uname -r; echo /sys/bus/acpi/devices/LNRO0005*; cat /sys/firmware/dmi/entries/11-0/raw; exit 7',
      ],
    });
    assert.deepEqual([reason, code], ['exited', 7]);
    const [release, devices, structure = ''] = stdout.split('\n');
    assert.equal(release, debian.release);
    assert.match(devices ?? '', /LNRO0005:00.*LNRO0005:03/);
    assert.deepEqual([structure.codePointAt(0), structure.codePointAt(4)], [11, 2], 'type, and number of strings');
    assert.equal(structure.slice(5), 'owner=test\0äöü and spaces\0\0');
  },
);

test('an ext4 root on virtio-blk boots under the kernel out of a zstd image', options, async (t) => {
  const disk = file('root.img', new Uint8Array(0));
  try {
    execFileSync('zstd', ['-q', '-1', '-c', '-o', join(folder, 'image.zst')], { input: debian.vmlinux() });
    const tree = join(folder, 'tree');
    execFileSync('/bin/sh', [
      '-c',
      `mkdir -p ${tree}/bin && cp /bin/busybox ${tree}/bin/ && echo from-the-disk >${tree}/word`,
    ]);
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', tree, disk, '16M'], { stdio: 'ignore' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return t.skip('no zstd or no e2fsprogs');
    throw error;
  }
  const modules = [...VIRTIO, 'drivers/block/virtio_blk.ko'];
  const init = `${PROLOG}${insmod(modules)}$b mount -t ext4 /dev/vda /newroot\necho "word $($b cat /newroot/word)"
$b chroot /newroot /bin/busybox sh -c '/bin/busybox echo written >/answer; /bin/busybox sync'
$b umount /newroot\n$b reboot -f\n`;
  const { reason, printed } = await serial({
    kernel: {
      path: join(folder, 'image.zst'),
      format: 'image-zstd',
      initramfs: file('blk.cpio', debian.initramfs(init, modules)),
      cmdline: `console=ttyS0 ${QUICK}`,
    },
    disks: [{ path: disk }],
  });
  assert.equal(reason, 'reset', printed);
  assert.match(printed, /^word from-the-disk\r$/m);
  assert.equal(
    String(execFileSync('debugfs', ['-R', 'cat /answer', disk], { stdio: ['ignore', 'pipe', 'ignore'] })),
    'written\n',
  );
});

const FORMATS = [
  ['elf', 'an ELF file by its PVH entry point', () => debian.vmlinux()],
  ['image-gz', 'a gzip image', () => gzipSync(debian.vmlinux(), { level: 1 })],
] as const;

for (const [format, what, make] of FORMATS) {
  test(`a kernel boots from ${what}, with the command line it was given`, options, async () => {
    const { reason, printed } = await serial({
      kernel: { path: file(format, make()), format, initramfs: tiny, cmdline: `console=ttyS0 ${QUICK} mark=${format}` },
    });
    assert.equal(reason, 'reset', printed);
    assert.match(printed, new RegExp(`^release ${debian.release} .* mark=${format} .*--`, 'm'));
  });
}

test(
  'krun/capi boots a bzip2 image with initramfs and command line onto a serial console, and ends with 0',
  options,
  (t) => {
    const image = join(folder, 'image.bz2');
    try {
      writeFileSync(image, execFileSync('bzip2', ['-1', '-c'], { input: debian.vmlinux(), maxBuffer: 2 ** 27 }));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return t.skip('no bzip2');
      throw error;
    }
    const program = file(
      'enter.mjs',
      `import * as k from ${JSON.stringify(import.meta.resolve('krun/capi'))};
    const ctx = k.krun_create_ctx();
    const results = [
      k.krun_set_vm_config(ctx, 1, 256),
      k.krun_disable_implicit_console(ctx),
      k.krun_add_serial_console_default(ctx, -1, 1),
      k.krun_set_kernel(ctx, ${JSON.stringify(image)}, k.KRUN_KERNEL_FORMAT_IMAGE_BZ2, ${JSON.stringify(tiny)}, ${JSON.stringify(`console=ttyS0 ${QUICK}`)}),
      k.krun_set_smbios_oem_strings(ctx, ['from=capi', null]),
    ];
    if (results.some((result) => result !== 0)) throw new Error(results.join());
    process.exitCode = 100 - (await k.krun_start_enter(ctx));`,
    );
    const printed = String(execFileSync(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] }));
    assert.match(printed, new RegExp(`^release ${debian.release} `, 'm'));
  },
);

test('a raw kernel runs at 2 GiB', { timeout: 60_000 }, async () => {
  // mov dx, 0x3f8; lea rsi, [rip+text]; next: lodsb; out dx, al; test al, al; jnz next; mov al, 0xfe; out 0x64, al; hlt
  const code = [0x66, 0xba, 0xf8, 0x03, 0x48, 0x8d, 0x35, 0x0b, 0, 0, 0, 0xac, 0xee, 0x84, 0xc0, 0x75, 0xfa];
  const end = [0xb0, 0xfe, 0xe6, 0x64, 0xf4];
  const path = file('raw', Buffer.concat([Buffer.from([...code, ...end]), Buffer.from('raw\0')]));
  const { reason, printed } = await serial({ memoryMiB: 2304, kernel: { path, format: 'raw' } });
  assert.deepEqual([reason, printed], ['reset', 'raw\0']);
});

test(
  'a guest too small for kernel and initramfs, a file that is no kernel, and one that is absent are typed errors',
  options,
  async () => {
    const start = (machine: MicroVmOptions): Promise<MicroVm> => MicroVm.start({ memoryMiB: 96, ...machine });
    const large = file('large.cpio', new Uint8Array(64 << 20));
    await assert.rejects(start({ kernel: { path: debian.path, initramfs: large } }), { code: 'ERR_MEMORY_SIZE' });
    await assert.rejects(start({ kernel: { path: large } }), { code: 'ERR_KERNEL_IMAGE', stage: 'resources' });
    await assert.rejects(start({ kernel: { path: debian.path, format: 'image-bz2' } }), { code: 'ERR_KERNEL_IMAGE' });
    await assert.rejects(start({ kernel: { path: join(folder, 'absent') } }), { code: 'ERR_KERNEL_NOT_FOUND' });
  },
);

test("a report says what a kernel's file is", options, async () => {
  const { description, release, loadAddress, memoryBytes } = await describeKernelFile(debian.path);
  assert.deepEqual([description, release, loadAddress], ['bzImage (LZ4)', debian.release, 0x1000000]);
  assert(memoryBytes > 16 << 20);
});
