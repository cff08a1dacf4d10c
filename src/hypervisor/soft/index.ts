import type { IrqLine } from '../../bus/bus.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { provideInterpreter } from '../../x86/interp/interpreter-module.ts';
import { ENGINE_BYTES } from '../../x86/state/layout.ts';
import type { Hypervisor, Vcpu, Vm, VmConfig, VmState } from '../contract.ts';
import { InterruptController, type InterruptControllerState } from './interrupt-controller.ts';
import { restoreMemory, saveMemory } from './memory-image.ts';
import { type SoftHost, TSC_KHZ } from './host.ts';
import { SoftVcpu, type VcpuState } from './vcpu.ts';

export type { SoftHost } from './host.ts';

const WASM_PAGE = 65536;
const FOUR_GIB = 0x1_0000_0000;

/** What of the machine is the engine's. */
export interface SoftOptions {
  /** No PIC and no interval timer: I/O APIC and local APICs alone, as with KVM's split interrupt chip. */
  readonly splitIrqchip?: boolean;
}

/** The software engine: our own CPU on this thread. */
export function createSoftHypervisor(
  host: SoftHost,
  { splitIrqchip = false }: SoftOptions = {},
): Hypervisor & { readonly tscKHz: number } {
  const kept = host.interpreter?.();
  if (kept !== undefined) provideInterpreter(kept);
  return { kind: 'soft', tscKHz: TSC_KHZ, createVm: async (config) => new SoftVm(host, config, splitIrqchip) };
}

class SoftVm implements Vm {
  readonly memory: GuestMemory;
  readonly memoryBytes: number;
  /** With what firmware takes. */
  readonly #ramBytes: number;
  readonly #vcpus: readonly SoftVcpu[];
  readonly #controller: InterruptController;

  constructor(host: SoftHost, config: VmConfig, split: boolean) {
    const { memoryBytes, topBytes = 0 } = config;
    // Firmware's memory lies behind RAM for the CPU, which is told about the address it goes by.
    const ramBytes = memoryBytes + topBytes;
    const pages = Math.ceil((ENGINE_BYTES + ramBytes) / WASM_PAGE);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.memoryBytes = memoryBytes;
    const top = FOUR_GIB - topBytes;
    this.memory = new GuestMemory(memory.buffer, [
      { gpa: 0, length: ramBytes, offset: ENGINE_BYTES },
      ...(topBytes > 0 ? [{ gpa: top, length: topBytes, offset: ENGINE_BYTES + memoryBytes }] : []),
    ]);
    const vcpus: SoftVcpu[] = [];
    const tsc = Array.from({ length: config.vcpus }, (_, i) => ({ kHz: TSC_KHZ, now: () => vcpus[i]?.tsc() ?? 0 }));
    this.#controller = new InterruptController({ clock: host.clock, tsc, split });
    vcpus.push(new SoftVcpu({ host, memory, ramBytes, topBytes, controller: this.#controller }));
    this.memory.setWriteHook((gpa, length) => {
      const physical = topBytes > 0 && gpa >= top ? gpa - top + memoryBytes : gpa;
      for (const vcpu of vcpus) vcpu.wrote(physical, length);
    });
    this.#vcpus = vcpus;
    this.#ramBytes = ramBytes;
  }

  get vcpus(): readonly Vcpu[] {
    return this.#vcpus;
  }

  irqLine(gsi: number): IrqLine {
    return this.#controller.irqLine(gsi);
  }

  close(): void {
    for (const vcpu of this.vcpus) vcpu.stop();
  }

  save(): VmState {
    const { memory, memoryBytes } = this;
    return {
      version: 1,
      kind: 'soft',
      memoryBytes,
      memory: saveMemory(memory, this.#ramBytes),
      vcpus: this.#vcpus.map((vcpu) => vcpu.save()),
      interrupts: this.#controller.save(),
    };
  }

  restore(state: VmState): void {
    const { version, kind, memoryBytes, vcpus } = state;
    if (version !== 1 || kind !== 'soft' || memoryBytes !== this.memoryBytes || vcpus.length !== this.#vcpus.length) {
      const found = `version ${version}, engine ${kind}, ${memoryBytes} bytes, ${vcpus.length} vCPUs`;
      throw new RangeError(
        `Cannot restore a VM of ${this.memoryBytes} bytes and ${this.#vcpus.length} vCPUs: state has ${found}`,
      );
    }
    restoreMemory(this.memory, this.#ramBytes, state.memory);
    // First the vCPUs: their time is what the interrupt hardware counts.
    this.#vcpus.forEach((vcpu, index) => {
      vcpu.restore(vcpus[index] as VcpuState);
    });
    this.#controller.restore(state.interrupts as InterruptControllerState);
  }
}
