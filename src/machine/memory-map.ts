import { MachineError } from './machine-error.ts';

/**
 * Where devices are, as in libkrun: virtio-mmio windows from 0xd0000000 on, one page and one interrupt each, in the
 * order of the device table. RAM ends below; the interrupt controllers at 0xfec00000 and 0xfee00000 are the
 * hypervisor's.
 */
export const VIRTIO_MMIO = {
  base: 0xd000_0000,
  stride: 0x1000,
  firstIrq: 5,
  lastIrq: 15,
} as const;

/** A window and its interrupt. */
export interface Slot {
  readonly gpa: number;
  readonly irq: number;
}

/** @throws {MachineError} ERR_DEVICE_COUNT: there are no more interrupts */
export function slotAt(index: number): Slot {
  const irq = VIRTIO_MMIO.firstIrq + index;
  if (irq > VIRTIO_MMIO.lastIrq) {
    const most = VIRTIO_MMIO.lastIrq - VIRTIO_MMIO.firstIrq + 1;
    throw new MachineError('ERR_DEVICE_COUNT', `Cannot add another device: all ${most} interrupts are taken`);
  }
  return { gpa: VIRTIO_MMIO.base + index * VIRTIO_MMIO.stride, irq };
}

/** The word by which the kernel finds the device. @spec LINUX-CMDLINE "virtio_mmio.device=" */
export function slotWord({ gpa, irq }: Slot): string {
  return `virtio_mmio.device=4K@0x${gpa.toString(16).padStart(8, '0')}:${irq}`;
}
