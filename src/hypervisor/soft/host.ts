import type { Clock } from '../../base/clock.ts';

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
  /** Whether CPUs count what happens: see Cpu.profile. */
  readonly profiled?: boolean | undefined;
  /** How the CPU runs code: see CpuOptions. Default interp. */
  readonly tier?: 'interp' | 'jit' | 'mixed' | undefined;
  /** Compiled code raises every flag of MXCSR; see docs/quirks.md. Default false. */
  readonly precise?: boolean | undefined;
}

/** The guest's time-stamp counter counts nanoseconds. */
export const TSC_KHZ = 1_000_000;
