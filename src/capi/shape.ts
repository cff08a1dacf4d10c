import { vcpusMax } from '../api/vcpus-max.ts';
import { hostNestsGuests } from '../api/nested-virt.ts';
import { openWishPipe } from '../api/wish-pipe.ts';
import { unsigned } from './arguments.ts';
import { checking, createContext, removeContext, withContext } from './contexts.ts';
import { EINVAL, ENOENT } from './errno.ts';
import { log } from './log.ts';

/** Feature numbers of `krun_has_feature`, and whether this build has them. @spec LIBKRUN-H KRUN_FEATURE_* */
const FEATURES: Readonly<Record<number, boolean>> = {
  0: true, // NET
  1: true, // BLK
  2: false, // GPU
  4: false, // INPUT
  6: false, // TEE
  7: false, // AMD_SEV
  8: false, // INTEL_TDX
  9: false, // AWS_NITRO
  10: false, // VIRGL_RESOURCE_MAP2
  11: true, // INIT_BLOB
};

/** Makes a configuration context; returns its id, which is never reused. */
export function krun_create_ctx(): number {
  return createContext();
}

/** Forgets a context. 0, or -ENOENT. */
export function krun_free_ctx(ctx_id: number): number {
  const context = removeContext(ctx_id);
  context?.shutdown?.close();
  return context === undefined ? -ENOENT : 0;
}

/**
 * A descriptor, the same at each call: 8 bytes written to it ask the guest to end (SIGTERM to the command). It belongs to
 * the context. -EINVAL where none can be made.
 *
 * @quirk upstream has it on macOS only; ours works on Linux, with koffi
 */
export function krun_get_shutdown_eventfd(ctx_id: number): number {
  return withContext(ctx_id, (context) => {
    context.shutdown ??= openWishPipe();
    return context.shutdown?.descriptor ?? -EINVAL;
  });
}

/**
 * Sets CPUs and memory; without it a machine has 1 and 128 MiB. 0, -EINVAL for zero of either, -ENOENT.
 *
 * @quirk more CPUs than this host's engine runs are -EINVAL; upstream finds out at the start
 */
export function krun_set_vm_config(ctx_id: number, num_vcpus: number, ram_mib: number): number {
  return checking(() => {
    const vcpus = unsigned(num_vcpus, 8);
    const memoryMiB = unsigned(ram_mib, 32);
    if (vcpus === 0 || memoryMiB === 0) return -EINVAL;
    if (vcpus > 1 && vcpus > vcpusMax()) {
      log('error', `Cannot configure ${vcpus} virtual CPUs: ${vcpusMax()} is the most here`);
      return -EINVAL;
    }
    return withContext(ctx_id, (context) => {
      context.vcpus = vcpus;
      context.memoryMiB = memoryMiB;
      return 0;
    });
  });
}

/** The machine has no PIC and no interval timer, only I/O APIC and local APICs. 0 or -ENOENT. */
export function krun_split_irqchip(ctx_id: number, enable: boolean): number {
  return withContext(ctx_id, (context) => {
    context.splitIrqchip = Boolean(enable);
    return 0;
  });
}

/** The guest may use virtualisation, where KVM runs it and the host allows that. 0 or -ENOENT. */
export function krun_set_nested_virt(ctx_id: number, enabled: boolean): number {
  return withContext(ctx_id, (context) => {
    context.nested = Boolean(enabled);
    return 0;
  });
}

/** Whether the host's KVM lets guests have guests: 1 or 0. */
export function krun_check_nested_virt(): number {
  return Number(hostNestsGuests());
}

/** The most virtual CPUs a machine can have here. */
export function krun_get_max_vcpus(): number {
  return vcpusMax();
}

/** 1 or 0; -EINVAL for a number that names no feature. */
export function krun_has_feature(feature: number | bigint): number {
  return checking(() => {
    const known = FEATURES[unsigned(feature, 64)];
    return known === undefined ? -EINVAL : Number(known);
  });
}

/** The process takes this user id when the machine starts. 0 or -ENOENT. */
export function krun_setuid(ctx_id: number, uid: number): number {
  return checking(() => {
    const value = unsigned(uid, 32);
    return withContext(ctx_id, (context) => {
      context.uid = value;
      return 0;
    });
  });
}

/** The process takes this group id when the machine starts. 0 or -ENOENT. */
export function krun_setgid(ctx_id: number, gid: number): number {
  return checking(() => {
    const value = unsigned(gid, 32);
    return withContext(ctx_id, (context) => {
      context.gid = value;
      return 0;
    });
  });
}
