import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApicBus } from './apic-bus.ts';
import { Lapic } from './lapic.ts';
import {
  type MsrValue,
  ownsLapicPage,
  readLapicMsr,
  readLapicPage,
  writeLapicMsr,
  writeLapicPage,
} from './lapic-access.ts';

const TSC_KHZ = 2_000_000; // two ticks per ns

function machine(cpus = 1) {
  const time = { ns: 1000 };
  const clock = { nowNs: () => time.ns, wallMs: () => 0 };
  const tsc = { kHz: TSC_KHZ, now: () => time.ns * 2 };
  const bus = new ApicBus();
  const log: string[] = [];
  const lapics = Array.from({ length: cpus }, (_, id) => {
    const lapic = new Lapic({ id, bus, clock, tsc, acknowledgePic: () => 0x77 });
    lapic.signals = {
      onInterrupt: () => log.push(`interrupt ${id}`),
      onNmi: () => log.push(`nmi ${id}`),
      onInit: () => log.push(`init ${id}`),
      onStartup: (vector) => log.push(`startup ${id} ${vector}`),
    };
    return lapic;
  });
  return { time, bus, log, lapics, lapic: lapics[0]! };
}

const ENABLE = 0x1ff;
const fixed = (vector: number, level = false) =>
  ({ vector, delivery: 0, logical: false, level, destination: 0, wide: false }) as const;

test('the local APIC comes up at 0xfee00000 with version 0x50014, LINT0 as ExtINT and LINT1 as NMI', () => {
  const { lapic } = machine();
  assert.equal(lapic.base, 0xfee00900);
  assert.equal(readLapicPage(lapic, 0x30, 4), 0x50014);
  assert.equal(readLapicPage(lapic, 0x350, 4), 0x700);
  assert.equal(readLapicPage(lapic, 0x360, 4), 0x400);
  assert.equal(readLapicPage(lapic, 0xf0, 4), 0xff);
  assert.equal(ownsLapicPage(lapic, 0xfee00ffc), true);
  assert.equal(ownsLapicPage(lapic, 0xfee01000), false);
});

test('a PIC interrupt passes through LINT0 before the APIC is enabled, and takes its vector from the PIC', () => {
  const { lapic, log } = machine();
  lapic.setLint0(true);
  assert.equal(lapic.hasInterrupt(), true);
  assert.deepEqual(log, ['interrupt 0']);
  assert.equal(lapic.acknowledge(), 0x77);
  lapic.setLint0(false);
  assert.equal(lapic.hasInterrupt(), false);
  lapic.writeRegister(0x350, 0x10700);
  lapic.setLint0(true);
  assert.equal(lapic.hasInterrupt(), false, 'masked LINT0');
});

test('a software-disabled APIC refuses fixed interrupts', () => {
  const { lapic } = machine();
  assert.equal(lapic.accept(fixed(0x40)), false);
  assert.equal(lapic.hasInterrupt(), false);
});

test('the highest vector is taken first, and EOI lets the next one through', () => {
  const { lapic } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.accept(fixed(0x41));
  lapic.accept(fixed(0xe1));
  assert.equal(lapic.readRegister(0x200 + 0x70), 2, 'IRR bit 225');
  assert.equal(lapic.acknowledge(), 0xe1);
  assert.equal(lapic.hasInterrupt(), false);
  assert.equal(lapic.readRegister(0xa0), 0xe0, 'PPR');
  assert.equal(lapic.readRegister(0x100 + 0x70), 2, 'ISR bit 225');
  lapic.writeRegister(0xb0, 0);
  assert.equal(lapic.acknowledge(), 0x41);
});

test('an interrupt of the same class as the one in service waits, a higher class does not', () => {
  const { lapic } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.accept(fixed(0x51));
  lapic.acknowledge();
  lapic.accept(fixed(0x5f));
  assert.equal(lapic.hasInterrupt(), false);
  lapic.accept(fixed(0x60));
  assert.equal(lapic.acknowledge(), 0x60);
});

test('task priority holds back its class and below, and CR8 is its upper half', () => {
  const { lapic, log } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.cr8 = 4;
  assert.equal(lapic.readRegister(0x80), 0x40);
  lapic.accept(fixed(0x4f));
  assert.equal(lapic.hasInterrupt(), false);
  lapic.cr8 = 3;
  assert.equal(lapic.hasInterrupt(), true);
  assert.deepEqual(log, ['interrupt 0'], 'the CPU was told when it became deliverable');
});

test('EOI of a level-triggered vector is broadcast, of an edge-triggered one it is not', () => {
  const { lapic, bus } = machine();
  const ended: number[] = [];
  bus.onLevelEoi = (vector) => ended.push(vector);
  lapic.writeRegister(0xf0, ENABLE);
  for (const level of [true, false]) {
    lapic.accept(fixed(0x61, level));
    lapic.acknowledge();
    lapic.writeRegister(0xb0, 0);
  }
  assert.deepEqual(ended, [0x61]);
});

test('a one-shot timer fires once, after count times divisor nanoseconds', () => {
  const { lapic, time } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.writeRegister(0x320, 0xec);
  lapic.writeRegister(0x3e0, 0x3); // divide by 16
  lapic.writeRegister(0x380, 1000);
  assert.equal(lapic.nextDeadlineNs(), 17_000);
  time.ns = 9000;
  assert.equal(lapic.readRegister(0x390), 500);
  lapic.tick(16_999);
  assert.equal(lapic.hasInterrupt(), false);
  time.ns = 17_000;
  lapic.tick(17_000);
  assert.equal(lapic.acknowledge(), 0xec);
  assert.equal(lapic.nextDeadlineNs(), Number.POSITIVE_INFINITY);
  assert.equal(lapic.readRegister(0x390), 0);
});

test('a periodic timer keeps its phase and drops periods that nobody saw', () => {
  const { lapic, time } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.writeRegister(0x320, 0x2_00ec);
  lapic.writeRegister(0x3e0, 0xb); // divide by 1
  lapic.writeRegister(0x380, 1_000_000);
  time.ns = 3_501_000;
  lapic.tick(time.ns);
  assert.equal(lapic.acknowledge(), 0xec);
  lapic.writeRegister(0xb0, 0);
  assert.equal(lapic.hasInterrupt(), false);
  assert.equal(lapic.nextDeadlineNs(), 4_001_000);
});

test('a periodic timer of one nanosecond asks for at most one interrupt in 100 microseconds', () => {
  const { lapic, time } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.writeRegister(0x320, 0x2_00ec);
  lapic.writeRegister(0x3e0, 0xb);
  lapic.writeRegister(0x380, 1);
  time.ns = 1001;
  lapic.tick(1001);
  assert.equal(lapic.nextDeadlineNs(), 101_001);
});

test('the TSC deadline fires when the guest TSC reaches it, then reads as zero', () => {
  const { lapic, time } = machine();
  const value: MsrValue = { low: 0, high: 0 };
  lapic.writeRegister(0xf0, ENABLE);
  writeLapicMsr(lapic, 0x6e0, 5000, 0);
  assert.equal(lapic.timer.deadlineTsc, 0, 'ignored in another mode');
  lapic.writeRegister(0x320, 0x4_00ec);
  writeLapicMsr(lapic, 0x6e0, 0x10, 1);
  readLapicMsr(lapic, 0x6e0, value);
  assert.deepEqual(value, { low: 0x10, high: 1 });
  assert.equal(lapic.nextDeadlineNs(), 0x8000_0008);
  time.ns = 0x8000_0007;
  lapic.tick(time.ns);
  assert.equal(lapic.hasInterrupt(), false);
  time.ns = 0x8000_0008;
  lapic.tick(time.ns);
  assert.equal(lapic.acknowledge(), 0xec);
  readLapicMsr(lapic, 0x6e0, value);
  assert.deepEqual(value, { low: 0, high: 0 });
});

test('a deadline in the past is due now; writing zero disarms', () => {
  const { lapic, time } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.writeRegister(0x320, 0x4_00ec);
  writeLapicMsr(lapic, 0x6e0, 1, 0);
  assert.equal(lapic.nextDeadlineNs(), 1, 'absolute: a caller that took the time earlier must see it as due');
  writeLapicMsr(lapic, 0x6e0, 0, 0);
  assert.equal(lapic.nextDeadlineNs(), Number.POSITIVE_INFINITY);
  lapic.tick(time.ns);
  assert.equal(lapic.hasInterrupt(), false);
});

test('a masked timer wakes nobody', () => {
  const { lapic, time } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.writeRegister(0x320, 0x1_00ec);
  lapic.writeRegister(0x380, 10);
  assert.equal(lapic.nextDeadlineNs(), Number.POSITIVE_INFINITY);
  time.ns += 1000;
  lapic.writeRegister(0x320, 0xec);
  lapic.tick(time.ns);
  assert.equal(lapic.hasInterrupt(), false, 'it ran out while it was masked');
});

test('disabling the APIC by software masks every LVT entry', () => {
  const { lapic } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.writeRegister(0x370, 0xfe);
  lapic.writeRegister(0xf0, 0xff);
  assert.equal(lapic.readRegister(0x370), 0x100fe);
  lapic.writeRegister(0x370, 0xfe);
  assert.equal(lapic.readRegister(0x370), 0x100fe, 'and they stay masked');
});

test('an IPI reaches the processor whose id is the destination', () => {
  const { lapics } = machine(3);
  for (const lapic of lapics) lapic.writeRegister(0xf0, ENABLE);
  writeLapicPage(lapics[0]!, 0x310, 2 << 24);
  writeLapicPage(lapics[0]!, 0x300, 0xfd);
  assert.deepEqual(
    lapics.map((lapic) => lapic.hasInterrupt()),
    [false, false, true],
  );
});

test('shorthands reach self, all, and all but self', () => {
  for (const [shorthand, expected] of [
    [1, [true, false, false]],
    [2, [true, true, true]],
    [3, [false, true, true]],
  ] as const) {
    const { lapics } = machine(3);
    for (const lapic of lapics) lapic.writeRegister(0xf0, ENABLE);
    lapics[0]!.writeRegister(0x300, (shorthand << 18) | 0x4040);
    assert.deepEqual(
      lapics.map((lapic) => lapic.hasInterrupt()),
      expected,
    );
  }
});

test('INIT and startup IPIs reach the other processor, INIT deassert does nothing', () => {
  const { lapics, log } = machine(2);
  const [boot] = lapics;
  boot!.writeRegister(0x310, 1 << 24);
  boot!.writeRegister(0x300, 0xc500);
  boot!.writeRegister(0x300, 0x8500);
  boot!.writeRegister(0x300, 0x0699);
  assert.deepEqual(log, ['init 1', 'startup 1 153']);
});

test('flat and cluster logical destinations select by LDR', () => {
  const { lapics, bus } = machine(2);
  lapics.forEach((lapic, id) => {
    lapic.writeRegister(0xf0, ENABLE);
    lapic.writeRegister(0xd0, (1 << id) << 24);
  });
  bus.deliver({ ...fixed(0x50), logical: true, destination: 0b10 });
  assert.deepEqual([lapics[0]!.hasInterrupt(), lapics[1]!.hasInterrupt()], [false, true]);
  lapics[0]!.writeRegister(0xe0, 0);
  lapics[0]!.writeRegister(0xd0, 0x3400_0000);
  bus.deliver({ ...fixed(0x50), logical: true, destination: 0x24 });
  assert.equal(lapics[0]!.hasInterrupt(), false, 'another cluster');
  bus.deliver({ ...fixed(0x50), logical: true, destination: 0x3c });
  assert.equal(lapics[0]!.hasInterrupt(), true);
});

test('lowest-priority delivery takes one processor, the one with the lowest priority', () => {
  const { lapics, bus } = machine(2);
  for (const lapic of lapics) lapic.writeRegister(0xf0, ENABLE);
  lapics[0]!.writeRegister(0x80, 0x50);
  bus.deliver({ ...fixed(0x90), delivery: 1, destination: 0xff });
  assert.deepEqual([lapics[0]!.hasInterrupt(), lapics[1]!.hasInterrupt()], [false, true]);
});

test('an NMI message goes to the processor whatever the APIC is set to', () => {
  const { bus, log } = machine();
  bus.deliver({ ...fixed(0), delivery: 4 });
  assert.deepEqual(log, ['nmi 0']);
});

test('sending a vector below 16 is an error that ESR shows after it is written', () => {
  const { lapic } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.writeRegister(0x300, 0x4000f);
  assert.equal(lapic.readRegister(0x280), 0);
  lapic.writeRegister(0x280, 0);
  assert.equal(lapic.readRegister(0x280), 0x20);
});

test('x2APIC mode moves the registers to MSRs, with a 32-bit id, a derived LDR and a 64-bit ICR', () => {
  const { lapics } = machine(2);
  const lapic = lapics[1]!;
  const value: MsrValue = { low: 0, high: 0 };
  assert.equal(readLapicMsr(lapic, 0x802, value), false, 'not before it is switched on');
  assert.equal(writeLapicMsr(lapic, 0x1b, 0xfee00c00, 0), true);
  assert.equal(ownsLapicPage(lapic, 0xfee00020), false);
  readLapicMsr(lapic, 0x802, value);
  assert.equal(value.low, 1);
  readLapicMsr(lapic, 0x80d, value);
  assert.equal(value.low, 2);
  writeLapicMsr(lapic, 0x80f, ENABLE, 0);
  writeLapicMsr(lapic, 0x830, 0x0000_00f0, 1);
  readLapicMsr(lapic, 0x830, value);
  assert.deepEqual(value, { low: 0xf0, high: 1 });
  assert.equal(lapic.acknowledge(), 0xf0);
  assert.equal(writeLapicMsr(lapic, 0x80b, 0, 0), true);
  assert.equal(writeLapicMsr(lapic, 0x83f, 0x41, 0), true, 'self IPI');
  assert.equal(lapic.acknowledge(), 0x41);
});

test('x2APIC accesses that the manual forbids are #GP', () => {
  const { lapic } = machine();
  const value: MsrValue = { low: 0, high: 0 };
  assert.equal(writeLapicMsr(lapic, 0x1b, 0xfee00400, 0), false, 'x2APIC without enable');
  writeLapicMsr(lapic, 0x1b, 0xfee00d00, 0);
  assert.equal(writeLapicMsr(lapic, 0x1b, 0xfee00900, 0), false, 'back to xAPIC at once');
  assert.equal(writeLapicMsr(lapic, 0x80b, 1, 0), false, 'EOI other than 0');
  assert.equal(writeLapicMsr(lapic, 0x802, 1, 0), false, 'read-only id');
  assert.equal(writeLapicMsr(lapic, 0x808, 0, 1), false, 'high half');
  assert.equal(readLapicMsr(lapic, 0x80e, value), false, 'DFR does not exist');
  assert.equal(readLapicMsr(lapic, 0x80b, value), false, 'EOI is write-only');
  assert.equal(readLapicMsr(lapic, 0x831, value), false, 'upper ICR does not exist');
  assert.equal(writeLapicMsr(lapic, 0x1b, 0xfee00100, 0), true, 'off');
  assert.equal(writeLapicMsr(lapic, 0x1b, 0xfee00d00, 0), false, 'off straight to x2APIC');
});

test('narrow and odd accesses to the page never fail', () => {
  const { lapic } = machine();
  assert.equal(readLapicPage(lapic, 0x32, 2), 5);
  assert.equal(readLapicPage(lapic, 0x34, 4), 0);
  writeLapicPage(lapic, 0x81, 0xff);
  assert.equal(lapic.readRegister(0x80), 0);
});

test('a restored APIC fires its timer after what was left and keeps interrupts in service', () => {
  const { lapic, time } = machine();
  lapic.writeRegister(0xf0, ENABLE);
  lapic.writeRegister(0x3e0, 0xb);
  lapic.writeRegister(0x320, 0xec);
  lapic.writeRegister(0x380, 5000);
  lapic.accept(fixed(0x55, true));
  lapic.acknowledge();
  lapic.accept(fixed(0x70));
  time.ns += 2000;
  const state = structuredClone(lapic.save());
  const other = machine();
  other.time.ns = 1_000_000;
  other.lapic.restore(state);
  assert.equal(other.lapic.nextDeadlineNs(), 1_003_000);
  assert.equal(other.lapic.readRegister(0xa0), 0x50);
  assert.equal(other.lapic.acknowledge(), 0x70);
});
