import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as structs from './structs.ts';

test('sizes are those of the KVM API on x86-64', () => {
  // Written down independently of the headers; request numbers contain them too.
  const sizes = {
    kvm_userspace_memory_region: 32,
    kvm_regs: 144,
    kvm_segment: 24,
    kvm_dtable: 16,
    kvm_sregs: 312,
    kvm_fpu: 416,
    kvm_msr_entry: 16,
    kvm_cpuid_entry2: 40,
    kvm_lapic_state: 1024,
    kvm_mp_state: 4,
    kvm_irqfd: 32,
    kvm_ioeventfd: 64,
    kvm_irq_level: 8,
    kvm_pit_config: 64,
    kvm_msi: 32,
    kvm_irq_routing_entry: 48,
    kvm_enable_cap: 104,
    kvm_dirty_log: 16,
    kvm_guest_debug: 72,
    kvm_vcpu_events: 64,
    kvm_clock_data: 48,
    kvm_run: 2352,
  };
  for (const [name, size] of Object.entries(sizes)) {
    assert.equal((structs as unknown as Record<string, { size: number }>)[name]?.size, size, name);
  }
});

test('the size inside a request is that of its struct', () => {
  const { IOCTL } = structs;
  const sizeOf = (request: number): number => (request >>> 16) & 0x3fff;
  const pairs = [
    [IOCTL.KVM_SET_USER_MEMORY_REGION, structs.kvm_userspace_memory_region],
    [IOCTL.KVM_GET_REGS, structs.kvm_regs],
    [IOCTL.KVM_SET_SREGS, structs.kvm_sregs],
    [IOCTL.KVM_SET_FPU, structs.kvm_fpu],
    [IOCTL.KVM_SET_LAPIC, structs.kvm_lapic_state],
    [IOCTL.KVM_IRQFD, structs.kvm_irqfd],
    [IOCTL.KVM_IOEVENTFD, structs.kvm_ioeventfd],
    [IOCTL.KVM_IRQ_LINE, structs.kvm_irq_level],
    [IOCTL.KVM_CREATE_PIT2, structs.kvm_pit_config],
    [IOCTL.KVM_SIGNAL_MSI, structs.kvm_msi],
    [IOCTL.KVM_ENABLE_CAP, structs.kvm_enable_cap],
    [IOCTL.KVM_SET_GUEST_DEBUG, structs.kvm_guest_debug],
    [IOCTL.KVM_SET_VCPU_EVENTS, structs.kvm_vcpu_events],
    [IOCTL.KVM_SET_CLOCK, structs.kvm_clock_data],
  ] as const;
  for (const [request, { size }] of pairs) assert.equal(sizeOf(request), size);
});
