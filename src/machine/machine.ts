import { assert } from '../base/assert.ts';
import type { Uart } from '../devices/legacy/uart.ts';
import type { GuestIo, Vcpu, Vm } from '../hypervisor/contract.ts';
import type { MmioTransport } from '../virtio/mmio-transport.ts';
import type { TransportState } from '../virtio/transport-state.ts';
import { bindDoorbells } from './doorbells.ts';
import type { ConsoleWatch } from './console-watch.ts';
import type { LegacyDevices, LegacyState } from './legacy-devices.ts';
import type { Slot } from './memory-map.ts';
import type { MachineEnd, Outcome } from './outcome.ts';
import type { PhaseClock } from './phases.ts';

/** A virtio device in its place. */
export interface SeatedDevice {
  readonly id: string;
  readonly slot: Slot;
  readonly transport: MmioTransport;
  /** On the kernel's command line, behind the device's place. */
  readonly words: readonly string[];
}

export interface MachineParts {
  readonly vm: Vm;
  readonly io: GuestIo;
  readonly legacy: LegacyDevices;
  readonly devices: readonly SeatedDevice[];
  readonly outcome: Outcome;
  readonly consoles: ConsoleWatch;
  readonly phases: PhaseClock;
  readonly commandLine: string;
}

/** Devices of a machine as plain data; guest memory and vCPUs are saved by their hypervisor. */
export interface MachineState {
  readonly version: 1;
  readonly legacy: LegacyState;
  readonly devices: readonly { readonly id: string; readonly state: TransportState }[];
}

/** A virtual machine, from its first instruction to its end. `assemble` makes it. */
export class Machine {
  readonly #parts: MachineParts;
  #started = false;
  #closed = false;

  constructor(parts: MachineParts) {
    this.#parts = parts;
    bindDoorbells(parts.vm, parts.devices);
  }

  /** What the kernel was told. */
  get commandLine(): string {
    return this.#parts.commandLine;
  }

  get devices(): readonly SeatedDevice[] {
    return this.#parts.devices;
  }

  /** Serial ports that exist, to feed them input. */
  get serials(): readonly Uart[] {
    return this.#parts.legacy.serials;
  }

  get phases(): PhaseClock {
    return this.#parts.phases;
  }

  /** What the guest's init reported so far. */
  get exitCode(): number | undefined {
    return this.#parts.outcome.exitCode;
  }

  /** The last 64 KiB that consoles printed. */
  consoleTail(): Uint8Array {
    return this.#parts.consoles.tail();
  }

  /**
   * Runs until the guest ends or `stop` is called; the host's event loop turns meanwhile. Once per machine. Never
   * rejects: an engine that fails is an end with reason `error`.
   */
  async run(): Promise<MachineEnd> {
    assert(!this.#started && !this.#closed, 'a machine runs once');
    this.#started = true;
    const { vm, phases, outcome, consoles } = this.#parts;
    if (!outcome.over) {
      phases.mark('first instruction');
      await Promise.all(vm.vcpus.map((vcpu) => this.#runVcpu(vcpu)));
    }
    phases.mark('ended');
    return outcome.end(consoles.panicked);
  }

  /** Makes `run` end soon with reason `stopped`, unless it ends otherwise. */
  stop(): void {
    this.#parts.outcome.stop();
  }

  /** Lets go of device backends and of the VM. Call when `run` is over, or when it never began. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { transport } of this.#parts.devices) transport.reset();
    this.#parts.vm.close();
  }

  save(): MachineState {
    const { legacy, devices } = this.#parts;
    return {
      version: 1,
      legacy: legacy.save(),
      devices: devices.map(({ id, transport }) => ({ id, state: transport.save() })),
    };
  }

  /** @throws {RangeError} when the state is of a machine with other devices */
  restore(state: MachineState): void {
    const { legacy, devices } = this.#parts;
    const ids = (list: readonly { readonly id: string }[]): string => list.map(({ id }) => id).join(' ');
    if (state.version !== 1 || ids(state.devices) !== ids(devices)) {
      throw new RangeError(
        `Cannot restore machine: state has devices ${ids(state.devices)}, machine has ${ids(devices)}`,
      );
    }
    legacy.restore(state.legacy);
    state.devices.forEach(({ state: saved }, index) => {
      devices[index]?.transport.restore(saved);
    });
  }

  async #runVcpu(vcpu: Vcpu): Promise<void> {
    const { io, outcome } = this.#parts;
    try {
      outcome.vcpuStopped(await vcpu.run(io));
    } catch (error) {
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      outcome.vcpuStopped({ reason: 'error', detail });
    }
  }
}
