import type { Vm } from '../hypervisor/contract.ts';
import { MMIO } from '../virtio/registers.ts';
import type { MmioTransport } from '../virtio/mmio-transport.ts';
import type { Slot } from './memory-map.ts';

interface Seated {
  readonly slot: Slot;
  readonly transport: Pick<MmioTransport, 'queueCount' | 'write'>;
}

/**
 * Lets guests kick queues without waiting for the device, where the engine can do that. What the kick does stays the
 * transport's business: it is written to, as if the store had come over the bus.
 */
export function bindDoorbells(vm: Vm, devices: readonly Seated[]): void {
  for (const { slot, transport } of devices) {
    for (let queue = 0; queue < transport.queueCount; queue++) {
      const doorbell = { gpa: slot.gpa + MMIO.QueueNotify.at, value: queue };
      vm.bindDoorbell?.(doorbell, () => transport.write(MMIO.QueueNotify.at, 4, queue));
    }
  }
}
