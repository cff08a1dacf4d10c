import type { Vcpu, VcpuStop } from '../hypervisor/contract.ts';

/** Why a machine is over. */
export type MachineEndReason =
  | 'reset' // the guest pressed the keyboard controller's reset button
  | 'shutdown' // triple fault
  | 'halted' // a processor sleeps with interrupts off
  | 'stopped' // stop() was called
  | 'error'; // the engine could not go on; `detail` says why

/** How a machine ended. */
export interface MachineEnd {
  readonly reason: MachineEndReason;
  /** What the guest's init reported as its workload's status, if it did. */
  readonly exitCode: number | undefined;
  /** The text of a kernel panic was seen on a console. */
  readonly panicked: boolean;
  readonly detail: string | undefined;
}

/** Collects what devices and vCPUs say about the end; the first reason counts, the last exit code counts. */
export class Outcome {
  readonly #vcpus: readonly Vcpu[];
  #reason: MachineEndReason | undefined;
  #detail: string | undefined;
  #exitCode: number | undefined;

  constructor(vcpus: readonly Vcpu[]) {
    this.#vcpus = vcpus;
  }

  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Whether there is a reason to end already. */
  get over(): boolean {
    return this.#reason !== undefined;
  }

  /** The guest's init says how its workload ended; the machine goes on until it resets. */
  report(code: number): void {
    this.#exitCode = code;
  }

  reset(): void {
    this.#end('reset');
  }

  stop(): void {
    this.#end('stopped');
  }

  /** A vCPU is over; the others follow. */
  vcpuStopped(stop: VcpuStop): void {
    this.#end(stop.reason, stop.reason === 'error' ? stop.detail : undefined);
  }

  end(panicked: boolean): MachineEnd {
    return { reason: this.#reason ?? 'stopped', exitCode: this.#exitCode, panicked, detail: this.#detail };
  }

  #end(reason: MachineEndReason, detail?: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#detail = detail;
    for (const vcpu of this.#vcpus) vcpu.stop();
  }
}
