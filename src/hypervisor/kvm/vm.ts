import type { KernelCalls } from '../../native/kernel-calls.ts';
import { checked } from './kvm-error.ts';
import { bytesOf, struct } from './struct.ts';
import {
  IOCTL,
  KVM,
  kvm_clock_data,
  kvm_dirty_log,
  kvm_enable_cap,
  kvm_ioeventfd,
  kvm_irq_level,
  kvm_irq_routing,
  kvm_irq_routing_entry,
  kvm_irqfd,
  kvm_msi,
  kvm_pit_config,
  kvm_userspace_memory_region,
} from './structs.ts';
import { KvmVcpuDescriptor } from './vcpu.ts';

/** A range of guest-physical memory and the host memory behind it. */
export interface MemorySlot {
  readonly slot: number;
  readonly gpa: number;
  /** Bytes, a multiple of 4 KiB; 0 removes the slot. */
  readonly length: number;
  /** A multiple of 4 KiB; stays mapped for as long as the VM lives. */
  readonly hva: bigint;
  readonly logDirtyPages?: boolean;
}

/** A message-signalled interrupt. */
export interface Msi {
  readonly address: number;
  readonly data: number;
}

/** One VM of KVM. One method per ioctl. @spec KVM-API §4 "vm ioctls" */
export class KvmVmDescriptor {
  readonly #calls: KernelCalls;
  readonly #fd: number;
  readonly #runBytes: number;

  constructor(calls: KernelCalls, fd: number, runBytes: number) {
    this.#calls = calls;
    this.#fd = fd;
    this.#runBytes = runBytes;
  }

  createVcpu(id: number): KvmVcpuDescriptor {
    return new KvmVcpuDescriptor(this.#calls, this.#ioctl('KVM_CREATE_VCPU', id), this.#runBytes);
  }

  setUserMemoryRegion({ slot, gpa, length, hva, logDirtyPages = false }: MemorySlot): void {
    const region = struct(kvm_userspace_memory_region.size);
    region.setUint32(kvm_userspace_memory_region.slot, slot, true);
    region.setUint32(kvm_userspace_memory_region.flags, logDirtyPages ? KVM.MEM_LOG_DIRTY_PAGES : 0, true);
    region.setBigUint64(kvm_userspace_memory_region.guest_phys_addr, BigInt(gpa), true);
    region.setBigUint64(kvm_userspace_memory_region.memory_size, BigInt(length), true);
    region.setBigUint64(kvm_userspace_memory_region.userspace_addr, hva, true);
    this.#ioctl('KVM_SET_USER_MEMORY_REGION', region);
  }

  /** One bit per page of the slot, set when the guest wrote it since the last call; forgets them. */
  getDirtyLog(slot: number, pages: number): Uint8Array {
    const bitmap = new Uint8Array(Math.ceil(pages / 64) * 8);
    const log = struct(kvm_dirty_log.size);
    log.setUint32(kvm_dirty_log.slot, slot, true);
    log.setBigUint64(kvm_dirty_log.dirty_bitmap, this.#calls.addressOf(bitmap), true);
    this.#ioctl('KVM_GET_DIRTY_LOG', log);
    return bitmap;
  }

  /** Three pages below 4 GiB that the guest does not use otherwise: Intel's processors want them for real mode. */
  setTssAddr(gpa: number): void {
    this.#ioctl('KVM_SET_TSS_ADDR', gpa);
  }

  setIdentityMapAddr(gpa: number): void {
    const address = struct(8);
    address.setBigUint64(0, BigInt(gpa), true);
    this.#ioctl('KVM_SET_IDENTITY_MAP_ADDR', address);
  }

  createIrqchip(): void {
    this.#ioctl('KVM_CREATE_IRQCHIP', 0);
  }

  createPit2({ speakerDummy }: { readonly speakerDummy: boolean }): void {
    const config = struct(kvm_pit_config.size);
    config.setUint32(kvm_pit_config.flags, speakerDummy ? KVM.PIT_SPEAKER_DUMMY : 0, true);
    this.#ioctl('KVM_CREATE_PIT2', config);
  }

  enableCap(capability: number, argument: number): void {
    const cap = struct(kvm_enable_cap.size);
    cap.setUint32(kvm_enable_cap.cap, capability, true);
    cap.setBigUint64(kvm_enable_cap.args, BigInt(argument), true);
    this.#ioctl('KVM_ENABLE_CAP', cap);
  }

  irqLine(gsi: number, level: boolean): void {
    const line = struct(kvm_irq_level.size);
    line.setUint32(kvm_irq_level.irq, gsi, true);
    line.setUint32(kvm_irq_level.level, level ? 1 : 0, true);
    this.#ioctl('KVM_IRQ_LINE', line);
  }

  /** Whatever is added to the eventfd becomes one edge of the interrupt. */
  irqfd(eventfd: number, gsi: number): void {
    const irqfd = struct(kvm_irqfd.size);
    irqfd.setUint32(kvm_irqfd.fd, eventfd, true);
    irqfd.setUint32(kvm_irqfd.gsi, gsi, true);
    this.#ioctl('KVM_IRQFD', irqfd);
  }

  /** A guest that writes exactly this value there adds to the eventfd instead of leaving guest mode for us. */
  ioeventfd(
    eventfd: number,
    { gpa, length, value }: { readonly gpa: number; readonly length: number; readonly value: number },
  ): void {
    const ioeventfd = struct(kvm_ioeventfd.size);
    ioeventfd.setBigUint64(kvm_ioeventfd.datamatch, BigInt(value), true);
    ioeventfd.setBigUint64(kvm_ioeventfd.addr, BigInt(gpa), true);
    ioeventfd.setUint32(kvm_ioeventfd.len, length, true);
    ioeventfd.setInt32(kvm_ioeventfd.fd, eventfd, true);
    ioeventfd.setUint32(kvm_ioeventfd.flags, KVM.IOEVENTFD_FLAG_DATAMATCH, true);
    this.#ioctl('KVM_IOEVENTFD', ioeventfd);
  }

  signalMsi({ address, data }: Msi): void {
    const msi = struct(kvm_msi.size);
    msi.setUint32(kvm_msi.address_lo, address, true);
    msi.setUint32(kvm_msi.data, data, true);
    this.#ioctl('KVM_SIGNAL_MSI', msi);
  }

  /** Replaces all routes by these messages; an interrupt without one goes nowhere. */
  setGsiRouting(routes: ReadonlyMap<number, Msi>): void {
    const routing = struct(kvm_irq_routing.entries + routes.size * kvm_irq_routing_entry.size);
    routing.setUint32(kvm_irq_routing.nr, routes.size, true);
    let at: number = kvm_irq_routing.entries;
    for (const [gsi, { address, data }] of routes) {
      routing.setUint32(at + kvm_irq_routing_entry.gsi, gsi, true);
      routing.setUint32(at + kvm_irq_routing_entry.type, KVM.IRQ_ROUTING_MSI, true);
      routing.setUint32(at + kvm_irq_routing_entry.msi_address_lo, address, true);
      routing.setUint32(at + kvm_irq_routing_entry.msi_data, data, true);
      at += kvm_irq_routing_entry.size;
    }
    this.#ioctl('KVM_SET_GSI_ROUTING', routing);
  }

  /** kvmclock's nanoseconds. */
  getClock(): bigint {
    const clock = struct(kvm_clock_data.size);
    this.#ioctl('KVM_GET_CLOCK', clock);
    return clock.getBigUint64(kvm_clock_data.clock, true);
  }

  setClock(ns: bigint): void {
    const clock = struct(kvm_clock_data.size);
    clock.setBigUint64(kvm_clock_data.clock, ns, true);
    this.#ioctl('KVM_SET_CLOCK', clock);
  }

  /** The VM ends when its vCPUs are closed too. */
  close(): void {
    this.#calls.close(this.#fd);
  }

  #ioctl(name: keyof typeof IOCTL, argument: number | DataView): number {
    const bytes = typeof argument === 'number' ? argument : bytesOf(argument);
    return checked(name, this.#calls.ioctl(this.#fd, IOCTL[name], bytes));
  }
}
