import type { Clock } from '../../base/clock.ts';
import type { IrqLine } from '../../bus/bus.ts';
import { GuestMemory } from '../../memory/guest-memory.ts';
import { provideInterpreter } from '../../x86/interp/interpreter-module.ts';
import { ENGINE_BYTES } from '../../x86/state/layout.ts';
import type { Hypervisor, Vcpu, Vm, VmConfig } from '../contract.ts';
import { InterruptController } from './interrupt-controller.ts';
import { SoftVcpu } from './vcpu.ts';

/** What the software engine needs of the thread it runs on. */
export interface SoftHost {
  readonly clock: Clock;
  /** Fills with random bytes, for RDRAND and RDSEED. */
  random(into: Uint8Array): void;
  /** Lets the host's event loop turn once. */
  yield(): Promise<void>;
  /** Waits for at most this long; `wake` ends the wait. One at a time. */
  sleep(ns: number): { readonly done: Promise<void>; wake(): void };
  /** The interpreter as the build kept it; undefined: it is generated. */
  interpreter?(): Uint8Array<ArrayBuffer> | undefined;
}

/** The guest's time-stamp counter counts nanoseconds. */
export const TSC_KHZ = 1_000_000;

const WASM_PAGE = 65536;

/** The software engine: our own CPU on this thread. */
export function createSoftHypervisor(host: SoftHost): Hypervisor & { readonly tscKHz: number } {
  const kept = host.interpreter?.();
  if (kept !== undefined) provideInterpreter(kept);
  return { kind: 'soft', tscKHz: TSC_KHZ, createVm: async (config) => new SoftVm(host, config) };
}

class SoftVm implements Vm {
  readonly memory: GuestMemory;
  readonly vcpus: readonly Vcpu[];
  readonly #controller: InterruptController;

  constructor(host: SoftHost, config: VmConfig) {
    const pages = Math.ceil((ENGINE_BYTES + config.memoryBytes) / WASM_PAGE);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.memory = new GuestMemory(memory.buffer, [{ gpa: 0, length: config.memoryBytes, offset: ENGINE_BYTES }]);
    const vcpus: SoftVcpu[] = [];
    const tsc = Array.from({ length: config.vcpus }, (_, i) => ({ kHz: TSC_KHZ, now: () => vcpus[i]?.tsc() ?? 0 }));
    this.#controller = new InterruptController({ clock: host.clock, tsc });
    vcpus.push(new SoftVcpu({ host, memory, ramBytes: config.memoryBytes, controller: this.#controller }));
    this.memory.setWriteHook((gpa, length) => {
      for (const vcpu of vcpus) vcpu.wrote(gpa, length);
    });
    this.vcpus = vcpus;
  }

  irqLine(gsi: number): IrqLine {
    return this.#controller.irqLine(gsi);
  }

  close(): void {
    for (const vcpu of this.vcpus) vcpu.stop();
  }
}
