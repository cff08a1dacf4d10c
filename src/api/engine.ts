import { accessSync, constants } from 'node:fs';
import { keepUntilBoot, keptSinceBoot } from '../host/boot-cache.ts';
import { softHost } from '../host/soft-host.ts';
import type { Hypervisor } from '../hypervisor/contract.ts';
import { createKvmHypervisor, type KvmVerdict, probeKvm } from '../hypervisor/kvm/index.ts';
import { createSoftHypervisor } from '../hypervisor/soft/index.ts';
import { KrunError } from './errors.ts';

export type { KvmVerdict } from '../hypervisor/kvm/index.ts';

/** An engine, with the frequency of the time-stamp counter its guests see. */
export type Engine = Hypervisor & { readonly tscKHz: number };

/** What is asked of an engine. */
export interface EngineWishes {
  readonly engine: 'auto' | 'kvm' | 'soft';
  readonly vcpus: number;
  /** The guest may use virtualisation itself; KVM only. */
  readonly nested?: boolean;
  /** There is no PIC or PIT; the I/O APIC is ours with KVM, too. */
  readonly splitIrqchip?: boolean;
  /** Compiled code is exact everywhere; KVM is anyway. */
  readonly precise?: boolean;
}

/** What `auto` chooses, and why. */
export interface EngineChoice {
  readonly engine: 'kvm' | 'soft';
  readonly reason: string;
  readonly kvm: KvmVerdict;
}

/** vCPUs that the software engine runs. */
export const SOFT_VCPUS_MAX = 1;
/** The verdict's form; another number is not read. */
const CACHE = 'kvm-verdict-1';

/** Chooses as `engine: 'auto'` does: KVM where it does what kernels need at speed, else our own CPU. */
export function chooseEngine(): EngineChoice {
  const kvm = kvmVerdict();
  if (kvm.kind === 'good') return { engine: 'kvm', reason: `KVM works: ${kvm.reason}`, kvm };
  return { engine: 'soft', reason: `KVM is not used: ${kvm.reason}`, kvm };
}

/** What KVM is good for here: probed once per boot, unless /dev/kvm was not there or closed to us. */
export function kvmVerdict(): KvmVerdict {
  const kept = keptSinceBoot(CACHE);
  if (isVerdict(kept) && canOpen()) return kept;
  const verdict = probeKvm();
  if (verdict.kind !== 'closed') keepUntilBoot(CACHE, verdict);
  return verdict;
}

/**
 * Opens the engine that was asked for.
 *
 * @throws {KrunError} ERR_ENGINE when this host has it not, ERR_VCPU_COUNT when it has not so many vCPUs
 */
export async function openEngine(wishes: EngineWishes): Promise<Engine> {
  const engine = wishes.engine === 'auto' ? choiceFor(wishes) : wishes.engine;
  return engine === 'kvm' ? openKvm(wishes) : openSoft(wishes);
}

/** What only KVM can do makes it the choice wherever it can be opened, and its own refusal the answer where not. */
function choiceFor({ vcpus, nested }: EngineWishes): 'kvm' | 'soft' {
  const { engine, kvm } = chooseEngine();
  const kvmOnly = vcpus > SOFT_VCPUS_MAX || nested === true;
  return kvmOnly && kvm.kind === 'slow' ? 'kvm' : engine;
}

function openKvm({ vcpus, nested = false, splitIrqchip = false }: EngineWishes): Engine {
  try {
    const kvm = createKvmHypervisor({ nested, splitIrqchip });
    if (vcpus <= kvm.vcpusMax) return kvm;
    kvm.close();
    throw tooMany(vcpus, kvm.vcpusMax);
  } catch (error) {
    if (error instanceof KrunError) throw error;
    throw new KrunError('ERR_ENGINE', `Cannot use the kvm engine: ${kvmVerdict().reason}`, {
      stage: 'engine',
      hint: 'use engine "auto" or "soft"; krun doctor says more',
      cause: error,
    });
  }
}

function openSoft({ vcpus, splitIrqchip = false, precise = false }: EngineWishes): Engine {
  if (vcpus > SOFT_VCPUS_MAX) throw tooMany(vcpus, SOFT_VCPUS_MAX);
  return createSoftHypervisor(precise ? { ...softHost, precise } : softHost, { splitIrqchip });
}

function tooMany(vcpus: number, most: number): KrunError {
  return new KrunError('ERR_VCPU_COUNT', `Cannot make a machine of ${vcpus} vCPUs: this engine runs ${most}`, {
    stage: 'engine',
    ...(most === SOFT_VCPUS_MAX && { hint: `several need KVM: ${chooseEngine().reason}` }),
  });
}

/** Who may open it can change at any time. */
function canOpen(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function isVerdict(value: unknown): value is KvmVerdict {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, reason, vcpusMax } = value as Partial<KvmVerdict>;
  return ['good', 'slow', 'lacking'].includes(kind ?? '') && typeof reason === 'string' && Number.isInteger(vcpusMax);
}
