import type { Bus } from '../bus/bus.ts';
import type { GuestIo } from '../hypervisor/contract.ts';

/** The machine's two address spaces of devices, as a vCPU reaches them. */
export function guestIo(ports: Bus, mmio: Bus): GuestIo {
  return {
    portRead: (port, size) => ports.read(port, size),
    portWrite: (port, size, value) => ports.write(port, size, value),
    mmioRead: (gpa, size) => mmio.read(gpa, size),
    mmioWrite: (gpa, size, value) => mmio.write(gpa, size, value),
  };
}
