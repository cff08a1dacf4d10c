import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusTable } from './status-table.ts';
import { KVM_EXIT, kvm_run } from './structs.ts';

const FIRST = { status: 0xd000_0060, acknowledge: 0xd000_0064 };
const SECOND = { status: 0xd000_1060, acknowledge: 0xd000_1064 };

function access(gpa: bigint, write?: number, length = 4): DataView {
  const run = new DataView(new ArrayBuffer(kvm_run.size));
  run.setUint32(kvm_run.exit_reason, KVM_EXIT.MMIO, true);
  run.setBigUint64(kvm_run.mmio_phys_addr, gpa, true);
  run.setUint32(kvm_run.mmio_len, length, true);
  run.setUint8(kvm_run.mmio_is_write, write === undefined ? 0 : 1);
  run.setUint32(kvm_run.mmio_data, write ?? 0xaaaa_aaaa, true);
  return run;
}

test('a guest reads the flags and clears those that it saw', () => {
  const table = new StatusTable();
  const seenByThread = new StatusTable(table.buffer);
  table.add(FIRST);
  const flags = table.add(SECOND);
  assert.ok(flags);
  Atomics.or(flags, 0, 3);
  const read = access(0xd000_1060n);
  assert.equal(seenByThread.serve(read), true);
  assert.equal(read.getUint32(kvm_run.mmio_data, true), 3);
  assert.equal(seenByThread.serve(access(0xd000_1064n, 1)), true);
  assert.equal(Atomics.load(flags, 0), 2);
});

test('everything else is left to devices', () => {
  const table = new StatusTable();
  const flags = table.add(FIRST);
  const others = [
    access(0xd000_0060n, 1), // a store to the status
    access(0xd000_0064n), // a load of what acknowledges
    access(0xd000_0060n, undefined, 2),
    access(0xd000_0050n, 0),
    access(0x1_d000_0060n),
    access(0n),
    access(0n, 1),
  ];
  for (const run of others) assert.equal(table.serve(run), false);
  const port = access(0xd000_0060n);
  port.setUint32(kvm_run.exit_reason, KVM_EXIT.IO, true);
  assert.equal(table.serve(port), false);
  assert.equal(flags?.[0], 0);
});

test('a full table has no room', () => {
  const table = new StatusTable();
  const added = Array.from({ length: 33 }, (_, i) => table.add({ status: i * 8, acknowledge: i * 8 + 4 }));
  assert.equal(added.indexOf(undefined), 32);
});
