// Writes src/hypervisor/kvm/structs.ts: sizes, offsets and numbers of KVM's interface on x86-64, taken from the kernel's
// headers (Debian: linux-libc-dev) by a C compiler. `--check` compares instead of writing.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const target = join(dirname(fileURLToPath(import.meta.url)), '../src/hypervisor/kvm/structs.ts');

/** Struct -> fields, as C spells them; a member of a union inside leaves its last dots out of the name. */
const STRUCTS = {
  kvm_userspace_memory_region: 'slot flags guest_phys_addr memory_size userspace_addr',
  kvm_regs: 'rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags',
  kvm_segment: 'base limit selector type present dpl db s l g avl unusable',
  kvm_dtable: 'base limit',
  kvm_sregs: 'cs ds es fs gs ss tr ldt gdt idt cr0 cr2 cr3 cr4 cr8 efer apic_base interrupt_bitmap',
  kvm_fpu: 'fpr fcw fsw ftwx last_opcode last_ip last_dp xmm mxcsr',
  kvm_msrs: 'nmsrs entries',
  kvm_msr_entry: 'index data',
  kvm_cpuid2: 'nent entries',
  kvm_cpuid_entry2: 'function index flags eax ebx ecx edx',
  kvm_lapic_state: 'regs',
  kvm_mp_state: 'mp_state',
  kvm_signal_mask: 'len sigset',
  kvm_irqfd: 'fd gsi flags resamplefd',
  kvm_ioeventfd: 'datamatch addr len fd flags',
  kvm_irq_level: 'irq level',
  kvm_pit_config: 'flags',
  kvm_msi: 'address_lo address_hi data flags',
  kvm_irq_routing: 'nr flags entries',
  kvm_irq_routing_entry: 'gsi type flags u.msi.address_lo u.msi.address_hi u.msi.data',
  kvm_enable_cap: 'cap flags args',
  kvm_dirty_log: 'slot dirty_bitmap',
  kvm_guest_debug: 'control arch.debugreg',
  kvm_vcpu_events: 'exception.injected exception.nr interrupt.injected interrupt.nr nmi.injected nmi.pending flags',
  kvm_clock_data: 'clock flags',
  kvm_run:
    'request_interrupt_window immediate_exit exit_reason ready_for_interrupt_injection if_flag flags cr8 apic_base ' +
    'hw.hardware_exit_reason fail_entry.hardware_entry_failure_reason fail_entry.cpu ex.exception ex.error_code ' +
    'io.direction io.size io.port io.count io.data_offset debug.arch.exception debug.arch.pc debug.arch.dr6 ' +
    'mmio.phys_addr mmio.data mmio.len mmio.is_write hypercall.nr hypercall.args hypercall.ret ' +
    'internal.suberror internal.ndata internal.data system_event.type system_event.ndata system_event.data ' +
    'eoi.vector msr.error msr.reason msr.index msr.data',
};

/** ioctl requests: numbers above 2**31 are unsigned. */
const IOCTLS = `
  KVM_GET_API_VERSION KVM_CREATE_VM KVM_CHECK_EXTENSION KVM_GET_VCPU_MMAP_SIZE KVM_GET_SUPPORTED_CPUID
  KVM_CREATE_VCPU KVM_GET_DIRTY_LOG KVM_SET_USER_MEMORY_REGION KVM_SET_TSS_ADDR KVM_SET_IDENTITY_MAP_ADDR
  KVM_CREATE_IRQCHIP KVM_CREATE_PIT2 KVM_IRQ_LINE KVM_IRQFD KVM_IOEVENTFD KVM_SIGNAL_MSI KVM_SET_GSI_ROUTING
  KVM_ENABLE_CAP KVM_GET_CLOCK KVM_SET_CLOCK
  KVM_RUN KVM_GET_REGS KVM_SET_REGS KVM_GET_SREGS KVM_SET_SREGS KVM_GET_MSRS KVM_SET_MSRS KVM_SET_CPUID2 KVM_GET_CPUID2
  KVM_GET_FPU KVM_SET_FPU KVM_GET_LAPIC KVM_SET_LAPIC KVM_GET_MP_STATE KVM_SET_MP_STATE KVM_SET_SIGNAL_MASK
  KVM_GET_TSC_KHZ KVM_SET_GUEST_DEBUG KVM_GET_VCPU_EVENTS KVM_SET_VCPU_EVENTS KVM_KVMCLOCK_CTRL KVM_NMI`;

const EXITS = `
  UNKNOWN EXCEPTION IO HYPERCALL DEBUG HLT MMIO IRQ_WINDOW_OPEN SHUTDOWN FAIL_ENTRY INTR SET_TPR TPR_ACCESS NMI
  INTERNAL_ERROR SYSTEM_EVENT IOAPIC_EOI HYPERV X86_RDMSR X86_WRMSR DIRTY_RING_FULL X86_BUS_LOCK NOTIFY`;

const NUMBERS = `
  KVM_API_VERSION KVM_MEM_LOG_DIRTY_PAGES KVM_PIT_SPEAKER_DUMMY KVM_IOEVENTFD_FLAG_DATAMATCH KVM_IRQFD_FLAG_DEASSIGN
  KVM_IOEVENTFD_FLAG_DEASSIGN KVM_IRQ_ROUTING_MSI KVM_CPUID_FLAG_SIGNIFCANT_INDEX
  KVM_MP_STATE_RUNNABLE KVM_MP_STATE_UNINITIALIZED KVM_MP_STATE_INIT_RECEIVED KVM_MP_STATE_HALTED
  KVM_EXIT_IO_OUT KVM_SYSTEM_EVENT_SHUTDOWN KVM_SYSTEM_EVENT_RESET KVM_SYSTEM_EVENT_CRASH
  KVM_GUESTDBG_ENABLE KVM_GUESTDBG_SINGLESTEP KVM_INTERNAL_ERROR_EMULATION
  KVM_CAP_IRQCHIP KVM_CAP_USER_MEMORY KVM_CAP_SET_TSS_ADDR KVM_CAP_IRQFD KVM_CAP_IOEVENTFD KVM_CAP_NR_VCPUS
  KVM_CAP_MAX_VCPUS KVM_CAP_IMMEDIATE_EXIT KVM_CAP_SPLIT_IRQCHIP KVM_CAP_TSC_DEADLINE_TIMER KVM_CAP_PIT2
  KVM_CAP_GET_TSC_KHZ KVM_CAP_SIGNAL_MSI KVM_CAP_SET_GUEST_DEBUG`;

const words = (text) => text.trim().split(/\s+/);
const structs = Object.entries(STRUCTS).map(([name, fields]) => {
  const lines = words(fields).map(
    (field) => `printf("  ${fieldName(field)}: %zu,\\n", offsetof(struct ${name}, ${field}));`,
  );
  return [
    `printf("export const ${name} = {\\n  size: %zu,\\n", sizeof(struct ${name}));`,
    ...lines,
    'printf("} as const;\\n\\n");',
  ];
});
const record = (title, entries) => [
  `printf("${title} = {\\n");`,
  ...entries.map(([name, value]) => `printf("  ${name}: 0x%llx,\\n", (unsigned long long)(${value}));`),
  'printf("} as const;\\n\\n");',
];
const program = [
  '#include <linux/kvm.h>',
  '#include <stddef.h>',
  '#include <stdio.h>',
  'int main(void) {',
  ...structs.flat(),
  ...record(
    '/** ioctl requests. */\\nexport const IOCTL',
    words(IOCTLS).map((name) => [name, name]),
  ),
  ...record(
    '/** What kvm_run.exit_reason may say. */\\nexport const KVM_EXIT',
    words(EXITS).map((name) => [name, `KVM_EXIT_${name}`]),
  ),
  ...record(
    '/** Flags, states and capabilities. */\\nexport const KVM',
    words(NUMBERS).map((name) => [name.replace(/^KVM_/, ''), name]),
  ),
  'return 0; }',
];

const generated = format(compileAndRun(program.join('\n')));
if (process.argv[2] !== '--check') writeFileSync(target, generated);
else if (readFileSync(target, 'utf8') !== generated) {
  console.error('src/hypervisor/kvm/structs.ts is not what the headers of this host say');
  process.exit(1);
}

/** `u.msi.data` is `msi_data`: TypeScript records have no unions. */
function fieldName(field) {
  return field.replace(/^u\./, '').replaceAll('.', '_');
}

function compileAndRun(source) {
  const folder = mkdtempSync(join(tmpdir(), 'kvm-structs-'));
  try {
    const file = join(folder, 'structs.c');
    writeFileSync(file, source);
    execFileSync('cc', ['-m64', '-o', join(folder, 'structs'), file]);
    return execFileSync(join(folder, 'structs'), { encoding: 'utf8' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function format(text) {
  const title =
    '// Made by scripts/kvm-structs.mjs from linux/kvm.h for x86-64: sizes and offsets in bytes, numbers. Not edited by hand.\n' +
    "// Names are the header's. @spec KVM-API\n\n";
  return `${title}${text.trimEnd()}\n`;
}
