import type { GuestIo, VcpuStop } from '../contract.ts';
import { KVM, KVM_EXIT, kvm_run } from './structs.ts';

/** What serving an exit needs of its vCPU. */
export interface ExitContext {
  /** kvm_run and what lies behind it. */
  readonly run: DataView;
  readonly io: GuestIo;
  /** The end of an interrupt at the I/O APIC that is ours when the irqchip is split. */
  endOfInterrupt(vector: number): void;
  /** Registers as text, for reports. */
  describe(): string;
}

/** -KVM_ENOSYS: what a hypercall that nobody knows answers. @spec LINUX-KVM "hypercalls" */
const NO_SUCH_HYPERCALL = -1000n;
const REASONS = new Map<number, string>(Object.entries(KVM_EXIT).map(([name, value]) => [value, `KVM_EXIT_${name}`]));

/**
 * Does what the guest left guest mode for; the answer goes into kvm_run.
 *
 * @returns why the vCPU cannot go on, or undefined: it can   @spec KVM-API §5
 */
export function serveExit(context: ExitContext): VcpuStop | undefined {
  const { run } = context;
  switch (run.getUint32(kvm_run.exit_reason, true)) {
    case KVM_EXIT.IO:
      return servePort(run, context.io);
    case KVM_EXIT.MMIO:
      return serveMmio(run, context.io);
    case KVM_EXIT.IRQ_WINDOW_OPEN:
    case KVM_EXIT.INTR:
    case KVM_EXIT.SET_TPR:
    case KVM_EXIT.TPR_ACCESS:
    case KVM_EXIT.NMI:
    case KVM_EXIT.X86_BUS_LOCK:
      return undefined;
    case KVM_EXIT.IOAPIC_EOI:
      context.endOfInterrupt(run.getUint8(kvm_run.eoi_vector));
      return undefined;
    case KVM_EXIT.HYPERCALL:
      run.setBigInt64(kvm_run.hypercall_ret, NO_SUCH_HYPERCALL, true);
      return undefined;
    case KVM_EXIT.X86_RDMSR:
    case KVM_EXIT.X86_WRMSR:
      run.setUint8(kvm_run.msr_error, 1); // becomes #GP(0)
      return undefined;
    case KVM_EXIT.HLT:
      return { reason: 'halted' }; // interrupt controllers outside the kernel only
    case KVM_EXIT.SHUTDOWN:
      return { reason: 'shutdown' };
    case KVM_EXIT.SYSTEM_EVENT:
      return serveSystemEvent(run);
    default:
      return { reason: 'error', detail: `${reasonOf(run)}\n${context.describe()}` };
  }
}

/** `count` accesses of the same port: a string instruction hands over many at once. */
function servePort(run: DataView, io: GuestIo): undefined {
  const size = run.getUint8(kvm_run.io_size) as 1 | 2 | 4;
  const port = run.getUint16(kvm_run.io_port, true);
  const count = run.getUint32(kvm_run.io_count, true);
  const out = run.getUint8(kvm_run.io_direction) === KVM.EXIT_IO_OUT;
  let at = Number(run.getBigUint64(kvm_run.io_data_offset, true));
  for (let i = 0; i < count; i++, at += size) {
    if (out) io.portWrite(port, size, readNumber(run, at, size));
    else writeNumber(run, at, size, io.portRead(port, size));
  }
}

/** Up to 8 bytes, which reach devices in the largest pieces that are aligned. */
function serveMmio(run: DataView, io: GuestIo): undefined {
  const gpa = Number(run.getBigUint64(kvm_run.mmio_phys_addr, true));
  const length = Math.min(run.getUint32(kvm_run.mmio_len, true), 8);
  const write = run.getUint8(kvm_run.mmio_is_write) !== 0;
  for (let done = 0; done < length; ) {
    const size = pieceAt(gpa + done, length - done);
    const at = kvm_run.mmio_data + done;
    if (write) io.mmioWrite(gpa + done, size, readNumber(run, at, size));
    else writeNumber(run, at, size, io.mmioRead(gpa + done, size));
    done += size;
  }
}

function pieceAt(gpa: number, left: number): 1 | 2 | 4 {
  if (gpa % 4 === 0 && left >= 4) return 4;
  return gpa % 2 === 0 && left >= 2 ? 2 : 1;
}

function serveSystemEvent(run: DataView): VcpuStop {
  const type = run.getUint32(kvm_run.system_event_type, true);
  if (type === KVM.SYSTEM_EVENT_CRASH) return { reason: 'error', detail: 'the guest reported that it crashed' };
  return { reason: 'shutdown' };
}

/** What KVM says about an exit that nobody can serve. */
function reasonOf(run: DataView): string {
  const reason = run.getUint32(kvm_run.exit_reason, true);
  const name = REASONS.get(reason) ?? `exit reason ${reason}`;
  switch (reason) {
    case KVM_EXIT.UNKNOWN:
      return `${name}: hardware reason ${hex(run.getBigUint64(kvm_run.hw_hardware_exit_reason, true))}`;
    case KVM_EXIT.FAIL_ENTRY:
      return `${name}: hardware reason ${hex(run.getBigUint64(kvm_run.fail_entry_hardware_entry_failure_reason, true))}`;
    case KVM_EXIT.EXCEPTION:
      return `${name}: exception ${run.getUint32(kvm_run.ex_exception, true)}`;
    case KVM_EXIT.INTERNAL_ERROR:
      return `${name}: ${internalError(run)}`;
    default:
      return name;
  }
}

function internalError(run: DataView): string {
  const suberror = run.getUint32(kvm_run.internal_suberror, true);
  const count = Math.min(run.getUint32(kvm_run.internal_ndata, true), 16);
  const data = Array.from({ length: count }, (_, i) => hex(run.getBigUint64(kvm_run.internal_data + i * 8, true)));
  const meaning =
    suberror === KVM.INTERNAL_ERROR_EMULATION
      ? 'an instruction KVM cannot emulate; engine "soft" can'
      : 'see KVM_EXIT_INTERNAL_ERROR';
  return `suberror ${suberror} (${meaning}), data ${data.join(' ')}`;
}

function readNumber(run: DataView, at: number, size: 1 | 2 | 4): number {
  if (size === 1) return run.getUint8(at);
  return size === 2 ? run.getUint16(at, true) : run.getUint32(at, true);
}

function writeNumber(run: DataView, at: number, size: 1 | 2 | 4, value: number): void {
  if (size === 1) run.setUint8(at, value);
  else if (size === 2) run.setUint16(at, value, true);
  else run.setUint32(at, value, true);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
