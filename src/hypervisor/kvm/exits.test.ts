import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VcpuStop } from '../contract.ts';
import { NotingIo } from '../guest-harness.ts';
import { serveExit } from './exits.ts';
import { KVM, KVM_EXIT, kvm_run } from './structs.ts';

interface Served {
  readonly stop: VcpuStop | undefined;
  readonly run: DataView;
  readonly notes: readonly string[];
  readonly ended: readonly number[];
}

function serve(reason: number, fill: (run: DataView) => void = () => {}, reads: readonly number[] = []): Served {
  const run = new DataView(new ArrayBuffer(kvm_run.size + 4096));
  run.setUint32(kvm_run.exit_reason, reason, true);
  fill(run);
  const io = new NotingIo(reads);
  const ended: number[] = [];
  const endOfInterrupt = (vector: number): void => void ended.push(vector);
  const stop = serveExit({ run, io, endOfInterrupt, describe: () => 'rip 1234' });
  return { stop, run, notes: io.notes, ended };
}

test('a memory access of an odd length reaches devices in aligned pieces', () => {
  const { notes, stop } = serve(KVM_EXIT.MMIO, (run) => {
    run.setBigUint64(kvm_run.mmio_phys_addr, 0xd000_0001n, true);
    run.setUint32(kvm_run.mmio_len, 7, true);
    run.setUint8(kvm_run.mmio_is_write, 1);
    for (let i = 0; i < 7; i++) run.setUint8(kvm_run.mmio_data + i, i + 1);
  });
  assert.equal(stop, undefined);
  assert.deepEqual(notes, ['store d0000001 1 1', 'store d0000002 2 302', 'store d0000004 4 7060504']);
});

test('a length beyond eight is taken as eight', () => {
  const { notes } = serve(KVM_EXIT.MMIO, (run) => run.setUint32(kvm_run.mmio_len, 0xffff_ffff, true));
  assert.deepEqual(notes, ['load 0 4', 'load 4 4']);
});

test('each of many port accesses gets its own answer', () => {
  const { run } = serve(
    KVM_EXIT.IO,
    (into) => {
      into.setUint8(kvm_run.io_size, 2);
      into.setUint16(kvm_run.io_port, 0x3f8, true);
      into.setUint32(kvm_run.io_count, 3, true);
      into.setBigUint64(kvm_run.io_data_offset, BigInt(kvm_run.size), true);
    },
    [1, 2, 0xffff],
  );
  assert.deepEqual(
    [0, 2, 4].map((at) => run.getUint16(kvm_run.size + at, true)),
    [1, 2, 0xffff],
  );
});

test('a model-specific register that reached us does not exist', () => {
  assert.equal(serve(KVM_EXIT.X86_RDMSR).run.getUint8(kvm_run.msr_error), 1);
  assert.equal(serve(KVM_EXIT.X86_WRMSR).run.getUint8(kvm_run.msr_error), 1);
});

test('a hypercall that reached us is not known', () => {
  assert.equal(serve(KVM_EXIT.HYPERCALL).run.getBigInt64(kvm_run.hypercall_ret, true), -1000n);
});

test('the end of an interrupt goes to the I/O APIC', () => {
  assert.deepEqual(serve(KVM_EXIT.IOAPIC_EOI, (run) => run.setUint8(kvm_run.eoi_vector, 0x31)).ended, [0x31]);
});

test('what only asks for another run has no effect', () => {
  for (const name of ['IRQ_WINDOW_OPEN', 'INTR', 'SET_TPR', 'TPR_ACCESS', 'NMI', 'X86_BUS_LOCK'] as const) {
    const { stop, notes } = serve(KVM_EXIT[name]);
    assert.deepEqual([stop, notes], [undefined, []], name);
  }
});

test('a shutdown, a system event and a halt end the processor', () => {
  const event = (type: number): VcpuStop | undefined =>
    serve(KVM_EXIT.SYSTEM_EVENT, (run) => run.setUint32(kvm_run.system_event_type, type, true)).stop;
  assert.deepEqual(serve(KVM_EXIT.SHUTDOWN).stop, { reason: 'shutdown' });
  assert.deepEqual(serve(KVM_EXIT.HLT).stop, { reason: 'halted' });
  assert.deepEqual(event(KVM.SYSTEM_EVENT_SHUTDOWN), { reason: 'shutdown' });
  assert.deepEqual(event(KVM.SYSTEM_EVENT_RESET), { reason: 'shutdown' });
  assert.equal(event(KVM.SYSTEM_EVENT_CRASH)?.reason, 'error');
});

test('every other reason is an error that names it and shows the registers', () => {
  const served = new Set(
    ['IO', 'MMIO', 'IRQ_WINDOW_OPEN', 'INTR', 'SET_TPR', 'TPR_ACCESS', 'NMI', 'X86_BUS_LOCK', 'IOAPIC_EOI'].concat([
      'HYPERCALL',
      'X86_RDMSR',
      'X86_WRMSR',
      'HLT',
      'SHUTDOWN',
      'SYSTEM_EVENT',
    ]),
  );
  for (const [name, reason] of Object.entries(KVM_EXIT)) {
    if (served.has(name)) continue;
    const { stop } = serve(reason);
    assert.equal(stop?.reason, 'error');
    assert.match((stop as { detail: string }).detail, new RegExp(`^KVM_EXIT_${name}(:|\n)`));
    assert.match((stop as { detail: string }).detail, /rip 1234$/);
  }
  assert.match((serve(999).stop as { detail: string }).detail, /^exit reason 999\n/);
});

test('how an entry into the guest failed is in the error', () => {
  const { stop } = serve(KVM_EXIT.FAIL_ENTRY, (run) => {
    run.setBigUint64(kvm_run.fail_entry_hardware_entry_failure_reason, 0x8000_0021n, true);
  });
  assert.match((stop as { detail: string }).detail, /hardware reason 0x80000021/);
});
