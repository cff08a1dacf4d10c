import type { IrqLine } from '../bus/bus.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';

/** Where guest instructions run: /dev/kvm, or our own CPU. */
export interface Hypervisor {
  readonly kind: 'kvm' | 'soft';
  createVm(config: VmConfig): Promise<Vm>;
}

export interface VmConfig {
  /** Bytes of guest-physical memory from address 0, a multiple of 4 KiB, below the MMIO window. */
  readonly memoryBytes: number;
  /** Further bytes, which end at 4 GiB and hold firmware; a multiple of 4 KiB. */
  readonly topBytes?: number;
  readonly vcpus: number;
}

/** One virtual machine. Closing it frees memory and stops its vCPUs. */
export interface Vm {
  readonly memory: GuestMemory;
  readonly vcpus: readonly Vcpu[];
  /** The interrupt line with this global system interrupt number (0-23). */
  irqLine(gsi: number): IrqLine;
  /**
   * Promises that a guest's 4-byte store of this value at this address has no effect but `onRing`, which then runs on
   * the VM's thread some time later, once for one or more stores, while the vCPU goes on. Engines for which an exit
   * costs no more leave it out; the store reaches `GuestIo` there.
   */
  bindDoorbell?(doorbell: { readonly gpa: number; readonly value: number }, onRing: () => void): void;
  /**
   * A word of flags that guests read at `status`, and clear by storing ones at `acknowledge`, both 4 bytes wide, without
   * leaving the vCPU's thread: those accesses do not reach `GuestIo`. The VM's thread changes it by atomic operations.
   * Undefined: there is no room for another one.
   */
  bindStatus?(registers: { readonly status: number; readonly acknowledge: number }): Int32Array | undefined;
  close(): void;
  /** Memory, vCPUs and interrupt hardware, while no vCPU runs. Engines that cannot tell leave it out. */
  save?(): VmState;
  /** Makes this VM, of the same size and before its first run, go on where another one was saved; devices come after it. */
  restore?(state: VmState): void;
}

/** A VM as plain data, without its devices. */
export interface VmState {
  readonly version: 1;
  readonly kind: Hypervisor['kind'];
  readonly memoryBytes: number;
  /** The parts of memory that are not all zeros. */
  readonly memory: readonly { readonly gpa: number; readonly bytes: Uint8Array }[];
  readonly vcpus: readonly unknown[];
  readonly interrupts: unknown;
}

/** What a vCPU asks of the machine: port and memory-mapped I/O. Called on the VM's thread; nothing is allocated per call. */
export interface GuestIo {
  portRead(port: number, size: 1 | 2 | 4): number;
  portWrite(port: number, size: 1 | 2 | 4, value: number): void;
  mmioRead(gpa: number, size: 1 | 2 | 4): number;
  mmioWrite(gpa: number, size: 1 | 2 | 4, value: number): void;
}

/** Why a vCPU stopped for good. */
export type VcpuStop =
  | { readonly reason: 'stopped' } // stop() was called
  | { readonly reason: 'shutdown' } // triple fault
  | { readonly reason: 'halted' } // HLT with interrupts off: nothing can wake it
  | { readonly reason: 'error'; readonly detail: string };

export interface Vcpu {
  /** Sets registers before the first run; without it a vCPU starts at the reset vector. boot/entry-state.ts makes it. */
  setEntryState(state: EntryState): void;
  /** Runs until the machine stops it or the guest ends; the host's event loop turns meanwhile. */
  run(io: GuestIo): Promise<VcpuStop>;
  /** Makes run() return { reason: 'stopped' } soon. */
  stop(): void;
  /** Plain data with a version; between runs only. */
  save?(): unknown;
  /** @throws {RangeError} when the state is of another engine or version */
  restore?(state: unknown): void;
}

/** Registers that differ from the state after INIT; all addresses are guest-physical. */
export interface EntryState {
  readonly rip: number;
  readonly rsp: number;
  readonly rbp: number;
  readonly rsi: number;
  readonly rbx: number;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly gdt: { readonly base: number; readonly limit: number };
  readonly idt: { readonly base: number; readonly limit: number };
  readonly cs: SegmentState;
  /** DS, ES, FS, GS and SS. */
  readonly data: SegmentState;
  readonly tr: SegmentState;
}

export interface SegmentState {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  /** Descriptor attribute bits as in the upper half of a GDT entry: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15. */
  readonly attributes: number;
}
