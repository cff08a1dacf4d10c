import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApicBus } from './apic-bus.ts';
import { Ioapic } from './ioapic.ts';
import { Lapic } from './lapic.ts';

function machine() {
  const bus = new ApicBus();
  const ioapic = new Ioapic(bus);
  const clock = { nowNs: () => 0, wallMs: () => 0 };
  const lapic = new Lapic({ id: 0, bus, clock, tsc: { kHz: 1e6, now: () => 0 } });
  lapic.writeRegister(0xf0, 0x1ff);
  const set = (register: number, value: number) => {
    ioapic.write(0x00, 4, register);
    ioapic.write(0x10, 4, value);
  };
  const get = (register: number) => {
    ioapic.write(0x00, 4, register);
    return ioapic.read(0x10, 4);
  };
  return { bus, ioapic, lapic, set, get };
}

test('the IOAPIC has 24 masked pins at reset and a writable 4-bit id', () => {
  const { get, set } = machine();
  assert.equal(get(1), 0x0017_0011);
  assert.equal(get(0x10), 0x10000);
  assert.equal(get(0x10 + 46), 0x10000);
  assert.equal(get(0x10 + 48), 0);
  set(0, 0xff00_0000);
  assert.equal(get(0), 0x0f00_0000);
});

test('a rising edge on an open pin becomes its vector, the falling edge nothing', () => {
  const { ioapic, lapic, set } = machine();
  set(0x10 + 2 * 5, 0x35);
  ioapic.setLine(5, true);
  ioapic.setLine(5, true);
  assert.equal(lapic.acknowledge(), 0x35);
  ioapic.setLine(5, false);
  lapic.writeRegister(0xb0, 0);
  assert.equal(lapic.hasInterrupt(), false);
});

test('an edge on a masked pin is lost', () => {
  const { ioapic, lapic, set } = machine();
  set(0x10 + 2 * 5, 0x10035);
  ioapic.setLine(5, true);
  set(0x10 + 2 * 5, 0x35);
  assert.equal(lapic.hasInterrupt(), false);
});

test('a level sets remote IRR, waits for EOI and comes again while it lasts', () => {
  const { ioapic, lapic, set, get } = machine();
  set(0x10 + 2 * 9, 0x8049);
  ioapic.setLine(9, true);
  assert.equal(get(0x10 + 2 * 9), 0xc049);
  assert.equal(lapic.acknowledge(), 0x49);
  ioapic.setLine(9, true);
  assert.equal(lapic.hasInterrupt(), false);
  lapic.writeRegister(0xb0, 0);
  assert.equal(lapic.acknowledge(), 0x49);
  ioapic.setLine(9, false);
  lapic.writeRegister(0xb0, 0);
  assert.equal(lapic.hasInterrupt(), false);
  assert.equal(get(0x10 + 2 * 9), 0x8049);
});

test('a level that rose while its pin was masked is delivered on unmasking', () => {
  const { ioapic, lapic, set } = machine();
  set(0x10 + 2 * 9, 0x18049);
  ioapic.setLine(9, true);
  assert.equal(lapic.hasInterrupt(), false);
  set(0x10 + 2 * 9, 0x8049);
  assert.equal(lapic.acknowledge(), 0x49);
});

test('switching an entry to edge and back clears a stuck remote IRR', () => {
  const { ioapic, set, get } = machine();
  set(0x10 + 2 * 9, 0x8049);
  ioapic.setLine(9, true);
  ioapic.setLine(9, false);
  set(0x10 + 2 * 9, 0x10049);
  set(0x10 + 2 * 9, 0x18049);
  assert.equal(get(0x10 + 2 * 9), 0x18049);
});

test('an entry for another processor reaches nobody and sets no remote IRR', () => {
  const { ioapic, lapic, set, get } = machine();
  set(0x11 + 2 * 9, 0x0700_0000);
  set(0x10 + 2 * 9, 0x8049);
  ioapic.setLine(9, true);
  assert.equal(lapic.hasInterrupt(), false);
  assert.equal(get(0x10 + 2 * 9), 0x8049);
});

test('a restored IOAPIC keeps its table and a pending level', () => {
  const { ioapic, set } = machine();
  set(0x10 + 2 * 9, 0x8049);
  ioapic.setLine(9, true);
  const other = machine();
  other.ioapic.restore(structuredClone(ioapic.save()));
  assert.equal(other.get(0x10 + 2 * 9), 0xc049);
  other.bus.onLevelEoi(0x49);
  assert.equal(other.lapic.acknowledge(), 0x49);
});
