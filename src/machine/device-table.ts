import type { Log } from '../base/log.ts';
import type { IrqLine } from '../bus/bus.ts';
import { virtioBalloon } from '../devices/virtio-balloon/index.ts';
import { virtioBlk } from '../devices/virtio-blk/index.ts';
import { type ConsoleBackend, type ConsoleTurn, consoleTurns, virtioConsole } from '../devices/virtio-console/index.ts';
import { virtioFs } from '../devices/virtio-fs/index.ts';
import { type NetBackend, virtioNet } from '../devices/virtio-net/index.ts';
import { virtioRng } from '../devices/virtio-rng/index.ts';
import { type VsockBackend, virtioVsock } from '../devices/virtio-vsock/index.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { VirtioDevice } from '../virtio/device.ts';
import { createMmioTransport, type MmioTransport } from '../virtio/mmio-transport.ts';
import type { ConsoleWatch } from './console-watch.ts';
import type { PhaseClock } from './phases.ts';
import type { MachineResources } from './resources.ts';

/** What a device is put behind. */
export interface Seat {
  readonly memory: GuestMemory;
  readonly irq: IrqLine;
  readonly log: Log;
  readonly schedule: ((task: () => void) => void) | undefined;
  readonly interruptStatus: Int32Array | undefined;
}

/** One row: a device and its backend, ready to be seated. */
export interface DeviceRow {
  /** Unique in a machine; `hvc0` is the first console. */
  readonly id: string;
  /** What the kernel is told besides where the device is. */
  readonly words?: readonly string[];
  seat(seat: Seat): MmioTransport;
}

/** What sees devices at work. */
export interface Watchers {
  readonly consoles: ConsoleWatch;
  readonly phases: PhaseClock;
  /** A guest's init reported how its workload ended. */
  readonly onExitCode: (code: number) => void;
}

/**
 * The machine's virtio devices in libkrun's order, which decides windows and interrupts. Vhost-user devices would
 * stand between balloon and rng; gpu and input between consoles and shares; block, vsock and net at the end.
 */
export function deviceTable(resources: MachineResources, { consoles, phases, onExitCode }: Watchers): DeviceRow[] {
  const turns = consoleTurns(resources.consoles);
  return [
    row('balloon', virtioBalloon, resources.balloon),
    row('rng', virtioRng, resources.entropy),
    ...resources.consoles.map((backend, index) => consoleRow(index, consoles.wrap(backend), turns[index])),
    ...resources.shares.map((share, index) =>
      row(
        `fs${index}`,
        watchNotify(virtioFs, () => phases.mark('virtio-fs INIT')),
        { ...share, onExitCode },
      ),
    ),
    ...(resources.disks ?? []).map((backend, index) => row(`vd${index}`, virtioBlk, backend)),
    ...(resources.vsock === undefined ? [] : [vsockRow(resources.vsock)]),
    ...netRows(resources.interfaces ?? [], resources.dhcp === true),
  ];
}

function consoleRow(index: number, backend: ConsoleBackend, turn: ConsoleTurn | undefined): DeviceRow {
  return row(`hvc${index}`, virtioConsole, turn === undefined ? backend : { ...backend, turn });
}

/** Behind the last one, init is told to configure the first. */
function netRows(interfaces: readonly NetBackend[], dhcp: boolean): DeviceRow[] {
  return interfaces.map((backend, index) => {
    const words = dhcp && index === interfaces.length - 1 ? ['KRUN_DHCP=1'] : [];
    return { ...row(`eth${index}`, virtioNet, backend), words };
  });
}

/** The words make the guest's kernel hand its sockets to the host. */
function vsockRow(backend: VsockBackend): DeviceRow {
  const words = [...(backend.tsi?.inet ? ['tsi_hijack'] : []), ...(backend.tsi?.unix ? ['tsi_hijack_unix'] : [])];
  return { ...row('vsock0', virtioVsock, backend), words };
}

function row<Backend, const Sizes extends readonly number[]>(
  id: string,
  device: VirtioDevice<Backend, Sizes>,
  backend: Backend,
): DeviceRow {
  return {
    id,
    seat: ({ schedule, ...seat }) => {
      const options = { device, backend, ...seat };
      return createMmioTransport(schedule === undefined ? options : { ...options, schedule });
    },
  };
}

/** The same device, with a call before each of the driver's notifications; the first request of a share is INIT. */
function watchNotify<Backend, const Sizes extends readonly number[]>(
  device: VirtioDevice<Backend, Sizes>,
  call: () => void,
): VirtioDevice<Backend, Sizes> {
  return {
    ...device,
    activate: (activation, backend) => {
      const running = device.activate(activation, backend);
      return {
        onNotify: (queueIndex) => {
          call();
          running.onNotify(queueIndex);
        },
        close: () => running.close?.(),
        save: () => running.save?.(),
      };
    },
  };
}
