import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../base/log.ts';
import type { MachineSpec } from '../config/spec.ts';
import type { ConsoleBackend } from '../devices/virtio-console/index.ts';
import type { EntryState, GuestIo, Vcpu, VcpuStop, Vm } from '../hypervisor/contract.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { assemble } from './assemble.ts';
import { ConsoleWatch } from './console-watch.ts';
import { slotAt } from './memory-map.ts';
import { PhaseClock } from './phases.ts';
import type { MachineResources } from './resources.ts';
import { vmConfigFor } from './vm-config.ts';

const MIB = 1048576;

const kernel = { bytes: Uint8Array.of(0x90, 0xf4), loadAddress: 0x200000, entry: 0x200001 };

const spec: Pick<MachineSpec, 'vm' | 'kernel'> = {
  vm: { memoryBytes: 4 * MIB, vcpus: 1 },
  kernel: { extraArguments: [] },
};

type Script = (io: GuestIo, stopped: Promise<void>) => Promise<VcpuStop>;

/** A VM whose one CPU does what the test says. */
function fakeVm(script: Script, { memoryBytes, vcpus } = vmConfigFor(spec, kernel)) {
  const entries: EntryState[] = [];
  const irqs: string[] = [];
  let closed = 0;
  const makeVcpu = (): Vcpu => {
    let stop = (): void => {};
    const stopped = new Promise<void>((resolve) => {
      stop = resolve;
    });
    return { setEntryState: (state) => void entries.push(state), run: (io) => script(io, stopped), stop: () => stop() };
  };
  const vm: Vm = {
    memory: new GuestMemory(new ArrayBuffer(memoryBytes), [{ gpa: 0, length: memoryBytes, offset: 0 }]),
    vcpus: Array.from({ length: vcpus }, makeVcpu),
    irqLine: (gsi) => ({ pulse: () => irqs.push(`pulse ${gsi}`), set: (level) => irqs.push(`${gsi} ${level}`) }),
    close: () => {
      closed++;
    },
  };
  return { vm, entries, irqs, closed: () => closed };
}

/** A file system that is never asked anything, because no driver here gets that far. */
const unusedFileSystem = { destroy() {} } as unknown as MachineResources['shares'][number]['fileSystem'];

const noOutput: ConsoleBackend = { ports: [{ name: '', console: true }] };

function resources(change: Partial<MachineResources> = {}): MachineResources {
  const time = { ns: 0 };
  return {
    kernel,
    clock: { nowNs: () => (time.ns += 1e6), wallMs: () => Date.parse('2027-01-02T03:04:05Z') },
    log: silentLog,
    entropy: { fill: (into) => void into.fill(7) },
    balloon: { discard: () => {} },
    consoles: [noOutput],
    shares: [{ tag: '/dev/root', fileSystem: unusedFileSystem }],
    tscKHz: 1_000_000,
    ...change,
  };
}

const untilStopped: Script = async (_io, stopped) => {
  await stopped;
  return { reason: 'stopped' };
};

test('a hypervisor is asked for the kernel, what lies below it, and what the user wants', () => {
  assert.deepEqual(vmConfigFor(spec, kernel), { memoryBytes: 0x200000 + 0x1000 + 4 * MIB, vcpus: 1 });
  const config = (memoryBytes: number, vcpus: number) => () => vmConfigFor({ vm: { memoryBytes, vcpus } }, kernel);
  assert.throws(config(0xd0000000, 1), { code: 'ERR_MEMORY_SIZE' });
  assert.throws(config(4 * MIB, 0), { code: 'ERR_VCPU_COUNT' });
  assert.throws(config(4 * MIB, 255), { code: 'ERR_VCPU_COUNT' });
});

test('the default machine has balloon, rng, console and root share at 0xd0000000.. with interrupts 5 to 8', () => {
  const machine = assemble(spec, fakeVm(untilStopped).vm, resources());
  assert.deepEqual(
    machine.devices.map(({ id, slot }) => [id, slot.gpa, slot.irq]),
    [
      ['balloon', 0xd0000000, 5],
      ['rng', 0xd0001000, 6],
      ['hvc0', 0xd0002000, 7],
      ['fs0', 0xd0003000, 8],
    ],
  );
});

test('consoles come before shares, each in their own order', () => {
  const share = { tag: 'a', fileSystem: unusedFileSystem };
  const machine = assemble(
    spec,
    fakeVm(untilStopped).vm,
    resources({ consoles: [noOutput, noOutput], shares: [share, share] }),
  );
  assert.deepEqual(
    machine.devices.map(({ id }) => id),
    ['balloon', 'rng', 'hvc0', 'hvc1', 'fs0', 'fs1'],
  );
});

test('disks come behind shares: vda, vdb and on', () => {
  const disk = {
    length: 512,
    readOnly: true,
    volatileCache: false,
    id: new Uint8Array(0),
    discardAlignment: 512,
    read: () => undefined,
    write: () => undefined,
    flush: () => undefined,
    discard: () => undefined,
    writeZeroes: () => undefined,
  };
  const machine = assemble(spec, fakeVm(untilStopped).vm, resources({ disks: [disk, disk] }));
  assert.deepEqual(
    machine.devices.map(({ id }) => id),
    ['balloon', 'rng', 'hvc0', 'fs0', 'vd0', 'vd1'],
  );
});

test('eleven devices have interrupts, a twelfth is refused', () => {
  assert.deepEqual(slotAt(10), { gpa: 0xd000a000, irq: 15 });
  assert.throws(() => slotAt(11), { code: 'ERR_DEVICE_COUNT' });
});

test('the command line is default words, tuning, user words, init words, devices, arguments', () => {
  const words = resources({ initWords: { environment: ['KRUN_INIT=/bin/sh'], arguments: ['"-c"', '"exit 7"'] } });
  const withWords = { ...spec, kernel: { tuning: ['no_timer_check'], extraArguments: ['debug'], console: 'hvc1' } };
  const { vm } = fakeVm(untilStopped);
  const machine = assemble(withWords, vm, words);
  const expected =
    'reboot=k panic=-1 panic_print=0 nomodule console=hvc1 rootfstype=virtiofs rw quiet no-kvmapf init=/init.krun ' +
    'no_timer_check debug KRUN_INIT=/bin/sh virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6 ' +
    'virtio_mmio.device=4K@0xd0002000:7 virtio_mmio.device=4K@0xd0003000:8 -- "-c" "exit 7"';
  assert.equal(machine.commandLine, expected);
  assert.equal(String.fromCharCode(...vm.memory.bytes(0x20000, expected.length)), expected);
  assert.equal(vm.memory.readU32(0x7238), expected.length + 1);
});

test('without a list of its own a machine tunes the boot by its TSC frequency, with an empty one it does not', () => {
  const line = (tuning: { tuning?: readonly string[] }) =>
    assemble({ ...spec, kernel: { ...tuning, extraArguments: [] } }, fakeVm(untilStopped).vm, resources()).commandLine;
  assert.match(line({}), / initcall_blacklist=jent_mod_init,cmos_init tsc_early_khz=1000000 lpj=4000000 /);
  assert.doesNotMatch(line({ tuning: [] }), /tsc_early_khz/);
});

test('kernel, tables and entry state are in place when a machine is assembled', () => {
  const { vm, entries } = fakeVm(untilStopped);
  assemble(spec, vm, resources());
  assert.equal(vm.memory.readU16(0x200000), 0xf490);
  assert.equal(vm.memory.readU32(0x9fc00), 0x5f504d5f); // "_MP_"
  assert.equal(vm.memory.readU64(0x9000), 0xa003n);
  assert.equal(vm.memory.readU64(0x508), 0x00af9b000000ffffn);
  assert.equal(vm.memory.readU64(0x72d0 + 28), BigInt(0x201000 + 4 * MIB - 0x100000), 'e820 RAM from 1 MiB');
  assert.deepEqual(
    entries.map(({ rip, rsi }) => [rip, rsi]),
    [[0x200001, 0x7000]],
  );
});

test('a vCPU finds virtio windows, CMOS and keyboard controller, and all ones where PCI would be', async () => {
  const seen: number[] = [];
  const { vm } = fakeVm(async (io) => {
    for (const slot of [0, 1, 2, 3]) seen.push(io.mmioRead(0xd0000008 + slot * 0x1000, 4));
    seen.push(io.mmioRead(0xd0004000, 4), io.mmioRead(0xd0003104, 4));
    io.portWrite(0x70, 1, 0x04);
    seen.push(io.portRead(0x71, 1), io.portRead(0x64, 1));
    io.portWrite(0xcf8, 4, 0x80000000);
    io.portWrite(0x80, 1, 0);
    seen.push(io.portRead(0xcf8, 4), io.portRead(0xcfc, 2), io.portRead(0x80, 1));
    seen.push(io.portRead(0x3f8 + 5, 1), io.portRead(0x2f8 + 5, 1));
    return { reason: 'halted' };
  });
  await assemble(spec, vm, resources()).run();
  assert.deepEqual(seen.slice(0, 5), [5, 4, 3, 26, 0xffffffff]);
  assert.equal(seen[5], 0x6f6f722f, 'the tag /dev/root from its fifth byte');
  assert.deepEqual(seen.slice(6, 8), [0x03, 0x10]);
  assert.deepEqual(seen.slice(8, 11), [0xffffffff, 0xffff, 0xff]);
  assert.deepEqual(seen.slice(11), [0xff, 0x60], 'no COM1 without a backend, COM2 always');
});

test('COM1 sends what the guest writes to its backend', async () => {
  const sent: number[] = [];
  const { vm } = fakeVm(async (io) => {
    io.portWrite(0x3f8, 1, 0x41);
    return { reason: 'halted' };
  });
  await assemble(spec, vm, resources({ serials: [{ write: (byte) => sent.push(byte) > 0 }] })).run();
  assert.deepEqual(sent, [0x41]);
});

test('the keyboard reset ends the machine with reason reset and stops the vCPU', async () => {
  const { vm } = fakeVm(async (io, stopped) => {
    io.portWrite(0x64, 1, 0xfe);
    await stopped;
    return { reason: 'stopped' };
  });
  const end = await assemble(spec, vm, resources()).run();
  assert.deepEqual(end, { reason: 'reset', exitCode: undefined, panicked: false, detail: undefined });
});

test('a triple fault, a final halt and an engine failure are told apart', async () => {
  for (const stop of [{ reason: 'shutdown' }, { reason: 'halted' }, { reason: 'error', detail: 'why' }] as const) {
    const end = await assemble(spec, fakeVm(async () => stop).vm, resources()).run();
    assert.equal(end.reason, stop.reason);
    assert.equal(end.detail, stop.reason === 'error' ? 'why' : undefined);
  }
});

test('an engine that throws ends the machine with reason error, it does not reject', async () => {
  const { vm } = fakeVm(() => Promise.reject(new Error('broken')));
  const end = await assemble(spec, vm, resources()).run();
  assert.equal(end.reason, 'error');
  assert.match(end.detail ?? '', /broken/);
});

test('when one vCPU ends the others are stopped', async () => {
  let first = true;
  const { vm } = fakeVm(
    async (_io, stopped) => {
      if (first) {
        first = false;
        return { reason: 'shutdown' };
      }
      await stopped;
      return { reason: 'stopped' };
    },
    { memoryBytes: 0x201000 + 4 * MIB, vcpus: 3 },
  );
  assert.equal((await assemble(spec, vm, resources()).run()).reason, 'shutdown');
});

test('stop ends a running machine, and one that has not begun', async () => {
  const running = assemble(spec, fakeVm(untilStopped).vm, resources());
  const end = running.run();
  running.stop();
  assert.equal((await end).reason, 'stopped');
  const unused = assemble(spec, fakeVm(() => Promise.reject(new Error('ran'))).vm, resources());
  unused.stop();
  assert.equal((await unused.run()).reason, 'stopped');
});

test('closing a machine closes its VM once', () => {
  const { vm, closed } = fakeVm(untilStopped);
  const machine = assemble(spec, vm, resources());
  machine.close();
  machine.close();
  assert.equal(closed(), 1);
});

test('a machine restored from a saved one answers the guest alike; other devices are refused', async () => {
  const { vm } = fakeVm(async (io) => {
    io.portWrite(0x70, 1, 0x09);
    io.portWrite(0x64, 1, 0x60);
    io.mmioWrite(0xd0001070, 4, 1);
    io.mmioWrite(0xd0001070, 4, 3);
    return { reason: 'halted' };
  });
  const machine = assemble(spec, vm, resources());
  await machine.run();
  const state = structuredClone(machine.save());
  const seen: number[] = [];
  const other = fakeVm(async (io) => {
    seen.push(io.portRead(0x71, 1), io.mmioRead(0xd0001070, 4));
    io.portWrite(0x60, 1, 0x42);
    io.portWrite(0x64, 1, 0x20);
    seen.push(io.portRead(0x60, 1));
    return { reason: 'halted' };
  });
  const restored = assemble(spec, other.vm, resources());
  restored.restore(state);
  await restored.run();
  assert.deepEqual(seen, [0x27, 3, 0x42]);
  const smaller = assemble(spec, fakeVm(untilStopped).vm, resources({ shares: [] }));
  assert.throws(() => smaller.restore(state), RangeError);
});

test('phases are marked once each and told in order', async () => {
  const machine = assemble(spec, fakeVm(async () => ({ reason: 'halted' })).vm, resources());
  await machine.run();
  assert.deepEqual(
    machine.phases.lines().map((line) => line.split(':')[0]),
    ['created', 'kernel loaded', 'first instruction', 'ended'],
  );
  let now = 0;
  const clock = new PhaseClock(() => now);
  clock.mark('created');
  now = 5e6;
  clock.mark('ended');
  now = 9e6;
  clock.mark('ended');
  assert.equal(clock.sinceCreatedMs('ended'), 5);
  assert.equal(clock.sinceCreatedMs('first user output'), undefined);
});

const bytes = (text: string) => new TextEncoder().encode(text);

function watched(take = (given: number) => given) {
  let outputs = 0;
  const watch = new ConsoleWatch(() => outputs++);
  const output = { write: (data: Uint8Array) => take(data.length), onWritable() {} };
  const { ports } = watch.wrap({
    ports: [
      { name: '', console: true, output },
      { name: 'krun-stdout', console: false, output },
    ],
  });
  return { watch, print: ports[0]!.output!, pipe: ports[1]!.output!, outputs: () => outputs };
}

test('a kernel panic is noticed however its text is cut, and only on a console', () => {
  const { watch, print, pipe } = watched();
  pipe.write(bytes('Kernel panic - not syncing: VFS'));
  print.write(bytes('KKernel pKernel panic - not '));
  assert.equal(watch.panicked, false);
  print.write(bytes('syncing: Attempted to kill init!'));
  assert.equal(watch.panicked, true);
});

test('the console tail is what was taken, at most the last 64 KiB, in order', () => {
  const half = watched((given) => given - 1);
  assert.equal(half.print.write(bytes('abc')), 2);
  half.print.write(bytes('cd'));
  assert.equal(new TextDecoder().decode(half.watch.tail()), 'abc');
  const { watch, print } = watched();
  print.write(new Uint8Array(65536).fill(0x2e));
  print.write(bytes('the end'));
  assert.equal(watch.tail().length, 65536);
  assert.equal(new TextDecoder().decode(watch.tail()).slice(-9), '..the end');
});

test('output on any port counts as user output', () => {
  const { pipe, outputs } = watched();
  pipe.write(bytes('x'));
  assert.equal(outputs(), 1);
});
