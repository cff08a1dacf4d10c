import { type Log, silentLog } from '../base/log.ts';
import type { MachineSpec } from '../config/spec.ts';
import type { ConsoleLink, OpenStreams } from '../host/console-backend.ts';
import type { ServicePorts } from '../host/vsock/service-ports.ts';
import type { Hypervisor, Vm } from '../hypervisor/contract.ts';
import { assemble } from '../machine/assemble.ts';
import type { Machine } from '../machine/machine.ts';
import { vmConfigFor } from '../machine/vm-config.ts';
import { atStage } from './errors.ts';
import type { KernelProgress } from './messages.ts';
import { openResources, type Resources } from './resources.ts';

/** What composing needs from around it. */
export interface Surroundings {
  readonly hypervisor: Hypervisor & { readonly tscKHz: number };
  /** How the bytes of the console with this index travel. */
  readonly wire: (console: number) => ConsoleLink;
  /** Ends the wait for a kernel. */
  readonly signal?: AbortSignal;
  readonly onFetch?: (progress: KernelProgress) => void;
  readonly log?: Log;
}

/** A machine that is ready to run. The kernel's file is not kept. */
export interface Composed {
  readonly machine: Machine;
  /** Consoles, then serial ports. */
  readonly consoles: readonly OpenStreams[];
  /** Absent: the machine has no vsock device. */
  readonly vsockPorts?: ServicePorts;
  /** As `uname -r` prints it. */
  readonly kernelRelease: string;
  /** Frees it and all it stands on; safe at any time after the machine's end. */
  close(): void;
}

/** The whole story: a specification, opened resources, a VM, a machine. What was opened is closed when a later step fails. */
export async function compose(
  spec: MachineSpec,
  { hypervisor, log = silentLog, ...around }: Surroundings,
): Promise<Composed> {
  const resources = await openResources(spec, { ...around, log, tscKHz: hypervisor.tscKHz });
  try {
    const config = await atStage('assemble', () => vmConfigFor(spec, resources.kernel));
    const vm = await atStage('engine', () => hypervisor.createVm(config));
    resources.balloon.attach(vm.memory);
    const machine = await atStage('assemble', () => assembleOrClose(spec, vm, inTurns(hypervisor, resources)));
    const { openConsoles, openSerials, openVsock, kernelRelease, close } = resources;
    openSerials.forEach((serial, index) => {
      const uart = machine.serials[index];
      if (uart !== undefined) serial.join(uart);
    });
    return {
      machine,
      consoles: [...openConsoles, ...openSerials],
      ...(openVsock !== undefined && { vsockPorts: openVsock.ports }),
      kernelRelease,
      close: () => {
        machine.close();
        close();
      },
    };
  } catch (error) {
    resources.close();
    throw error;
  }
}

/** vCPUs on threads of their own go on meanwhile: a device that they keep busy must leave turns to others. */
function inTurns({ kind }: Hypervisor, resources: Resources): Resources {
  return kind === 'kvm' ? { ...resources, schedule: (task) => void setImmediate(task) } : resources;
}

/** The machine closes its VM; when there is no machine, nobody else would. */
function assembleOrClose(spec: MachineSpec, vm: Vm, resources: Resources): Machine {
  try {
    return assemble(spec, vm, resources);
  } catch (error) {
    vm.close();
    throw error;
  }
}
