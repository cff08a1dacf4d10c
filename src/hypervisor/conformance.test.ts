// One suite for the contract, run over every engine that opens here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { softHost } from '../host/soft-host.ts';
import type { Hypervisor, Vm } from './contract.ts';
import { loadGuest, type Mode, type GUESTS, MEMORY_BYTES, NotingIo } from './guest-harness.ts';
import { createKvmHypervisor, type KvmHypervisor } from './kvm/index.ts';
import { createSoftHypervisor } from './soft/index.ts';

let kvm: KvmHypervisor | undefined;
let whyNot = '';
try {
  kvm = createKvmHypervisor();
} catch (error) {
  whyNot = `no KVM: ${(error as Error).message}`;
}

const ENGINES: readonly (readonly [string, Hypervisor | undefined])[] = [
  ['soft', createSoftHypervisor(softHost)],
  ['kvm', kvm],
];

for (const [name, hypervisor] of ENGINES) {
  const check = (title: string, body: (hypervisor: Hypervisor) => Promise<void>): void => {
    test(`${name}: ${title}`, { timeout: 20_000, skip: hypervisor === undefined && whyNot }, async () => {
      if (hypervisor !== undefined) await body(hypervisor);
    });
  };

  check('port accesses keep their size, order and values, string instructions included', async (engine) => {
    const io = new NotingIo([0x5a, 0xbeef, 0x8765_4321, 0x1111, 0x2222, 0x3333]);
    const vm = await finished(engine, 'ports', 'real', io);
    assert.deepEqual(io.notes, [
      'out 3f8 1 41',
      'out 3f8 2 1234',
      'out 3f8 4 deadbeef',
      'in 3f8 1',
      'in 3f8 2',
      'in 3f8 4',
      ...[...'hello'].map((char) => `out 3f8 1 ${char.charCodeAt(0).toString(16)}`),
      'in 3f8 2',
      'in 3f8 2',
      'in 3f8 2',
    ]);
    assert.equal(vm.memory.readU8(0x2000), 0x5a);
    assert.equal(vm.memory.readU16(0x2002), 0xbeef);
    assert.equal(vm.memory.readU32(0x2004), 0x8765_4321);
    assert.equal(vm.memory.readU64(0x2010) & 0xffff_ffff_ffffn, 0x3333_2222_1111n);
  });

  check('memory-mapped accesses keep their size and order; eight bytes come as two of four', async (engine) => {
    const io = new NotingIo([0xab, 0xcdef, 0x8888_9999, 0x1234_5678, 0x9abc_def0]);
    const vm = await finished(engine, 'mmio', 'long', io);
    assert.deepEqual(io.notes, [
      'store d0000001 1 11',
      'store d0000002 2 2233',
      'store d0000004 4 44556677',
      'store d0000008 4 55667788',
      'store d000000c 4 11223344',
      'load d0000001 1',
      'load d0000002 2',
      'load d0000004 4',
      'load d0000008 4',
      'load d000000c 4',
    ]);
    assert.equal(vm.memory.readU64(0x2000), 0xabn);
    assert.equal(vm.memory.readU64(0x2008), 0xcdefn);
    assert.equal(vm.memory.readU64(0x2010), 0x8888_9999n);
    assert.equal(vm.memory.readU64(0x2018), 0x9abc_def0_1234_5678n);
  });

  check('an interrupt line wakes a processor that sleeps, by pulse and by level', async (engine) => {
    const vm = await engine.createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
    loadGuest(vm, 'interrupts', 'real');
    const line = vm.irqLine(5);
    const io = new NotingIo();
    io.onNote = (note) => {
      // Not from inside the access: the guest sleeps by then, most likely.
      if (note === 'out f5 1 2') setTimeout(() => line.set(true), 5);
      else if (!note.startsWith('out f5 1 3')) setTimeout(() => line.pulse(), 5);
    };
    const stop = await vm.vcpus[0]?.run(io);
    vm.close();
    assert.deepEqual(stop, { reason: 'halted' });
    assert.deepEqual(
      io.notes.filter((note) => note.startsWith('out f')),
      ['out f4 1 1', 'out f5 1 1', 'out f5 1 2', 'out f5 1 3'],
    );
  });

  check('a triple fault is a shutdown', async (engine) => {
    assert.deepEqual(await end(engine, 'tripleFault', 'long'), { reason: 'shutdown' });
  });

  check('sleeping with interrupts off is the end', async (engine) => {
    assert.deepEqual(await end(engine, 'started', 'real'), { reason: 'halted' });
  });

  for (const guest of ['count', 'sleep'] as const) {
    check(`a guest that would ${guest} for ever stops when it is told to`, async (engine) => {
      const vm = await engine.createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
      loadGuest(vm, guest, 'long');
      const over = vm.vcpus[0]?.run(new NotingIo());
      while (guest === 'count' && vm.memory.readU64(0x2000) === 0n) await delay(1);
      if (guest === 'sleep') await delay(200);
      vm.vcpus[0]?.stop();
      assert.deepEqual(await over, { reason: 'stopped' });
      vm.close();
    });
  }

  check('a processor that is stopped before it runs never runs', async (engine) => {
    const vm = await engine.createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
    loadGuest(vm, 'count', 'long');
    vm.vcpus[0]?.stop();
    assert.deepEqual(await vm.vcpus[0]?.run(new NotingIo()), { reason: 'stopped' });
    assert.equal(vm.memory.readU64(0x2000), 0n);
    vm.close();
  });
}

async function finished(engine: Hypervisor, name: keyof typeof GUESTS, mode: Mode, io: NotingIo): Promise<Vm> {
  const vm = await engine.createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
  loadGuest(vm, name, mode);
  assert.deepEqual(await vm.vcpus[0]?.run(io), { reason: 'halted' });
  vm.close();
  return vm;
}

async function end(engine: Hypervisor, name: keyof typeof GUESTS, mode: Mode): Promise<unknown> {
  const vm = await engine.createVm({ memoryBytes: MEMORY_BYTES, vcpus: 1 });
  loadGuest(vm, name, mode);
  const stop = await vm.vcpus[0]?.run(new NotingIo());
  vm.close();
  return stop;
}
