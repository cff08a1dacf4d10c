import { assert } from '../base/assert.ts';
import { loadFirmware } from '../boot/firmware-image.ts';
import { loadLinux } from '../boot/load-linux.ts';
import type { MemoryLayout } from '../boot/memory-layout.ts';
import { Bus } from '../bus/bus.ts';
import type { MachineSpec } from '../config/spec.ts';
import { DEBUG_PORT, DebugPort } from '../devices/legacy/debug-port.ts';
import type { Vm } from '../hypervisor/contract.ts';
import { MMIO, WINDOW_BYTES } from '../virtio/registers.ts';
import { ConsoleWatch } from './console-watch.ts';
import { type DeviceRow, deviceTable } from './device-table.ts';
import { guestIo } from './guest-io.ts';
import { kernelCommandLine } from './kernel-words.ts';
import { LegacyDevices } from './legacy-devices.ts';
import { Machine, type SeatedDevice } from './machine.ts';
import { slotAt } from './memory-map.ts';
import { memoryLayoutFor } from './vm-config.ts';
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
  const { clock } = resources;
  const layout = memoryLayoutFor(spec.vm.memoryBytes, resources.kernel);
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
    serials: serialsOf(resources),
    onReset: () => outcome.reset(),
  });
  const watchers = { consoles, phases, onExitCode: (code: number) => outcome.report(code) };
  const devices = seatDevices(deviceTable(resources, watchers), vm, mmio, resources);

  const commandLine = loadPayload({ spec, vm, ports, resources, layout, devices, legacy });
  phases.mark('kernel loaded');

  return new Machine({ vm, io: guestIo(ports, mmio), legacy, devices, outcome, consoles, phases, commandLine });
}

/** Firmware finds a serial port in any case, as in libkrun. */
function serialsOf({ serials = [], kernel }: MachineResources): NonNullable<MachineResources['serials']> {
  return serials.length === 0 && 'firmware' in kernel ? [{ write: () => true }] : serials;
}

interface Loading {
  readonly spec: Pick<MachineSpec, 'vm' | 'kernel'>;
  readonly vm: Vm;
  readonly ports: Bus;
  readonly resources: MachineResources;
  readonly layout: MemoryLayout;
  readonly devices: readonly SeatedDevice[];
  readonly legacy: LegacyDevices;
}

/** Puts into memory what runs first, and the CPUs where it begins. @returns the kernel's command line */
function loadPayload({ spec, vm, ports, resources, layout, devices, legacy }: Loading): string {
  const { kernel, initramfs, oemStrings = [] } = resources;
  if ('firmware' in kernel) {
    loadFirmware(vm.memory, kernel);
    ports.attach(DEBUG_PORT, 1, new DebugPort((line) => resources.log('info', `firmware: ${line}`)));
    return '';
  }
  const commandLine = kernelCommandLine(spec.kernel, { ...resources, kernel }, devices);
  const virtio = devices.map(({ slot }) => ({ ...slot, bytes: WINDOW_BYTES }));
  const acpi = { vcpus: vm.vcpus.length, virtio, serials: legacy.connectedSerials };
  const entry = loadLinux(vm.memory, { kernel, layout, commandLine, initramfs, acpi, oemStrings });
  for (const vcpu of vm.vcpus) vcpu.setEntryState(entry);
  return commandLine;
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
      interruptStatus: vm.bindStatus?.({
        status: slot.gpa + MMIO.InterruptStatus.at,
        acknowledge: slot.gpa + MMIO.InterruptACK.at,
      }),
    });
    mmio.attach(slot.gpa, WINDOW_BYTES, transport);
    return { id: row.id, slot, transport, words: row.words ?? [] };
  });
}
