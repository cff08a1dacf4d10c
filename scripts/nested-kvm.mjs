// Runs krun on a real KVM where there is none: QEMU emulates a PC whose processor has AMD's virtualisation (TCG, no
// privileges, no /dev/kvm), a Debian cloud kernel in it offers /dev/kvm, and Node and the built package run there.
// Slow: some minutes. To be run by hand:  node scripts/nested-kvm.mjs [--keep] [--smp N] [checks|tests|COMMAND...]
//
// `checks` (the default) boots guests with the command line; `tests` runs the engine's own tests; anything else is a
// shell command that runs in the outer guest, in the package's folder. Needs Debian's qemu-system-x86, apt and dpkg-deb.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const work = process.env['KRUN_NESTED'] ?? join(tmpdir(), 'krun-nested');
const MEMORY_MIB = 2048;
const MODULES = ['virt/lib/irqbypass.ko', 'arch/x86/kvm/kvm.ko', 'arch/x86/kvm/kvm-amd.ko'];

/** What the emulated PC's kernel must be told: see docs/kvm.md. */
function outerWords() {
  const tscKHz = Math.round(
    Number(/^cpu MHz\s*: ([\d.]+)/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 0) * 1000,
  );
  return [
    'console=ttyS0 panic=-1 quiet nokaslr mitigations=off init_on_alloc=0',
    `tsc_early_khz=${tscKHz} lpj=${Math.round(tscKHz * 4)} no_timer_check tsc=reliable`,
    'cryptomgr.notests=1 initcall_blacklist=jent_mod_init,load_system_certificate_list,bpf_tcp_ca_kfunc_init,' +
      'bpf_dummy_struct_ops_init,trace_eval_init',
  ].join(' ');
}

const RUN = 'timeout 300 bin/krun.js run --engine kvm --root /';
/** Each line is a step of the outer guest; a step that fails is counted. */
const CHECKS = [
  'bin/krun.js doctor',
  `${RUN} -- /bin/busybox uname -a`,
  `${RUN} --root /tmp/root -- /bin/sh -c 'echo from the guest > /written; exit 7'; [ $? -eq 7 ] && grep -q "from the guest" /tmp/root/written`,
  `[ "$(${RUN} --cpus 2 -- /bin/grep -c ^processor /proc/cpuinfo)" = 2 ]`,
  `echo through the console | ${RUN} -- /bin/cat | grep -qx "through the console"`,
  `${RUN} -- /bin/sh -c 'kill -9 $$'; [ $? -eq 137 ]`,
  `${RUN} -- /bin/sleep 1 && node -e "
    import('krun').then(async ({ MicroVm }) => {
      const vm = await MicroVm.start({ root: '/', command: ['/bin/true'], engine: 'kvm', splitIrqchip: true });
      process.exitCode = (await vm.exited).code ?? 1;
    })"`,
];
const TESTS = [
  'timeout 1500 node --test dist/hypervisor/kvm/ dist/hypervisor/conformance.test.js dist/hypervisor/lockstep.test.js',
];

const { steps, keep, smp } = parse(process.argv.slice(2));
const kernel = fetchPackages();
buildTree();
packTree(steps);
process.exitCode = await boot(kernel);
if (!keep) rmSync(join(work, 'tree'), { recursive: true, force: true });

function parse(args) {
  const rest = args.filter((arg, i) => !arg.startsWith('--') && args[i - 1] !== '--smp');
  const count = args[args.indexOf('--smp') + 1];
  const [set = 'checks'] = rest;
  const chosen = set === 'checks' ? CHECKS : set === 'tests' ? TESTS : [rest.join(' ')];
  return { steps: chosen, keep: args.includes('--keep'), smp: args.includes('--smp') ? Number(count) : 1 };
}

/** @returns the folder of the unpacked kernel package */
function fetchPackages() {
  const packages = join(work, 'packages');
  mkdirSync(packages, { recursive: true });
  const unpacked = join(work, 'unpacked');
  if (!existsSync(unpacked)) {
    const found = execFileSync('apt-cache', ['depends', 'linux-image-6.12-cloud-amd64'], { encoding: 'utf8' });
    const image = /Depends: (linux-image-\S+)/.exec(found)?.[1];
    if (image === undefined) throw new Error('Cannot find a cloud kernel: apt knows no linux-image-6.12-cloud-amd64');
    execFileSync('apt-get', ['download', '-q', image, 'busybox-static'], { cwd: packages, stdio: 'inherit' });
    for (const name of readdirSync(packages)) execFileSync('dpkg-deb', ['-x', join(packages, name), unpacked]);
  }
  return unpacked;
}

/** The outer guest's files: busybox, Node with its libraries, the package, a guest kernel, KVM's modules. */
function buildTree() {
  const tree = join(work, 'tree');
  rmSync(tree, { recursive: true, force: true });
  for (const name of ['bin', 'dev', 'proc', 'sys', 'tmp', 'root', 'etc', 'run', 'modules', 'krun', 'usr/bin']) {
    mkdirSync(join(tree, name), { recursive: true });
  }
  const busybox = ['bin/busybox', 'usr/bin/busybox'].map((name) => join(work, 'unpacked', name)).find(existsSync);
  cpSync(busybox, join(tree, 'bin/busybox'));
  cpSync(process.execPath, join(tree, 'bin/node'));
  execFileSync('strip', [join(tree, 'bin/node')]);
  for (const library of execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)) {
    mkdirSync(join(tree, dirname(library[1])), { recursive: true });
    cpSync(library[1], join(tree, library[1]), { dereference: true });
  }
  for (const name of ['bin', 'dist', 'package.json', 'guest/init']) {
    cpSync(join(root, name), join(tree, 'krun', name), { recursive: true, filter: (path) => !path.endsWith('.map') });
  }
  copyDependencies(tree);
  copyModules(tree);
  cpSync(firmware(), join(tree, 'krun/libkrunfw.so.5'));
}

function copyDependencies(tree) {
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const name of [...Object.keys(dependencies), ...Object.keys(optionalDependencies), '@koromix/koffi-linux-x64']) {
    const from = join(root, 'node_modules', name);
    if (existsSync(from)) cpSync(from, join(tree, 'krun/node_modules', name), { recursive: true, dereference: true });
  }
}

function copyModules(tree) {
  const versions = join(
    work,
    'unpacked',
    existsSync(join(work, 'unpacked/lib/modules')) ? 'lib' : 'usr/lib',
    'modules',
  );
  const [version] = readdirSync(versions);
  for (const module of MODULES) {
    const path = join(versions, version, 'kernel', module);
    const bytes = existsSync(path)
      ? readFileSync(path)
      : execFileSync('xz', ['-dc', `${path}.xz`], { maxBuffer: 64 << 20 });
    writeFileSync(join(tree, 'modules', basename(module)), bytes);
  }
}

function firmware() {
  const script = "import('krun').then(async (k) => console.log((await k.describeKernel()).path ?? ''))";
  const path = execFileSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' }).trim();
  if (path === '') throw new Error('Cannot find a guest kernel: run `krun kernel fetch` first');
  return path;
}

function packTree(commands) {
  const tree = join(work, 'tree');
  commands.forEach((command, i) => {
    writeFileSync(join(tree, `krun/step-${i + 1}`), `${command}\n`);
  });
  const lines = commands.map((_, i) => `step ${i + 1}`);
  writeFileSync(
    join(tree, 'init'),
    `#!/bin/busybox sh
/bin/busybox mkdir -p /sbin /usr/sbin
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root KRUN_LOG=\${KRUN_LOG:-warn}
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /tmp/root/bin; mount -t tmpfs shm /dev/shm
ln -sf /bin/node /usr/bin/node
for module in irqbypass kvm kvm-amd; do insmod /modules/$module.ko; done
ip link set lo up
export KRUN_FIRMWARE=/krun/libkrunfw.so.5
for link in busybox sh; do cp /bin/busybox /tmp/root/bin/$link; done
cd /krun
failed=0
step() {
  start=$(cut -d' ' -f1 /proc/uptime)
  echo "NESTED step $1: $(cat step-$1)"
  sh step-$1 < /dev/null
  status=$?
  [ $status -eq 0 ] || failed=$((failed + 1))
  echo "NESTED step $1: status $status, from $start to $(cut -d' ' -f1 /proc/uptime) s"
}
echo "NESTED $(uname -sr), $(ls /dev/kvm), $(node --version)"
${lines.join('\n')}
echo "NESTED done, $failed failed"
poweroff -f
`,
  );
  chmodSync(join(tree, 'init'), 0o755);
  const names = execFileSync('find', ['.'], { cwd: tree, maxBuffer: 64 << 20 });
  const archive = execFileSync(join(tree, 'bin/busybox'), ['cpio', '-o', '-H', 'newc'], {
    cwd: tree,
    input: names,
    maxBuffer: 1 << 30,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  writeFileSync(join(work, 'initramfs'), archive);
}

/** @returns the exit status: 0 when all steps succeeded */
async function boot(unpacked) {
  const image = readdirSync(join(unpacked, 'boot')).find((name) => name.startsWith('vmlinuz'));
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg', '-M', 'pc', '-cpu', 'max', '-smp', String(smp), '-m', String(MEMORY_MIB)],
      ...['-kernel', join(unpacked, 'boot', image), '-initrd', join(work, 'initramfs'), '-append', outerWords()],
      ...['-nographic', '-no-reboot', '-nodefaults', '-serial', 'stdio'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let text = '';
  child.stdout.on('data', (chunk) => {
    process.stdout.write(chunk);
    text += chunk;
  });
  await new Promise((resolve) => child.once('exit', resolve));
  return /^NESTED done, 0 failed/m.test(text) ? 0 : 1;
}
