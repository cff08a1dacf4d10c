// Microseconds per exit: a C loop, the same loop over FFI, and the engine with its thread per vCPU; on one vCPU each,
// interleaved. Needs /dev/kvm, koffi and a C compiler.   node bench/kvm/exits.mjs [EXITS]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { entryState, ENTRY, MEMORY_BYTES } from '../../dist/hypervisor/guest-harness.js';
import { openDescriptors, ramOf } from '../../dist/hypervisor/kvm/descriptors-harness.js';
import { serveExit } from '../../dist/hypervisor/kvm/exits.js';
import { createKvmHypervisor } from '../../dist/hypervisor/kvm/index.js';
import { applyEntryState } from '../../dist/hypervisor/kvm/registers.js';

const EXITS = Number(process.argv[2] ?? 20_000);
const ROUNDS = 5;
/** out f4, al; jmp back */
const GUEST = [0xe6, 0xf4, 0xeb, 0xfc];

const koffi = createRequire(import.meta.url)('koffi');
const folder = mkdtempSync(join(tmpdir(), 'krun-bench-'));
const library = join(folder, 'exits.so');
execFileSync('cc', [
  '-O2',
  '-shared',
  '-fPIC',
  '-o',
  library,
  join(dirname(fileURLToPath(import.meta.url)), 'exits.c'),
]);
const serve = koffi.load(library).func('int serve(int, void *, int, void *)');

const results = { 'C loop': [], 'FFI and dispatch, one thread': [], 'engine, thread per vCPU': [] };
const sameThread = prepareSameThread();
const engine = await prepareEngine();
for (let round = 0; round < ROUNDS; round++) {
  results['C loop'].push(sameThread.c());
  results['FFI and dispatch, one thread'].push(sameThread.ffi());
  results['engine, thread per vCPU'].push(await engine.run());
}
await engine.close();
sameThread.close();
rmSync(folder, { recursive: true });
const best = (values, kind) => Math.min(...values.map((value) => value[kind]));
for (const [name, values] of Object.entries(results)) {
  const columns = ['wall', 'cpu'].map((kind) => {
    const value = best(values, kind);
    return `${kind} ${value.toFixed(2).padStart(7)} us ${(value / best(results['C loop'], kind)).toFixed(2).padStart(5)} x`;
  });
  console.log(`${name.padEnd(30)} ${columns.join('   ')}`);
}

/** One vCPU without a thread of its own: C and JavaScript take turns on the same descriptor. */
function prepareSameThread() {
  const { vm, vcpu, close } = openDescriptors();
  const ram = ramOf(MEMORY_BYTES);
  vm.setUserMemoryRegion({ slot: 0, gpa: 0, length: MEMORY_BYTES, hva: ram.hva });
  ram.memory.write(ENTRY, Uint8Array.from(GUEST));
  applyEntryState(vcpu, entryState('protected'));
  const mapping = vcpu.mapRun();
  const sum = new Uint32Array(1);
  let total = 0;
  const io = { portWrite: (_port, _size, value) => (total += value) };
  const context = { run: new DataView(mapping.buffer), io, endOfInterrupt() {}, describe: () => '' };
  const c = () => {
    if (serve(vcpu.fd, new Uint8Array(mapping.buffer), EXITS, sum) !== EXITS)
      throw new Error('Cannot measure: no exit');
  };
  const ffi = () => {
    for (let i = 0; i < EXITS; i++) {
      if (vcpu.run() !== 0 || serveExit(context) !== undefined) throw new Error('Cannot measure: no exit');
    }
  };
  return {
    c: () => timed(c),
    ffi: () => timed(ffi),
    close: () => {
      mapping.unmap();
      close();
      ram.discard();
    },
  };
}

async function prepareEngine() {
  const hypervisor = createKvmHypervisor();
  const vm = await hypervisor.createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
  vm.memory.write(ENTRY, Uint8Array.from(GUEST));
  const [vcpu] = vm.vcpus;
  vcpu.setEntryState(entryState('protected'));
  let left = 0;
  let done = () => {};
  const io = {
    portWrite() {
      if (--left !== 0) return;
      void vcpu.pause();
      done();
    },
  };
  await vcpu.pause();
  void vcpu.run(io);
  await vcpu.pause();
  return {
    run: async () => {
      const over = new Promise((resolve) => {
        done = resolve;
      });
      left = EXITS;
      const stop = startWatch();
      vcpu.resume();
      await over;
      return stop();
    },
    close: async () => {
      vm.close();
      await vm.gone;
      hypervisor.close();
    },
  };
}

function timed(work) {
  const stop = startWatch();
  work();
  return stop();
}

/** Wall time, and CPU time of all threads, per exit: on a busy machine only the second says anything. */
function startWatch() {
  const [start, used] = [performance.now(), process.cpuUsage()];
  return () => {
    const { user, system } = process.cpuUsage(used);
    return { wall: ((performance.now() - start) * 1000) / EXITS, cpu: (user + system) / EXITS };
  };
}
