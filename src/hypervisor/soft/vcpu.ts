import { Cpu, type CpuSnapshot } from '../../x86/interp/cpu.ts';
import { cpuModel } from '../../x86/state/cpuid.ts';
import { powerOn } from '../../x86/system/power-on.ts';
import { VECTOR } from '../../x86/system/exception.ts';
import type { CpuIo } from '../../x86/system/system-cpu.ts';
import type { EntryState, GuestIo, Vcpu, VcpuStop } from '../contract.ts';
import { applyEntryState } from './entry.ts';
import { type InterruptController, withInterruptController } from './interrupt-controller.ts';
import type { Lapic } from './lapic.ts';
import { type MsrValue, readLapicMsr, writeLapicMsr } from './lapic-access.ts';
import { type SoftHost, TSC_KHZ } from './host.ts';

/** Instructions between two looks at timers: well under a millisecond, unless most of them are slow ones. */
const SLICE_INSTRUCTIONS = 20_000;
/** Less than that would be all looking and no running. */
const SLICE_MIN = 64;
/** A slice that takes longer than this makes the next one shorter. */
const SLOW_SLICE_NS = 2e6;
/** How long the guest runs before the host's event loop gets a turn. */
const TURN_NS = 4e6;
/** Shorter waits are spent turning the event loop: timers of the host are no finer. */
const SHORTEST_SLEEP_NS = 1e6;
/** Longest wait without looking again. */
const LONGEST_SLEEP_NS = 1e9;

export interface SoftVcpuParts {
  readonly host: SoftHost;
  readonly memory: WebAssembly.Memory;
  readonly ramBytes: number;
  /** The last so many bytes of RAM are those below 4 GiB. */
  readonly topBytes?: number;
  readonly controller: InterruptController;
}

/** A vCPU as plain data. */
export interface VcpuState {
  readonly version: 1;
  readonly cpu: CpuSnapshot;
  /** What the guest's time-stamp counter stood at, without its own offset: it goes on from there. */
  readonly tsc: number;
  readonly nmi: boolean;
}

/** One virtual CPU on the software engine: runs the CPU in slices, injects interrupts between them, sleeps when it halts. */
export class SoftVcpu implements Vcpu {
  readonly cpu: Cpu;
  readonly #host: SoftHost;
  readonly #controller: InterruptController;
  readonly #lapic: Lapic;
  #startNs: number;
  #io: GuestIo = NO_DEVICES;
  #stopped = false;
  #slice = SLICE_INSTRUCTIONS;
  /** An NMI waits for its turn; there is at most one. */
  #nmi = false;
  #wake: () => void = () => {};
  readonly #msr: MsrValue = { low: 0, high: 0 };

  constructor({ host, memory, ramBytes, topBytes = 0, controller }: SoftVcpuParts) {
    this.#host = host;
    this.#controller = controller;
    this.#lapic = controller.lapic(0);
    this.#startNs = host.clock.nowNs();
    this.cpu = new Cpu({
      memory,
      ramBytes,
      io: this.#cpuIo(),
      model: cpuModel({ tscHz: TSC_KHZ * 1000 }),
      tier: host.tier ?? 'interp',
      precise: host.precise ?? false,
      profiled: host.profiled === true,
    });
    if (this.cpu.jit !== undefined) this.cpu.jit.clock = () => host.clock.nowNs() / 1e6;
    this.#lapic.signals = {
      onInterrupt: () => {
        this.cpu.attention = true;
        this.#kick();
      },
      onNmi: () => {
        this.#nmi = true;
        this.#kick();
      },
      onInit: () => {},
      onStartup: () => {},
    };
    if (topBytes > 0) this.cpu.mmu.walker.setTop(2 ** 32 - topBytes, ramBytes - topBytes);
    powerOn(this.cpu);
  }

  /** Nanoseconds since power-on. */
  tsc(): number {
    return Math.floor(this.#host.clock.nowNs() - this.#startNs);
  }

  setEntryState(state: EntryState): void {
    applyEntryState(this.cpu, state);
  }

  /** Host code wrote guest memory. */
  wrote(gpa: number, length: number): void {
    this.cpu.mmu.codePages.wrote(gpa, length);
  }

  /** The state between two runs; a run that was stopped ended between two instructions. */
  save(): VcpuState {
    return { version: 1, cpu: this.cpu.save(), tsc: this.tsc(), nmi: this.#nmi };
  }

  /** @throws {RangeError} when the state is of another version */
  restore({ version, cpu, tsc, nmi }: VcpuState): void {
    if (version !== 1) throw new RangeError(`Cannot restore a vCPU: state has version ${version}`);
    this.cpu.restore(cpu);
    this.#startNs = this.#host.clock.nowNs() - tsc;
    this.#nmi = nmi;
  }

  stop(): void {
    this.#stopped = true;
    this.#kick();
  }

  async run(io: GuestIo): Promise<VcpuStop> {
    this.#io = withInterruptController(this.#controller, 0, io);
    while (!this.#stopped) {
      const idle = this.#turn();
      if (idle === 'shutdown') return { reason: 'shutdown' };
      if (this.#stopped) break;
      if (idle === 'busy') await this.#host.yield();
      else if (!this.cpu.interruptEnabled) return { reason: 'halted' };
      else await this.#sleep();
    }
    return { reason: 'stopped' };
  }

  /** Runs until it is the event loop's turn, or nothing is left to do. */
  #turn(): 'busy' | 'idle' | 'shutdown' {
    const { cpu } = this;
    const controller = this.#controller;
    let now = this.#host.clock.nowNs();
    const end = now + TURN_NS;
    const profiled = this.#host.profiled === true;
    for (;;) {
      if (now >= controller.nextDeadlineNs()) controller.tick(now);
      if (this.#nmi && cpu.takesNmi && !this.#takeNmi()) return 'shutdown';
      if (this.#lapic.deliverable && cpu.interruptible && !cpu.interrupt(controller.acknowledge(0))) return 'shutdown';
      cpu.attention = this.#lapic.deliverable;
      const why = cpu.run(this.#slice);
      const from = now;
      now = this.#host.clock.nowNs();
      this.#fitSlice(now - from);
      if (profiled) cpu.profileSlice((now - from) / 1e6);
      if (why === 'shutdown') return 'shutdown';
      if (this.#stopped) return 'busy';
      const woken = (this.#lapic.deliverable && cpu.interruptible) || (this.#nmi && cpu.takesNmi);
      if (why === 'halted' && !woken) return 'idle';
      if (now >= end) return 'busy';
    }
  }

  /** Guests may have exceptions or device accesses for instructions, which take a hundred times as long. */
  #fitSlice(ns: number): void {
    if (ns > SLOW_SLICE_NS) this.#slice = Math.max(SLICE_MIN, this.#slice >> 2);
    else if (this.#slice < SLICE_INSTRUCTIONS) this.#slice = Math.min(SLICE_INSTRUCTIONS, this.#slice * 2);
  }

  /** @returns false on a triple fault */
  #takeNmi(): boolean {
    this.#nmi = false;
    return this.cpu.interrupt(VECTOR.NMI);
  }

  async #sleep(): Promise<void> {
    const wait = this.#controller.nextDeadlineNs() - this.#host.clock.nowNs();
    // Also when the time has come: whatever the guest asks of timers, the host's event loop has its turn.
    if (wait < SHORTEST_SLEEP_NS) return this.#host.yield();
    const sleep = this.#host.sleep(Math.min(wait, LONGEST_SLEEP_NS));
    this.#wake = sleep.wake;
    await sleep.done;
    this.#wake = () => {};
  }

  /** Something wants the CPU's attention. */
  #kick(): void {
    this.cpu.requestExit();
    this.#wake();
  }

  #cpuIo(): CpuIo & Pick<GuestIo, 'mmioRead' | 'mmioWrite'> {
    return {
      portRead: (port, bytes) => this.#io.portRead(port, bytes),
      portWrite: (port, bytes, value) => this.#io.portWrite(port, bytes, value),
      mmioRead: (gpa, size) => this.#io.mmioRead(gpa, size),
      mmioWrite: (gpa, size, value) => this.#io.mmioWrite(gpa, size, value),
      tsc: () => BigInt(this.tsc()),
      wallClockNs: () => BigInt(Math.round(this.#host.clock.wallMs() * 1e6)),
      readApicMsr: (index) => this.#readApicMsr(index),
      writeApicMsr: (index, value) => this.#writeApicMsr(index, value),
      hasInterrupt: () => this.#lapic.deliverable,
      readTpr: () => this.#lapic.cr8,
      writeTpr: (value) => {
        this.#lapic.cr8 = value;
      },
      random: (into) => this.#host.random(into),
    };
  }

  #readApicMsr(index: number): bigint | undefined {
    if (!readLapicMsr(this.#lapic, index, this.#msr)) return undefined;
    return (BigInt(this.#msr.high >>> 0) << 32n) | BigInt(this.#msr.low >>> 0);
  }

  #writeApicMsr(index: number, value: bigint): boolean {
    return writeLapicMsr(this.#lapic, index, Number(value & 0xffff_ffffn), Number(value >> 32n));
  }
}

const NO_DEVICES: GuestIo = {
  portRead: () => 0xffff_ffff,
  portWrite() {},
  mmioRead: () => 0xffff_ffff,
  mmioWrite() {},
};
