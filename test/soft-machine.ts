import type { ConsoleBackend } from '../dist/devices/virtio-console/index.js';
import type { Vm, VmState } from '../dist/hypervisor/contract.js';
import { createSoftHypervisor, type SoftHost } from '../dist/hypervisor/soft/index.js';
import type { SoftVcpu } from '../dist/hypervisor/soft/vcpu.js';
import { assemble } from '../dist/machine/assemble.js';
import type { Machine, MachineState } from '../dist/machine/machine.js';
import type { GuestKernel, MachineResources } from '../dist/machine/resources.js';
import { vmConfigFor } from '../dist/machine/vm-config.js';
import { S } from '../dist/x86/state/layout.js';
import { Random } from 'krun/testing';

/** Virtual time: a nanosecond per instruction, and what the guest sleeps. The same guest runs the same way each time. */
export class VirtualHost implements SoftHost {
  readonly random: (into: Uint8Array) => void;
  readonly clock = { nowNs: () => this.#now(), wallMs: () => 1.8e12 + this.#elapsed() / 1e6 };
  readonly #draw: Random;
  /** Called between two slices of the vCPU. */
  onSlice: (retired: number) => void = () => {};
  /** Called at each look at the clock: RDTSC, and all kinds of devices, in the middle of a slice. */
  onLook: (retired: number) => void = () => {};
  vcpu: SoftVcpu | undefined;
  #sleptNs: number;
  #seen = 0;

  constructor(from?: VirtualHost) {
    this.#draw = from === undefined ? new Random(1) : from.#draw;
    this.#sleptNs = from === undefined ? 0 : from.#sleptNs;
    this.random = (into) => into.set(this.#draw.bytes(into.length));
  }

  get retired(): number {
    return Number(this.vcpu?.cpu.state.get64(S.retired) ?? 0n);
  }

  readonly sleep = (ns: number): { done: Promise<void>; wake(): void } => {
    this.#sleptNs += ns;
    return { done: turn(), wake() {} };
  };

  readonly yield = (): Promise<void> => {
    if (this.vcpu?.cpu.halted === true) this.#sleptNs += 100_000;
    return turn();
  };

  #elapsed(): number {
    return this.retired + this.#sleptNs;
  }

  #now(): number {
    const { retired } = this;
    if (retired !== this.#seen) this.onSlice(retired);
    this.#seen = retired;
    this.onLook(retired);
    return 1e9 + this.#elapsed();
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export interface SoftMachine {
  readonly vm: Vm;
  readonly machine: Machine;
  readonly vcpu: SoftVcpu;
  /** What the console printed. */
  output(): string;
}

export interface SoftMachineOptions {
  readonly kernel: GuestKernel;
  readonly memoryBytes: number;
  readonly host: SoftHost;
  readonly extraArguments?: readonly string[];
  readonly shares?: MachineResources['shares'];
  readonly change?: Partial<MachineResources>;
}

/** A machine on the software engine in this thread, with the default devices. Its console is collected, its entropy reproducible. */
export async function softMachine(options: SoftMachineOptions): Promise<SoftMachine> {
  const { kernel, memoryBytes, host, extraArguments = [], shares = [] } = options;
  const hypervisor = createSoftHypervisor(host);
  const spec = { vm: { memoryBytes, vcpus: 1 }, kernel: { extraArguments } };
  const vm = await hypervisor.createVm(vmConfigFor(spec, kernel));
  const printed: string[] = [];
  const decoder = new TextDecoder('latin1');
  const write = (bytes: Uint8Array): number => {
    if (printed.length < 10_000) printed.push(decoder.decode(bytes.slice()));
    return bytes.length;
  };
  const console: ConsoleBackend = { ports: [{ name: '', console: true, output: { write, onWritable() {} } }] };
  const machine = assemble(spec, vm, {
    kernel,
    clock: host.clock,
    log: () => {},
    entropy: { fill: (into) => host.random(into) },
    balloon: { discard() {} },
    consoles: [console],
    shares,
    tscKHz: hypervisor.tscKHz,
    ...options.change,
  });
  return { vm, machine, vcpu: vm.vcpus[0] as SoftVcpu, output: () => printed.join('') };
}

/** A machine and its devices as plain data. */
export interface Snapshot {
  readonly vm: VmState;
  readonly devices: MachineState;
}

/** A copy that shares nothing with the machine, as a file would. */
export function snapshotOf({ vm, machine }: SoftMachine): Snapshot {
  const state = vm.save?.();
  if (state === undefined) throw new Error('Cannot save: the engine does not');
  return structuredClone({ vm: state, devices: machine.save() });
}

export function restoreInto({ vm, machine }: SoftMachine, snapshot: Snapshot): void {
  vm.restore?.(snapshot.vm);
  machine.restore(snapshot.devices);
}
