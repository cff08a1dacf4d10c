import { MiB } from '../base/units.ts';
import { firmwareBytes } from '../boot/firmware-image.ts';
import { computeMemoryLayout, type MemoryLayout, plainMemoryLayout } from '../boot/memory-layout.ts';
import { MP_CPUS_MAX } from '../boot/mp-table.ts';
import type { MachineSpec } from '../config/spec.ts';
import type { VmConfig } from '../hypervisor/contract.ts';
import { MachineError } from './machine-error.ts';
import type { Payload } from './resources.ts';

/**
 * What to ask a hypervisor for, so that `assemble` finds room for everything.
 *
 * @throws {MachineError} ERR_MEMORY_SIZE, ERR_VCPU_COUNT   @throws {BootError} the kernel and the memory do not fit
 */
export function vmConfigFor({ vm }: Pick<MachineSpec, 'vm'>, payload: Payload): VmConfig {
  const { lowBytes, highBytes } = memoryLayoutFor(vm.memoryBytes, payload);
  if (highBytes > 0) {
    const found = `${Math.ceil(vm.memoryBytes / MiB)} MiB and the kernel reach beyond 0xd0000000, where devices begin`;
    throw new MachineError('ERR_MEMORY_SIZE', `Cannot lay out guest memory: ${found}`);
  }
  if (!(vm.vcpus >= 1 && vm.vcpus <= MP_CPUS_MAX)) {
    throw new MachineError(
      'ERR_VCPU_COUNT',
      `Cannot make a machine of ${vm.vcpus} vCPUs: it holds 1 to ${MP_CPUS_MAX}`,
    );
  }
  const topBytes = 'firmware' in payload ? firmwareBytes(payload) : 0;
  return { memoryBytes: lowBytes, vcpus: vm.vcpus, ...(topBytes > 0 && { topBytes }) };
}

/** Where RAM is, for what runs first. @throws {BootError} */
export function memoryLayoutFor(memoryBytes: number, payload: Payload): MemoryLayout {
  return 'firmware' in payload ? plainMemoryLayout(memoryBytes) : computeMemoryLayout(memoryBytes, payload);
}
