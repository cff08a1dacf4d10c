import { KRUN_NEEDS } from './needs.ts';
import { loadKernelCalls } from '../../native/kernel-calls.ts';
import { loadThreadSignals } from '../../native/thread-signals.ts';
import type { CpuidEntry } from './cpuid-table.ts';
import { GuestRam } from './guest-ram.ts';
import { PROBE_MEMORY_BYTES, ProbeGuest, type ProbeStep, STEPS } from './probe-guest.ts';
import { KVM } from './structs.ts';
import { KvmSystem } from './system.ts';

/** What KVM is good for on this host: plain data. */
export interface KvmVerdict {
  /**
   * - `good`: it runs what kernels need, at speed
   * - `slow`: its guests crawl in supervisor mode, as on hosts that emulate it
   * - `lacking`: an instruction or a capability that kernels or we need is missing
   * - `closed`: /dev/kvm is not there, may not be opened, or cannot be talked to
   */
  readonly kind: 'good' | 'slow' | 'lacking' | 'closed';
  /** A sentence, for people. */
  readonly reason: string;
  /** Supervisor instructions per second of a plain loop, when it came to that. */
  readonly instructionsPerSecond?: number;
  /** Most vCPUs of one VM; 0 when it cannot be used at all. */
  readonly vcpusMax: number;
}

/** Anything below is emulation, and our own CPU is faster. Processors do a thousand times as much. */
const SLOW = 10e6;
/** The short loop takes microseconds on a processor, but for the exit at its end, and milliseconds under emulation. */
const SHORT_LOOP = 2_000;
/** Long enough for the exit not to count; run only where the short one says that it does not take for ever. */
const LONG_LOOP = 100_000;
const WORTH_A_LONG_LOOK = 2e6;
const SHORT_TRIES = 3;

/**
 * Finds out in a few milliseconds, on this thread, what KVM can do here: by running what kernels run, not by asking.
 * Nothing is left behind.
 */
export function probeKvm(): KvmVerdict {
  const calls = loadKernelCalls();
  if (calls === null || loadThreadSignals() === null) {
    return closed('native calls do not work here: install the optional package koffi, on x86-64 Linux');
  }
  let system: KvmSystem;
  try {
    system = new KvmSystem(calls);
  } catch (error) {
    return closed(whyNotOpened(error as NodeJS.ErrnoException));
  }
  try {
    const missing = KRUN_NEEDS.filter((name) => system.checkExtension(KVM[`CAP_${name}`]) === 0);
    const vcpusMax = system.checkExtension(KVM.CAP_MAX_VCPUS) || system.checkExtension(KVM.CAP_NR_VCPUS) || 4;
    if (missing.length > 0) return { kind: 'lacking', reason: `no KVM_CAP_${missing.join(', KVM_CAP_')}`, vcpusMax };
    const ram = new GuestRam(calls, PROBE_MEMORY_BYTES);
    const guest = new ProbeGuest(system, ram);
    try {
      return { ...judge(guest, system.getSupportedCpuid()), vcpusMax };
    } finally {
      guest.close();
      ram.discard();
    }
  } catch (error) {
    return closed((error as Error).message);
  } finally {
    system.close();
  }
}

function judge(guest: ProbeGuest, supported: readonly CpuidEntry[]): Omit<KvmVerdict, 'vcpusMax'> {
  const lacks = STEPS.filter((step) => isOffered(step, supported)).flatMap(({ name, code }) => {
    const failure = guest.run(code);
    return failure === undefined ? [] : [`${name} (${failure})`];
  });
  let rate = 0;
  for (let i = 0; i < SHORT_TRIES; i++) rate = Math.max(rate, guest.instructionsPerSecond(SHORT_LOOP));
  if (rate >= WORTH_A_LONG_LOOK) rate = Math.max(rate, guest.instructionsPerSecond(LONG_LOOP));
  const instructionsPerSecond = Math.round(rate);
  const measured = `a loop in supervisor mode runs ${(rate / 1e6).toPrecision(3)} million instructions a second`;
  if (lacks.length > 0) {
    const reason = `its guests cannot use ${lacks.join(', ')} in supervisor mode; ${measured}`;
    return { kind: 'lacking', reason, instructionsPerSecond };
  }
  if (rate < SLOW) return { kind: 'slow', reason: `${measured}, as where KVM emulates them`, instructionsPerSecond };
  return { kind: 'good', reason: measured, instructionsPerSecond };
}

/** Kernels leave out what the processor does not offer. */
function isOffered({ leaf }: ProbeStep, supported: readonly CpuidEntry[]): boolean {
  if (leaf === undefined) return true;
  const entry = supported.find((one) => one.function === leaf.number && one.index === 0);
  return entry !== undefined && ((entry[leaf.register] >>> leaf.bit) & 1) === 1;
}

function whyNotOpened({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT')
    return 'there is no /dev/kvm: load the module kvm_intel or kvm_amd, or enable virtualisation in the firmware';
  if (code === 'EACCES' || code === 'EPERM')
    return '/dev/kvm may not be opened: join the group that owns it (usually kvm)';
  return message;
}

function closed(reason: string): KvmVerdict {
  return { kind: 'closed', reason, vcpusMax: 0 };
}
