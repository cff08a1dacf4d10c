import type { IrqLine } from '../../bus/bus.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { KernelCalls } from '../../native/kernel-calls.ts';
import type { ThreadSignals } from '../../native/thread-signals.ts';
import type { Vm, VmConfig } from '../contract.ts';
import { GuestRam } from './guest-ram.ts';
import { IOAPIC_PINS, SplitIoapic } from './ioapic.ts';
import { checked } from './kvm-error.ts';
import { KvmVcpu } from './kvm-vcpu.ts';
import { StatusTable } from './status-table.ts';
import { KVM } from './structs.ts';
import type { KvmSystem } from './system.ts';
import { setUpVcpu } from './vcpu-setup.ts';
import type { KvmVmDescriptor } from './vm.ts';

/** Where KVM keeps its three pages, and its page of identity map, on Intel's processors: below the firmware's place. */
const TSS_ADDRESS = 0xfffb_d000;
const IDENTITY_MAP_ADDRESS = 0xfffb_c000;
const FOUR_GIB = 0x1_0000_0000;

export interface KvmVmParts {
  readonly calls: KernelCalls;
  readonly signals: ThreadSignals;
  readonly system: KvmSystem;
  readonly nested: boolean;
  readonly splitIrqchip: boolean;
}

/** A VM of KVM, with its interrupt controllers and timers in the kernel, or with the I/O APIC here and no others. */
export class KvmVm implements Vm {
  readonly memory: GuestMemory;
  readonly vcpus: readonly KvmVcpu[];
  readonly descriptor: KvmVmDescriptor;
  readonly #calls: KernelCalls;
  readonly #ram: GuestRam;
  /** Descriptors of ours, closed when the vCPUs are gone. */
  readonly #eventfds: number[] = [];
  readonly #watches: { close(): void }[] = [];
  readonly #statuses = new StatusTable();
  readonly #ioapic: SplitIoapic | undefined;
  readonly #irqfds = new Map<number, number>();
  #closed = false;

  constructor(parts: KvmVmParts, config: VmConfig) {
    const { calls, system } = parts;
    this.#calls = calls;
    const { memoryBytes, topBytes = 0 } = config;
    this.#ram = new GuestRam(calls, memoryBytes + topBytes, topBytes);
    this.memory = this.#ram.memory;
    this.descriptor = system.createVm();
    try {
      this.descriptor.setTssAddr(TSS_ADDRESS);
      this.descriptor.setIdentityMapAddr(IDENTITY_MAP_ADDRESS);
      const { hva } = this.#ram;
      this.descriptor.setUserMemoryRegion({ slot: 0, gpa: 0, length: memoryBytes, hva });
      if (topBytes > 0) {
        const top = { slot: 1, gpa: FOUR_GIB - topBytes, length: topBytes, hva: hva + BigInt(memoryBytes) };
        this.descriptor.setUserMemoryRegion(top);
      }
      this.#ioapic = this.#makeInterruptControllers(parts.splitIrqchip);
      this.vcpus = this.#makeVcpus(parts, config.vcpus);
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  /** Settles when threads and descriptors of this VM are gone, after `close`. */
  get gone(): Promise<void> {
    return Promise.all(this.vcpus.map(({ gone }) => gone)).then(() => {});
  }

  /** `pulse` costs a write to an eventfd. */
  irqLine(gsi: number): IrqLine {
    if (!(gsi >= 0 && gsi < IOAPIC_PINS))
      throw new RangeError(`Cannot use interrupt ${gsi}: there are 0 to ${IOAPIC_PINS - 1}`);
    const eventfd = this.#irqfds.get(gsi) ?? this.#makeIrqfd(gsi);
    return {
      pulse: () => {
        if (!this.#closed) this.#calls.signal(eventfd);
      },
      set: (level) => {
        if (this.#closed) return;
        if (this.#ioapic === undefined) this.descriptor.irqLine(gsi, level);
        else this.#ioapic.set(gsi, level);
      },
    };
  }

  /** The handler runs on this thread, some time after the guest wrote the value; the vCPU goes on at once. */
  bindDoorbell(doorbell: { readonly gpa: number; readonly value: number }, onRing: () => void): void {
    const eventfd = this.#eventfd();
    this.descriptor.ioeventfd(eventfd, { ...doorbell, length: 4 });
    this.#watch(eventfd, onRing);
  }

  bindStatus(registers: { readonly status: number; readonly acknowledge: number }): Int32Array | undefined {
    return this.#statuses.add(registers);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // At once: a thread that is terminated with an event under way has nobody left to take it.
    for (const watch of this.#watches.splice(0)) watch.close();
    for (const vcpu of this.vcpus) vcpu.abandon();
    void this.gone.then(() => this.#release());
  }

  #makeInterruptControllers(split: boolean): SplitIoapic | undefined {
    const { descriptor } = this;
    if (!split) {
      descriptor.createIrqchip();
      descriptor.createPit2({ speakerDummy: true });
      return undefined;
    }
    descriptor.enableCap(KVM.CAP_SPLIT_IRQCHIP, IOAPIC_PINS);
    return new SplitIoapic({
      route: (routes) => descriptor.setGsiRouting(routes),
      send: (msi) => descriptor.signalMsi(msi),
    });
  }

  #makeVcpus({ system, signals, nested }: KvmVmParts, count: number): KvmVcpu[] {
    const doorbell = this.#eventfd();
    const supported = system.getSupportedCpuid();
    const tscDeadline = system.checkExtension(KVM.CAP_TSC_DEADLINE_TIMER) !== 0;
    // All of them first: a refusal leaves no thread behind.
    const descriptors = Array.from({ length: count }, (_, index) => this.descriptor.createVcpu(index));
    try {
      for (const [index, vcpu] of descriptors.entries()) {
        setUpVcpu(vcpu, { supported, index, vcpus: count, nested, tscDeadline });
      }
    } catch (error) {
      for (const vcpu of descriptors) vcpu.close();
      throw error;
    }
    const vcpus = descriptors.map(
      (descriptor) =>
        new KvmVcpu({ descriptor, signals, doorbell, statuses: this.#statuses.buffer, ioapic: this.#ioapic }),
    );
    this.#watch(doorbell, () => {
      for (const vcpu of vcpus) vcpu.serve();
      if (vcpus.every((vcpu) => vcpu.asleep)) for (const vcpu of vcpus) vcpu.halt();
    });
    return vcpus;
  }

  #makeIrqfd(gsi: number): number {
    const eventfd = this.#eventfd();
    this.descriptor.irqfd(eventfd, gsi);
    this.#irqfds.set(gsi, eventfd);
    return eventfd;
  }

  #eventfd(): number {
    const fd = checked('eventfd', this.#calls.eventfd());
    this.#eventfds.push(fd);
    return fd;
  }

  #watch(eventfd: number, onEvent: () => void): void {
    const watch = this.#calls.watch(eventfd, () => {
      if (this.#calls.drain(eventfd) > 0) onEvent();
    });
    this.#watches.push(watch);
  }

  #release(): void {
    for (const watch of this.#watches.splice(0)) watch.close();
    this.descriptor.close();
    for (const fd of this.#eventfds.splice(0)) this.#calls.close(fd);
    this.#ram.discard();
  }
}
