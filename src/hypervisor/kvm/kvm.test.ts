// What only KVM has, on any /dev/kvm that opens.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { GuestIo, VcpuStop } from '../contract.ts';
import { entryState, loadGuest, machineCode, MEMORY_BYTES, NotingIo } from '../guest-harness.ts';
import { ramOf, withDescriptors } from './descriptors-harness.ts';
import { createKvmHypervisor, type KvmHypervisor } from './index.ts';
import type { KvmVm } from './kvm-vm.ts';
import { applyEntryState } from './registers.ts';
import { KVM, KVM_EXIT, kvm_run } from './structs.ts';

let opened: KvmHypervisor | undefined;
let skip: string | false = false;
try {
  opened = createKvmHypervisor();
} catch (error) {
  skip = `no KVM: ${(error as Error).message}`;
}
const options = { timeout: 60_000, skip };

test('a doorbell that is bound takes its value away from the bus, and no other value', options, async () => {
  const io = new NotingIo();
  const rung: number[] = [];
  await withVm(1, async (vm) => {
    vm.bindDoorbell({ gpa: 0xd000_0050, value: 1 }, () => rung.push(1));
    loadGuest(vm, 'doorbells', 'long');
    assert.deepEqual(await runFirst(vm, io), { reason: 'halted' });
  });
  assert.deepEqual(io.notes, ['store d0000050 4 7']);
  assert.ok(rung.length >= 1 && rung.length <= 2, `${rung.length} events: two rings may become one`);
});

test('a second processor starts by INIT and SIPI, and the machine halts when both sleep', options, async () => {
  const io = new NotingIo();
  await withVm(2, async (vm) => {
    vm.memory.write(0x3000, machineCode('started'));
    loadGuest(vm, 'starter', 'protected');
    vm.vcpus[1]?.setEntryState(entryState('protected'));
    const stops = await Promise.all(vm.vcpus.map((vcpu) => vcpu.run(io)));
    assert.deepEqual(stops, [{ reason: 'halted' }, { reason: 'halted' }]);
  });
  assert.deepEqual(io.notes, ['out f5 1 2', 'out f4 1 1']);
});

test(
  'with a split irqchip the I/O APIC is ours: its entries are routes, and guests reach its registers',
  options,
  async () => {
    const split = createKvmHypervisor({ splitIrqchip: true });
    const vm = await split.createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
    try {
      loadGuest(vm, 'ioapic', 'protected');
      const io = new NotingIo();
      io.onNote = () => setTimeout(() => vm.irqLine(5).pulse(), 20);
      assert.deepEqual(await runFirst(vm, io), { reason: 'halted' });
      assert.deepEqual(io.notes, ['out f4 1 1', 'out f5 1 2']);
      assert.equal(vm.memory.readU32(0x2000), 0x17_0020);
    } finally {
      vm.close();
      await vm.gone;
      split.close();
    }
  },
);

test('a paused processor does not run, and goes on where it was', options, async () => {
  await withVm(1, async (vm) => {
    const counter = (): bigint => vm.memory.readU64(0x2000);
    loadGuest(vm, 'count', 'long');
    const over = runFirst(vm, new NotingIo());
    const vcpu = first(vm);
    for (let round = 0; round < 5; round++) {
      const before = counter();
      while (counter() === before) await delay(1);
      await vcpu.pause();
      const paused = counter();
      await delay(20);
      assert.equal(counter(), paused);
      vcpu.resume();
    }
    vcpu.stop();
    assert.deepEqual(await over, { reason: 'stopped' });
  });
});

test('a processor that sleeps in the kernel is paused and stopped too', options, async () => {
  await withVm(1, async (vm) => {
    loadGuest(vm, 'sleep', 'long');
    const over = runFirst(vm, new NotingIo());
    await delay(100);
    await first(vm).pause();
    first(vm).resume();
    first(vm).stop();
    assert.deepEqual(await over, { reason: 'stopped' });
  });
});

test('a guest that stops itself from within an access is over', options, async () => {
  await withVm(1, async (vm) => {
    loadGuest(vm, 'ports', 'real');
    const io = new NotingIo();
    io.onNote = () => first(vm).stop();
    assert.deepEqual(await runFirst(vm, io), { reason: 'stopped' });
    assert.equal(io.notes.length, 1);
  });
});

test('a VM is closed while its guest waits for an answer that never comes', options, async () => {
  const io = new NotingIo();
  await withVm(1, async (vm) => {
    loadGuest(vm, 'ports', 'real');
    void runFirst(vm, io);
    // This thread takes no events for a while: the guest starts, and waits for its first access.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  });
  assert.deepEqual(io.notes, []);
});

test('a device that throws ends the run with its error', options, async () => {
  await withVm(1, async (vm) => {
    loadGuest(vm, 'ports', 'real');
    const io = new NotingIo();
    io.onNote = () => {
      throw new Error('the device broke');
    };
    const stop = await runFirst(vm, io);
    assert.equal(stop.reason, 'error');
    assert.match((stop as { detail: string }).detail, /the device broke/);
  });
});

test('what KVM cannot run is an error with the reason and the registers', options, async () => {
  await withVm(1, async (vm) => {
    loadGuest(vm, 'lost', 'long');
    const stop = await runFirst(vm, new NotingIo());
    assert.equal(stop.reason, 'error');
    assert.match((stop as { detail: string }).detail, /KVM_EXIT_INTERNAL_ERROR: suberror 1/);
    assert.match((stop as { detail: string }).detail, /rip 00000000d0000000/);
  });
});

test('pages that the guest wrote since the last look are in the dirty log', options, async () => {
  const ram = ramOf(MEMORY_BYTES);
  withDescriptors(({ vm, vcpu }) => {
    const slot = { slot: 0, gpa: 0, length: MEMORY_BYTES, hva: ram.hva, logDirtyPages: true };
    vm.setUserMemoryRegion(slot);
    loadGuest({ memory: ram.memory, vcpus: [] }, 'dirty', 'long');
    applyEntryState(vcpu, entryState('long'));
    vm.getDirtyLog(0, MEMORY_BYTES / 4096);
    assert.equal(vcpu.run(), 0); // leaves at the out
    const dirty = vm.getDirtyLog(0, MEMORY_BYTES / 4096);
    const isDirty = (gpa: number): boolean => ((dirty[gpa >> 15] ?? 0) & (1 << ((gpa >> 12) & 7))) !== 0;
    assert.deepEqual([0x5000, 0x7000, 0x9000].map(isDirty), [true, true, false]);
  });
});

test('single steps are exits with the address of the next instruction', options, async () => {
  const ram = ramOf(MEMORY_BYTES);
  withDescriptors(({ vm, vcpu }) => {
    vm.setUserMemoryRegion({ slot: 0, gpa: 0, length: MEMORY_BYTES, hva: ram.hva });
    loadGuest({ memory: ram.memory, vcpus: [] }, 'count', 'long');
    applyEntryState(vcpu, entryState('long'));
    vcpu.setGuestDebug(KVM.GUESTDBG_ENABLE | KVM.GUESTDBG_SINGLESTEP);
    const mapping = vcpu.mapRun();
    const run = new DataView(mapping.buffer);
    const steps = Array.from({ length: 4 }, () => {
      assert.equal(vcpu.run(), 0);
      assert.equal(run.getUint32(kvm_run.exit_reason, true), KVM_EXIT.DEBUG);
      return run.getBigUint64(kvm_run.debug_arch_pc, true);
    });
    mapping.unmap();
    assert.deepEqual(steps, [0x1008n, 0x1000n, 0x1008n, 0x1000n]);
  });
});

test('VMs that come and go leave no descriptor, thread or mapping of KVM', {
  ...options,
  timeout: 60_000,
}, async () => {
  const cycle = async (i: number): Promise<void> => {
    await withVm(1 + (i % 2), async (vm) => {
      vm.irqLine(5).pulse();
      vm.bindDoorbell({ gpa: 0xd000_0050, value: 0 }, () => {});
      if (i % 3 === 0) return; // never runs
      loadGuest(vm, i % 3 === 1 ? 'sleep' : 'count', 'long');
      const over = runFirst(vm, new NotingIo());
      first(vm).stop();
      await over;
    });
  };
  await cycle(1);
  const before = inventory();
  const end = performance.now() + 20_000; // an emulated processor takes its time
  for (let i = 0; i < 12 && performance.now() < end; i++) await cycle(i);
  assert.deepEqual(inventory(), before);
});

test('a thousand VMs without a thread leave no descriptor and no mapping', options, () => {
  const before = inventory();
  const end = performance.now() + 20_000;
  for (let i = 0; i < 1000 && performance.now() < end; i++) {
    withDescriptors(({ vcpu }) => {
      if (i % 10 === 0) vcpu.mapRun().unmap();
    });
  }
  assert.deepEqual(inventory(), before);
});

test('a process whose guest sleeps or runs for ever ends when it wants to', options, async () => {
  const module = fileURLToPath(new URL('./index.js', import.meta.url));
  const harness = fileURLToPath(new URL('../guest-harness.js', import.meta.url));
  for (const guest of ['sleep', 'count']) {
    const program = `
      const { createKvmHypervisor } = await import('${module}');
      const { loadGuest, NotingIo } = await import('${harness}');
      const vm = await createKvmHypervisor().createVm({ memoryBytes: ${MEMORY_BYTES}, vcpus: 1 });
      loadGuest(vm, '${guest}', 'long');
      void vm.vcpus[0].run(new NotingIo());
      setTimeout(() => process.exit(7), 1500);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' });
    assert.equal(await new Promise((resolve) => child.once('exit', resolve)), 7);
  }
});

async function withVm(vcpus: number, body: (vm: KvmVm) => Promise<void>): Promise<void> {
  assert.ok(opened);
  const vm = await opened.createVm({ memoryBytes: MEMORY_BYTES, vcpus });
  try {
    await body(vm);
  } finally {
    vm.close();
    await vm.gone;
  }
}

function first(vm: KvmVm): KvmVm['vcpus'][number] {
  const [vcpu] = vm.vcpus;
  assert.ok(vcpu);
  return vcpu;
}

function runFirst(vm: KvmVm, io: GuestIo): Promise<VcpuStop> {
  return first(vm).run(io);
}

function inventory(): { descriptors: number; threads: number; mappings: string[] } {
  const descriptors = readdirSync('/proc/self/fd').length;
  const threads = readdirSync('/proc/self/task').length;
  const mappings = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return { descriptors, threads, mappings: mappings.filter((line) => line.includes('kvm')) };
}
