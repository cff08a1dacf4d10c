import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Vm } from '../hypervisor/contract.ts';
import { bindDoorbells } from './doorbells.ts';

test('each queue gets a doorbell at its QueueNotify, which writes the number of the queue there', () => {
  const bound: { gpa: number; value: number; ring: () => void }[] = [];
  const written: number[][] = [];
  const vm = {
    bindDoorbell: (doorbell: { gpa: number; value: number }, ring: () => void) => bound.push({ ...doorbell, ring }),
  } as unknown as Vm;
  const transport = { queueCount: 2, write: (...access: number[]) => void written.push(access) };
  const device = { slot: { gpa: 0xd000_3000, irq: 8 }, transport };
  bindDoorbells(vm, [device]);
  assert.deepEqual(
    bound.map(({ gpa, value }) => [gpa, value]),
    [
      [0xd000_3050, 0],
      [0xd000_3050, 1],
    ],
  );
  bound[1]?.ring();
  assert.deepEqual(written, [[0x50, 4, 1]]);
});

test('an engine without doorbells is left alone', () => {
  assert.doesNotThrow(() =>
    bindDoorbells({} as Vm, [{ transport: { queueCount: 1, write() {} }, slot: { gpa: 0, irq: 5 } }]),
  );
});
