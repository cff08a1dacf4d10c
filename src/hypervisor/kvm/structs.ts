// Made by scripts/kvm-structs.mjs from linux/kvm.h for x86-64: sizes and offsets in bytes, numbers. Not edited by hand.
// Names are the header's. @spec KVM-API

export const kvm_userspace_memory_region = {
  size: 32,
  slot: 0,
  flags: 4,
  guest_phys_addr: 8,
  memory_size: 16,
  userspace_addr: 24,
} as const;

export const kvm_regs = {
  size: 144,
  rax: 0,
  rbx: 8,
  rcx: 16,
  rdx: 24,
  rsi: 32,
  rdi: 40,
  rsp: 48,
  rbp: 56,
  r8: 64,
  r9: 72,
  r10: 80,
  r11: 88,
  r12: 96,
  r13: 104,
  r14: 112,
  r15: 120,
  rip: 128,
  rflags: 136,
} as const;

export const kvm_segment = {
  size: 24,
  base: 0,
  limit: 8,
  selector: 12,
  type: 14,
  present: 15,
  dpl: 16,
  db: 17,
  s: 18,
  l: 19,
  g: 20,
  avl: 21,
  unusable: 22,
} as const;

export const kvm_dtable = {
  size: 16,
  base: 0,
  limit: 8,
} as const;

export const kvm_sregs = {
  size: 312,
  cs: 0,
  ds: 24,
  es: 48,
  fs: 72,
  gs: 96,
  ss: 120,
  tr: 144,
  ldt: 168,
  gdt: 192,
  idt: 208,
  cr0: 224,
  cr2: 232,
  cr3: 240,
  cr4: 248,
  cr8: 256,
  efer: 264,
  apic_base: 272,
  interrupt_bitmap: 280,
} as const;

export const kvm_fpu = {
  size: 416,
  fpr: 0,
  fcw: 128,
  fsw: 130,
  ftwx: 132,
  last_opcode: 134,
  last_ip: 136,
  last_dp: 144,
  xmm: 152,
  mxcsr: 408,
} as const;

export const kvm_msrs = {
  size: 8,
  nmsrs: 0,
  entries: 8,
} as const;

export const kvm_msr_entry = {
  size: 16,
  index: 0,
  data: 8,
} as const;

export const kvm_cpuid2 = {
  size: 8,
  nent: 0,
  entries: 8,
} as const;

export const kvm_cpuid_entry2 = {
  size: 40,
  function: 0,
  index: 4,
  flags: 8,
  eax: 12,
  ebx: 16,
  ecx: 20,
  edx: 24,
} as const;

export const kvm_lapic_state = {
  size: 1024,
  regs: 0,
} as const;

export const kvm_mp_state = {
  size: 4,
  mp_state: 0,
} as const;

export const kvm_signal_mask = {
  size: 4,
  len: 0,
  sigset: 4,
} as const;

export const kvm_irqfd = {
  size: 32,
  fd: 0,
  gsi: 4,
  flags: 8,
  resamplefd: 12,
} as const;

export const kvm_ioeventfd = {
  size: 64,
  datamatch: 0,
  addr: 8,
  len: 16,
  fd: 20,
  flags: 24,
} as const;

export const kvm_irq_level = {
  size: 8,
  irq: 0,
  level: 4,
} as const;

export const kvm_pit_config = {
  size: 64,
  flags: 0,
} as const;

export const kvm_msi = {
  size: 32,
  address_lo: 0,
  address_hi: 4,
  data: 8,
  flags: 12,
} as const;

export const kvm_irq_routing = {
  size: 8,
  nr: 0,
  flags: 4,
  entries: 8,
} as const;

export const kvm_irq_routing_entry = {
  size: 48,
  gsi: 0,
  type: 4,
  flags: 8,
  msi_address_lo: 16,
  msi_address_hi: 20,
  msi_data: 24,
} as const;

export const kvm_enable_cap = {
  size: 104,
  cap: 0,
  flags: 4,
  args: 8,
} as const;

export const kvm_dirty_log = {
  size: 16,
  slot: 0,
  dirty_bitmap: 8,
} as const;

export const kvm_guest_debug = {
  size: 72,
  control: 0,
  arch_debugreg: 8,
} as const;

export const kvm_vcpu_events = {
  size: 64,
  exception_injected: 0,
  exception_nr: 1,
  interrupt_injected: 8,
  interrupt_nr: 9,
  nmi_injected: 12,
  nmi_pending: 13,
  flags: 20,
} as const;

export const kvm_clock_data = {
  size: 48,
  clock: 0,
  flags: 8,
} as const;

export const kvm_run = {
  size: 2352,
  request_interrupt_window: 0,
  immediate_exit: 1,
  exit_reason: 8,
  ready_for_interrupt_injection: 12,
  if_flag: 13,
  flags: 14,
  cr8: 16,
  apic_base: 24,
  hw_hardware_exit_reason: 32,
  fail_entry_hardware_entry_failure_reason: 32,
  fail_entry_cpu: 40,
  ex_exception: 32,
  ex_error_code: 36,
  io_direction: 32,
  io_size: 33,
  io_port: 34,
  io_count: 36,
  io_data_offset: 40,
  debug_arch_exception: 32,
  debug_arch_pc: 40,
  debug_arch_dr6: 48,
  mmio_phys_addr: 32,
  mmio_data: 40,
  mmio_len: 48,
  mmio_is_write: 52,
  hypercall_nr: 32,
  hypercall_args: 40,
  hypercall_ret: 88,
  internal_suberror: 32,
  internal_ndata: 36,
  internal_data: 40,
  system_event_type: 32,
  system_event_ndata: 36,
  system_event_data: 40,
  eoi_vector: 32,
  msr_error: 32,
  msr_reason: 40,
  msr_index: 44,
  msr_data: 48,
} as const;

/** ioctl requests. */
export const IOCTL = {
  KVM_GET_API_VERSION: 0xae00,
  KVM_CREATE_VM: 0xae01,
  KVM_CHECK_EXTENSION: 0xae03,
  KVM_GET_VCPU_MMAP_SIZE: 0xae04,
  KVM_GET_SUPPORTED_CPUID: 0xc008ae05,
  KVM_CREATE_VCPU: 0xae41,
  KVM_GET_DIRTY_LOG: 0x4010ae42,
  KVM_SET_USER_MEMORY_REGION: 0x4020ae46,
  KVM_SET_TSS_ADDR: 0xae47,
  KVM_SET_IDENTITY_MAP_ADDR: 0x4008ae48,
  KVM_CREATE_IRQCHIP: 0xae60,
  KVM_CREATE_PIT2: 0x4040ae77,
  KVM_IRQ_LINE: 0x4008ae61,
  KVM_IRQFD: 0x4020ae76,
  KVM_IOEVENTFD: 0x4040ae79,
  KVM_SIGNAL_MSI: 0x4020aea5,
  KVM_SET_GSI_ROUTING: 0x4008ae6a,
  KVM_ENABLE_CAP: 0x4068aea3,
  KVM_GET_CLOCK: 0x8030ae7c,
  KVM_SET_CLOCK: 0x4030ae7b,
  KVM_RUN: 0xae80,
  KVM_GET_REGS: 0x8090ae81,
  KVM_SET_REGS: 0x4090ae82,
  KVM_GET_SREGS: 0x8138ae83,
  KVM_SET_SREGS: 0x4138ae84,
  KVM_GET_MSRS: 0xc008ae88,
  KVM_SET_MSRS: 0x4008ae89,
  KVM_SET_CPUID2: 0x4008ae90,
  KVM_GET_CPUID2: 0xc008ae91,
  KVM_GET_FPU: 0x81a0ae8c,
  KVM_SET_FPU: 0x41a0ae8d,
  KVM_GET_LAPIC: 0x8400ae8e,
  KVM_SET_LAPIC: 0x4400ae8f,
  KVM_GET_MP_STATE: 0x8004ae98,
  KVM_SET_MP_STATE: 0x4004ae99,
  KVM_SET_SIGNAL_MASK: 0x4004ae8b,
  KVM_GET_TSC_KHZ: 0xaea3,
  KVM_SET_GUEST_DEBUG: 0x4048ae9b,
  KVM_GET_VCPU_EVENTS: 0x8040ae9f,
  KVM_SET_VCPU_EVENTS: 0x4040aea0,
  KVM_KVMCLOCK_CTRL: 0xaead,
  KVM_NMI: 0xae9a,
} as const;

/** What kvm_run.exit_reason may say. */
export const KVM_EXIT = {
  UNKNOWN: 0x0,
  EXCEPTION: 0x1,
  IO: 0x2,
  HYPERCALL: 0x3,
  DEBUG: 0x4,
  HLT: 0x5,
  MMIO: 0x6,
  IRQ_WINDOW_OPEN: 0x7,
  SHUTDOWN: 0x8,
  FAIL_ENTRY: 0x9,
  INTR: 0xa,
  SET_TPR: 0xb,
  TPR_ACCESS: 0xc,
  NMI: 0x10,
  INTERNAL_ERROR: 0x11,
  SYSTEM_EVENT: 0x18,
  IOAPIC_EOI: 0x1a,
  HYPERV: 0x1b,
  X86_RDMSR: 0x1d,
  X86_WRMSR: 0x1e,
  DIRTY_RING_FULL: 0x1f,
  X86_BUS_LOCK: 0x21,
  NOTIFY: 0x25,
} as const;

/** Flags, states and capabilities. */
export const KVM = {
  API_VERSION: 0xc,
  MEM_LOG_DIRTY_PAGES: 0x1,
  PIT_SPEAKER_DUMMY: 0x1,
  IOEVENTFD_FLAG_DATAMATCH: 0x1,
  IRQFD_FLAG_DEASSIGN: 0x1,
  IOEVENTFD_FLAG_DEASSIGN: 0x4,
  IRQ_ROUTING_MSI: 0x2,
  CPUID_FLAG_SIGNIFCANT_INDEX: 0x1,
  MP_STATE_RUNNABLE: 0x0,
  MP_STATE_UNINITIALIZED: 0x1,
  MP_STATE_INIT_RECEIVED: 0x2,
  MP_STATE_HALTED: 0x3,
  EXIT_IO_OUT: 0x1,
  SYSTEM_EVENT_SHUTDOWN: 0x1,
  SYSTEM_EVENT_RESET: 0x2,
  SYSTEM_EVENT_CRASH: 0x3,
  GUESTDBG_ENABLE: 0x1,
  GUESTDBG_SINGLESTEP: 0x2,
  INTERNAL_ERROR_EMULATION: 0x1,
  CAP_IRQCHIP: 0x0,
  CAP_USER_MEMORY: 0x3,
  CAP_SET_TSS_ADDR: 0x4,
  CAP_IRQFD: 0x20,
  CAP_IOEVENTFD: 0x24,
  CAP_NR_VCPUS: 0x9,
  CAP_MAX_VCPUS: 0x42,
  CAP_IMMEDIATE_EXIT: 0x88,
  CAP_SPLIT_IRQCHIP: 0x79,
  CAP_TSC_DEADLINE_TIMER: 0x48,
  CAP_PIT2: 0x21,
  CAP_GET_TSC_KHZ: 0x3d,
  CAP_SIGNAL_MSI: 0x4d,
  CAP_SET_GUEST_DEBUG: 0x17,
} as const;
