import { MiB } from '../base/units.ts';
import { checkChoice, checkInteger, checkKeys, refuse } from './checks.ts';
import { resolveConsoles } from './consoles.ts';
import { resolveDisks, resolveRootDisk, rootDiskShare } from './disks.ts';
import { bringsItsOwn, resolveBios, resolveKernel, resolveOemStrings } from './kernel.ts';
import { resolveNetwork } from './network.ts';
import { resolveSerials } from './ports.ts';
import type { MachineOptions } from './options.ts';
import { ROOT_TAG, resolveShares } from './shares.ts';
import type { MachineSpec } from './spec.ts';
import { resolveWorkload } from './workload.ts';

/** Guest memory that a machine has when nobody says otherwise. */
const MEMORY_MIB = 512;
/** Below this a libkrunfw kernel does not reach its init. */
const MEMORY_MIB_MIN = 48;
/** RAM and kernel lie below the device windows. */
const MEMORY_MIB_MAX = 3072;
/** What the engines could run at most: the software engine has no threads, CPUID's cache leaves count to 128. */
const VCPUS_MAX = { soft: 1, kvm: 128, auto: 128 } as const;

const KNOWN: readonly (keyof MachineOptions)[] = [
  ...(['root', 'readOnly', 'command', 'env', 'workdir', 'hostname', 'rlimits', 'user', 'memoryMiB', 'vcpus'] as const),
  ...([
    'volumes',
    'shares',
    'console',
    'extraConsoles',
    'ports',
    'serials',
    'shutdown',
    'kernel',
    'bios',
    'oemStrings',
    'engine',
    'nested',
    'precise',
    'splitIrqchip',
    'network',
    'vsock',
    'disks',
    'rootDisk',
  ] as const),
];

/**
 * Checks what the user asks for and fills in the rest.
 *
 * @param others names of further options that belong to the caller and are not looked at
 * @throws {KrunError} ERR_INVALID_OPTION, with the option's name in the message
 */
export function resolveConfig(options: MachineOptions, others: readonly string[] = []): MachineSpec {
  checkKeys('the options', options, [...KNOWN, ...others]);
  const rootDisk = resolveRootDisk(options.rootDisk);
  const shares = resolveShares(options);
  if (rootDisk !== undefined && options.root !== undefined) refuse('rootDisk', 'root is set as well');
  if (rootDisk !== undefined && !shares.some(({ tag }) => tag === ROOT_TAG)) shares.unshift(rootDiskShare());
  const engine = checkChoice('engine', options.engine ?? 'auto', ['auto', 'kvm', 'soft']);
  const spec: MachineSpec = {
    engine,
    vm: {
      memoryBytes: checkInteger('memoryMiB', options.memoryMiB ?? MEMORY_MIB, MEMORY_MIB_MIN, MEMORY_MIB_MAX) * MiB,
      vcpus: checkInteger('vcpus', options.vcpus ?? 1, 1, VCPUS_MAX[engine]),
    },
    ...resolveKvm(options),
    ...(checkFlag('precise', options.precise) && { precise: true }),
    kernel: resolveKernel(options.kernel ?? {}),
    ...resolveBios(options),
    oemStrings: resolveOemStrings(options),
    shares,
    disks: resolveDisks(options),
    ...(rootDisk !== undefined && { rootDisk }),
    consoles: resolveConsoles(options),
    serials: resolveSerials(options),
    ...resolveNetwork(options),
    workload: resolveWorkload(options),
  };
  if (!spec.shares.some(({ tag }) => tag === ROOT_TAG) && !bringsItsOwn(options)) {
    refuse(
      'the options',
      'there is no root',
      'set root to a host directory that holds a Linux system, for example "/"',
    );
  }
  return deepFreeze(spec);
}

/** Absent when nothing was asked for. */
function resolveKvm({ nested = false, splitIrqchip = false }: MachineOptions): Pick<MachineSpec, 'kvm'> {
  for (const [name, value] of Object.entries({ nested, splitIrqchip })) checkFlag(name, value);
  return nested || splitIrqchip ? { kvm: { nested, splitIrqchip } } : {};
}

function checkFlag(name: string, value = false): boolean {
  if (typeof value !== 'boolean') refuse(name, `expected true or false, found ${JSON.stringify(value)}`);
  return value;
}

/** Overlay data stays as it is: bytes cannot be frozen, and copying an image would cost. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const item of Object.values(value)) deepFreeze(item);
  return Object.freeze(value);
}
