import { Worker } from 'node:worker_threads';
import type { Mapping } from '../../native/kernel-calls.ts';
import type { ThreadSignals } from '../../native/thread-signals.ts';
import type { EntryState, GuestIo, Vcpu, VcpuStop } from '../contract.ts';
import { type ExitContext, serveExit } from './exits.ts';
import type { SplitIoapic } from './ioapic.ts';
import { applyEntryState, describeRegisters } from './registers.ts';
import { kvm_run } from './structs.ts';
import type { KvmVcpuDescriptor } from './vcpu.ts';
import {
  ASLEEP,
  ASLEEP_LOOKS,
  COMMAND,
  COMMAND_PAUSE,
  COMMAND_STOP,
  PARKED,
  RUN_ERRNO,
  THREAD,
  TIMER,
  TURN,
  TURN_ENDED,
  TURN_EXIT,
  TURN_GUEST,
  type VcpuThreadData,
  WORDS,
} from './vcpu-protocol.ts';

const EXITS_KEPT = 64;

export interface KvmVcpuParts {
  readonly descriptor: KvmVcpuDescriptor;
  readonly signals: ThreadSignals;
  /** Becomes readable when this vCPU wants the VM's thread. */
  readonly doorbell: number;
  /** Registers that the vCPU's thread answers itself. */
  readonly statuses: SharedArrayBuffer;
  /** Of a VM whose irqchip is split. */
  readonly ioapic: SplitIoapic | undefined;
}

/** One vCPU as the VM's thread has it: a thread that runs the guest, and the exits it hands over. */
export class KvmVcpu implements Vcpu {
  /** Settles when the thread is gone and everything of this vCPU is closed. */
  readonly gone: Promise<void>;
  readonly descriptor: KvmVcpuDescriptor;
  readonly #signals: ThreadSignals;
  readonly #words = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  readonly #worker: Worker;
  readonly #mapping: Mapping;
  readonly #run: DataView;
  readonly #ioapic: SplitIoapic | undefined;
  readonly #counts = new Uint32Array(EXITS_KEPT);
  #context: ExitContext | undefined;
  #end: VcpuStop | undefined;
  #settle: ((stop: VcpuStop) => void) | undefined;
  #paused: (() => void)[] = [];
  #closed = false;

  constructor({ descriptor, signals, doorbell, statuses, ioapic }: KvmVcpuParts) {
    this.descriptor = descriptor;
    this.#signals = signals;
    this.#ioapic = ioapic;
    this.#mapping = descriptor.mapRun();
    this.#run = new DataView(this.#mapping.buffer);
    this.#words[COMMAND] = COMMAND_PAUSE; // until it is run
    this.#words[TIMER] = -1;
    const data: VcpuThreadData = {
      words: this.#words.buffer as SharedArrayBuffer,
      statuses,
      fd: descriptor.fd,
      runBytes: descriptor.runBytes,
      doorbell,
    };
    this.#worker = new Worker(new URL('./vcpu-worker.js', import.meta.url), {
      workerData: data,
      stdin: false,
      execArgv: [],
    });
    this.gone = new Promise((resolve) => {
      this.#worker.once('error', (error) => this.#finish({ reason: 'error', detail: error.stack ?? error.message }));
      this.#worker.once('exit', () => {
        this.#close();
        resolve();
      });
    });
  }

  /** How often the guest left guest mode, by KVM_EXIT. */
  get exitCounts(): Readonly<Uint32Array> {
    return this.#counts;
  }

  /** Sleeps with interrupts off, or was never started. */
  get asleep(): boolean {
    return Atomics.load(this.#words, ASLEEP) >= ASLEEP_LOOKS;
  }

  setEntryState(state: EntryState): void {
    applyEntryState(this.descriptor, state);
  }

  run(io: GuestIo): Promise<VcpuStop> {
    this.#context = {
      run: this.#run,
      io: this.#ioapic?.within(io) ?? io,
      endOfInterrupt: (vector) => this.#ioapic?.endOfInterrupt(vector),
      describe: () => describeRegisters(this.descriptor),
    };
    return new Promise((resolve) => {
      this.#settle = resolve;
      if (this.#end !== undefined) resolve(this.#end);
      else this.resume();
    });
  }

  stop(): void {
    this.#finish({ reason: 'stopped' });
  }

  /** Stops it, and never looks at its exits again. */
  abandon(): void {
    this.stop();
    this.#giveTurn();
  }

  /** Nothing can wake it any more. */
  halt(): void {
    this.#finish({ reason: 'halted' });
  }

  /** Resolves when the guest does not run; registers may be looked at then. */
  pause(): Promise<void> {
    if (this.#end !== undefined) return Promise.resolve();
    const parked = new Promise<void>((resolve) => this.#paused.push(resolve));
    this.#command(COMMAND_PAUSE);
    this.serve(); // it may be parked since long
    return parked;
  }

  resume(): void {
    if (this.#end === undefined) this.#command(0);
  }

  /** The doorbell rang: serves what this vCPU waits for, if it does. */
  serve(): void {
    const turn = Atomics.load(this.#words, TURN);
    if (turn === TURN_EXIT) this.#serveExit();
    else if (turn === TURN_ENDED) this.#ended();
    if (this.#paused.length > 0 && Atomics.load(this.#words, PARKED) === 1) {
      for (const resolve of this.#paused.splice(0)) resolve();
    }
  }

  #serveExit(): void {
    if (this.#closed || this.#context === undefined) return;
    this.#counts[this.#run.getUint32(kvm_run.exit_reason, true) % EXITS_KEPT]! += 1;
    try {
      const stop = serveExit(this.#context);
      if (stop !== undefined) this.#finish(stop);
    } catch (error) {
      // Nobody above this but the event loop.
      this.#finish({
        reason: 'error',
        detail: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    }
    this.#giveTurn();
  }

  /** Unless it took another turn meanwhile: one that is to stop does not wait for its answer. */
  #giveTurn(): void {
    Atomics.compareExchange(this.#words, TURN, TURN_EXIT, TURN_GUEST);
    Atomics.notify(this.#words, TURN);
  }

  #ended(): void {
    const errno = Atomics.load(this.#words, RUN_ERRNO);
    if (errno !== 0) this.#finish({ reason: 'error', detail: `KVM_RUN failed with errno ${errno}` });
    this.#finish({ reason: 'stopped' });
    this.#settle?.(this.#end ?? { reason: 'stopped' });
  }

  /** The first reason counts. `run` answers when the thread has left the guest. */
  #finish(stop: VcpuStop): void {
    if (this.#end !== undefined) return;
    this.#end = stop;
    this.#command(COMMAND_STOP);
  }

  #command(command: number): void {
    Atomics.store(this.#words, COMMAND, command);
    Atomics.notify(this.#words, COMMAND);
    const thread = Atomics.load(this.#words, THREAD);
    if (thread !== 0 && command !== 0) this.#signals.ring(thread);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const timer = Atomics.load(this.#words, TIMER);
    if (timer >= 0) this.#signals.cancel(timer);
    this.#mapping.unmap();
    this.descriptor.close();
    this.#finish({ reason: 'stopped' });
    this.#settle?.(this.#end ?? { reason: 'stopped' });
    for (const resolve of this.#paused.splice(0)) resolve();
  }
}
