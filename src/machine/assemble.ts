import { assert } from '../base/assert.ts';
import { writeBootParams } from '../boot/boot-params.ts';
import { writeCommandLine } from '../boot/command-line.ts';
import { linux64EntryState } from '../boot/entry-state.ts';
import { writeDescriptorTables } from '../boot/gdt.ts';
import { loadKernel } from '../boot/kernel-image.ts';
import { computeMemoryLayout } from '../boot/memory-layout.ts';
import { writeMpTable } from '../boot/mp-table.ts';
import { writePageTables } from '../boot/page-tables.ts';
import { Bus } from '../bus/bus.ts';
import type { MachineSpec } from '../config/spec.ts';
import type { Vm } from '../hypervisor/contract.ts';
import { WINDOW_BYTES } from '../virtio/registers.ts';
import { ConsoleWatch } from './console-watch.ts';
import { type DeviceRow, deviceTable } from './device-table.ts';
import { guestIo } from './guest-io.ts';
import { kernelCommandLine } from './kernel-words.ts';
import { LegacyDevices } from './legacy-devices.ts';
import { Machine, type SeatedDevice } from './machine.ts';
import { slotAt } from './memory-map.ts';
import { PhaseClock } from './phases.ts';
import { Outcome } from './outcome.ts';
import type { MachineResources } from './resources.ts';

/**
 * Builds a complete machine in guest memory and on buses, ready to run. No I/O, no waiting.
 *
 * @param vm made with what `vmConfigFor` said; the machine closes it
 * @throws {BootError} ERR_KERNEL_IMAGE, ERR_MEMORY_SIZE, ERR_COMMAND_LINE   @throws {MachineError} ERR_DEVICE_COUNT
 */
export function assemble(spec: Pick<MachineSpec, 'vm' | 'kernel'>, vm: Vm, resources: MachineResources): Machine {
  const { kernel, clock } = resources;
  const layout = computeMemoryLayout(spec.vm.memoryBytes, kernel);
  assert(vm.memory.contains(0, layout.lowBytes), 'guest memory as vmConfigFor says');
  assert(layout.highBytes === 0, 'no memory above 4 GiB yet');
  const phases = new PhaseClock(() => clock.nowNs());
  phases.mark('created');

  const outcome = new Outcome(vm.vcpus);
  const consoles = new ConsoleWatch(() => phases.mark('first user output'));
  const ports = new Bus();
  const mmio = new Bus();
  const legacy = new LegacyDevices(ports, {
    vm,
    clock,
    memory: layout,
    serials: resources.serials ?? [],
    onReset: () => outcome.reset(),
  });
  const watchers = { consoles, phases, onExitCode: (code: number) => outcome.report(code) };
  const devices = seatDevices(deviceTable(resources, watchers), vm, mmio, resources);

  const commandLine = kernelCommandLine(spec.kernel, resources, devices);
  loadKernel(vm.memory, kernel);
  writeDescriptorTables(vm.memory);
  writePageTables(vm.memory);
  writeMpTable(vm.memory, vm.vcpus.length);
  writeCommandLine(vm.memory, commandLine);
  writeBootParams(vm.memory, { layout, commandLineLength: commandLine.length });
  for (const vcpu of vm.vcpus) vcpu.setEntryState(linux64EntryState(kernel.entry));
  phases.mark('kernel loaded');

  return new Machine({ vm, io: guestIo(ports, mmio), legacy, devices, outcome, consoles, phases, commandLine });
}

/** Gives each device its window and interrupt, in table order. */
function seatDevices(rows: readonly DeviceRow[], vm: Vm, mmio: Bus, resources: MachineResources): SeatedDevice[] {
  return rows.map((row, index) => {
    const slot = slotAt(index);
    const transport = row.seat({
      memory: vm.memory,
      irq: vm.irqLine(slot.irq),
      log: resources.log,
      schedule: resources.schedule,
    });
    mmio.attach(slot.gpa, WINDOW_BYTES, transport);
    return { id: row.id, slot, transport, words: row.words ?? [] };
  });
}
