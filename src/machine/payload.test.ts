import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineSpec } from '../config/spec.ts';
import type { EntryState, Vm } from '../hypervisor/contract.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { assemble } from './assemble.ts';
import type { MachineResources, Payload } from './resources.ts';
import { vmConfigFor } from './vm-config.ts';

const MIB = 1048576;
const KERNEL: Payload = { bytes: Uint8Array.of(0xf4), loadAddress: 0x100000, entry: 0x100000, counted: true };

function machineOf(
  payload: Payload,
  change: Partial<MachineResources> = {},
  kernel: MachineSpec['kernel'] = { extraArguments: [] },
) {
  const spec = { vm: { memoryBytes: 8 * MIB, vcpus: 1 }, kernel };
  const { memoryBytes, topBytes = 0 } = vmConfigFor(spec, payload);
  const regions = [
    { gpa: 0, length: memoryBytes, offset: 0 },
    { gpa: 2 ** 32 - topBytes, length: topBytes, offset: memoryBytes },
  ];
  const entries: EntryState[] = [];
  let io: Parameters<Vm['vcpus'][number]['run']>[0] | undefined;
  const vm: Vm = {
    memory: new GuestMemory(new ArrayBuffer(memoryBytes + topBytes), regions),
    vcpus: [
      {
        setEntryState: (state) => void entries.push(state),
        run: async (given) => {
          io = given;
          return { reason: 'halted' };
        },
        stop() {},
      },
    ],
    irqLine: () => ({ pulse() {}, set() {} }),
    close() {},
  };
  const logged: string[] = [];
  const machine = assemble(spec, vm, {
    kernel: payload,
    clock: { nowNs: () => 0, wallMs: () => 0 },
    log: (level, message) => logged.push(`${level} ${message}`),
    entropy: { fill() {} },
    balloon: { discard() {} },
    consoles: [],
    shares: [],
    tscKHz: 1_000_000,
    ...change,
  });
  return { machine, vm, entries, logged, io: () => io };
}

test('firmware starts at the reset vector, finds a serial port, and prints to the log', async () => {
  const { machine, vm, entries, logged, io } = machineOf({ firmware: new Uint8Array(8192).fill(0x90) });
  assert.deepEqual(vmConfigFor({ vm: { memoryBytes: 8 * MIB, vcpus: 1 } }, { firmware: new Uint8Array(5000) }), {
    memoryBytes: 8 * MIB,
    vcpus: 1,
    topBytes: 8192,
  });
  assert.deepEqual([entries, machine.commandLine, vm.memory.readU8(2 ** 32 - 1)], [[], '', 0x90]);
  await machine.run();
  assert.equal(io()?.portRead(0x402, 1), 0xe9);
  for (const byte of Buffer.from('hello\n')) io()?.portWrite(0x402, 1, byte);
  assert.deepEqual(logged, ['info firmware: hello']);
  assert.equal(io()?.portRead(0x3f8 + 5, 1), 0x60, 'the transmitter of COM1 is idle');
});

test('under a kernel there is no debug port, and no serial port that nobody asked for', async () => {
  const { machine, io } = machineOf(KERNEL);
  await machine.run();
  assert.deepEqual([io()?.portRead(0x402, 1), io()?.portRead(0x3fd, 1)], [0xff, 0xff]);
});

test("a command line of the user's replaces default words and tuning; devices, init's words and -- stay", () => {
  const file = { path: '/k', format: 'elf', commandLine: 'console=ttyS0 a=b' } as const;
  const { machine } = machineOf(
    KERNEL,
    { initWords: { environment: ['KRUN_INIT=/x'] } },
    { file, extraArguments: ['more'] },
  );
  assert.match(machine.commandLine, /^console=ttyS0 a=b more KRUN_INIT=\/x virtio_mmio\.device=4K@0xd0000000:5 .*--$/);
  const replaced = machineOf(KERNEL, {}, { file, extraArguments: [], console: 'hvc1' });
  assert.match(replaced.machine.commandLine, /^console=hvc1 a=b virtio_mmio/);
  const plain = machineOf(KERNEL, {}, { file: { path: '/k', format: 'elf' }, extraArguments: [] });
  assert.match(plain.machine.commandLine, /^reboot=k panic=-1 .*lpj=/);
});

test('ACPI lists the windows of the devices that are there, and connected serial ports only', () => {
  const { vm, machine } = machineOf(KERNEL, { serials: [{ write: () => true }] });
  const tables = String.fromCharCode(...vm.memory.bytes(0xe0000, 0x2000));
  assert.equal(tables.split('LNRO0005').length - 1, machine.devices.length);
  assert.equal(tables.split('PNP0501').length - 1, 1);
  assert.equal(String.fromCharCode(...machineOf(KERNEL).vm.memory.bytes(0xe0000, 0x2000)).includes('PNP0501'), false);
});
