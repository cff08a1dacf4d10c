import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NotingIo } from '../guest-harness.ts';
import { SplitIoapic } from './ioapic.ts';
import type { Msi } from './vm.ts';

const SELECT = 0xfec0_0000;
const WINDOW = 0xfec0_0010;

function rig() {
  const sent: Msi[] = [];
  let routes: ReadonlyMap<number, Msi> = new Map();
  const ioapic = new SplitIoapic({
    send: (msi) => void sent.push(msi),
    route: (now) => {
      routes = now;
    },
  });
  const behind = new NotingIo();
  const io = ioapic.within(behind);
  const write = (register: number, value: number): void => {
    io.mmioWrite(SELECT, 4, register);
    io.mmioWrite(WINDOW, 4, value);
  };
  const read = (register: number): number => {
    io.mmioWrite(SELECT, 4, register);
    return io.mmioRead(WINDOW, 4);
  };
  return { ioapic, io, behind, sent, routes: () => routes, write, read };
}

test('24 pins, masked after reset, version 0x20', () => {
  const { read } = rig();
  assert.equal(read(1), 0x0017_0020);
  assert.deepEqual([read(0x10), read(0x3e), read(0x40)], [0x1_0000, 0x1_0000, 0]);
});

test('an entry that is unmasked is the route of its pin', () => {
  const { write, routes } = rig();
  write(0x1b, 0x0200_0000); // processor 2
  write(0x1a, 0x0035); // pin 5, edge, physical
  assert.deepEqual([...routes()], [[5, { address: 0xfee0_2000, data: 0x35 }]]);
  write(0x1a, 0x1_0035);
  assert.equal(routes().size, 0);
});

test('a level is sent once, and again after the end of its interrupt while it is high', () => {
  const { ioapic, write, read, sent } = rig();
  write(0x18, 0x8935); // pin 4, level, logical, lowest priority
  ioapic.set(4, true);
  ioapic.set(4, true);
  assert.deepEqual(sent, [{ address: 0xfee0_0004, data: 0xc135 }]);
  assert.equal(read(0x18) & 0x4000, 0x4000);
  ioapic.endOfInterrupt(0x36);
  assert.equal(sent.length, 1);
  ioapic.endOfInterrupt(0x35);
  assert.equal(sent.length, 2);
  ioapic.set(4, false);
  ioapic.endOfInterrupt(0x35);
  assert.equal(sent.length, 2);
  assert.equal(read(0x18) & 0x4000, 0);
});

test('a level that rose while its pin was masked is sent when it is unmasked', () => {
  const { ioapic, write, sent } = rig();
  write(0x18, 0x1_8035);
  ioapic.set(4, true);
  assert.equal(sent.length, 0);
  write(0x18, 0x8035);
  assert.equal(sent.length, 1);
});

test('an edge is sent when it rises, unless the pin is masked', () => {
  const { ioapic, write, sent } = rig();
  ioapic.set(4, true);
  ioapic.set(4, false);
  write(0x18, 0x35);
  ioapic.set(4, true);
  ioapic.set(4, true);
  assert.equal(sent.length, 1);
});

test('other addresses and all ports belong to the machine', () => {
  const { io, behind } = rig();
  io.mmioRead(0xfec0_1000, 4);
  io.mmioWrite(0xd000_0000, 4, 1);
  io.portWrite(0x80, 1, 2);
  assert.deepEqual(behind.notes, ['load fec01000 4', 'store d0000000 4 1', 'out 80 1 2']);
});
