import { softHost } from '../host/soft-host.ts';
import type { Hypervisor } from '../hypervisor/contract.ts';
import { createSoftHypervisor } from '../hypervisor/soft/index.ts';
import { KrunError } from './errors.ts';

/** An engine, with the frequency of the time-stamp counter its guests see. */
export type Engine = Hypervisor & { readonly tscKHz: number };

/** Opens the engine that was asked for. @throws {KrunError} ERR_ENGINE when this host or this version has it not */
export async function openEngine(wanted: 'auto' | 'kvm' | 'soft'): Promise<Engine> {
  if (wanted === 'kvm') {
    throw new KrunError('ERR_ENGINE', 'Cannot use the kvm engine: this version has the software engine only', {
      stage: 'engine',
      hint: 'use engine "auto" or "soft"',
    });
  }
  return createSoftHypervisor(softHost);
}
