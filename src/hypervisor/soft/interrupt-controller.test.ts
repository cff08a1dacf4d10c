import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from '../../bus/bus.ts';
import { InterruptController, withInterruptController } from './interrupt-controller.ts';

function machine(cpus = 1) {
  const time = { ns: 0 };
  const clock = { nowNs: () => time.ns, wallMs: () => 0 };
  const tsc = Array.from({ length: cpus }, () => ({ kHz: 1e6, now: () => time.ns }));
  const controller = new InterruptController({ clock, tsc });
  const seen: string[] = [];
  const io = withInterruptController(controller, 0, {
    portRead: (port) => {
      seen.push(`in ${port}`);
      return 0x5a;
    },
    portWrite: (port) => void seen.push(`out ${port}`),
    mmioRead: (gpa) => {
      seen.push(`read ${gpa}`);
      return 0xa5;
    },
    mmioWrite: (gpa) => void seen.push(`write ${gpa}`),
  });
  const initPic = () => {
    for (const [port, value] of [
      [0x20, 0x11],
      [0x21, 0x30],
      [0x21, 4],
      [0x21, 1],
      [0xa0, 0x11],
      [0xa1, 0x38],
      [0xa1, 2],
      [0xa1, 1],
    ] as const) {
      io.portWrite(port, 1, value);
    }
  };
  return { time, controller, io, seen, initPic };
}

test('before the guest sets up any APIC a device line reaches the CPU through PIC and LINT0', () => {
  const { controller, initPic } = machine();
  initPic();
  controller.irqLine(4).pulse();
  assert.equal(controller.hasInterrupt(), true);
  assert.equal(controller.acknowledge(), 0x34);
  assert.equal(controller.hasInterrupt(), false);
});

test('with LINT0 masked and the pin open a device line reaches the CPU through the IOAPIC', () => {
  const { controller, io } = machine();
  io.mmioWrite(0xfee000f0, 4, 0x1ff);
  io.mmioWrite(0xfee00350, 4, 0x10700);
  io.mmioWrite(0xfec00000, 4, 0x10 + 2 * 7);
  io.mmioWrite(0xfec00010, 4, 0x27);
  controller.irqLine(7).pulse();
  assert.equal(controller.acknowledge(), 0x27);
});

test('lines 16 to 23 exist on the IOAPIC only', () => {
  const { controller, initPic } = machine();
  initPic();
  controller.irqLine(16).pulse();
  assert.equal(controller.hasInterrupt(), false);
  assert.throws(() => controller.irqLine(24));
});

test('the timer tick goes from PIT channel 0 to the CPU', () => {
  const { controller, io, time, initPic } = machine();
  initPic();
  io.portWrite(0x43, 1, 0x34);
  io.portWrite(0x40, 1, 0x00);
  io.portWrite(0x40, 1, 0x10);
  time.ns = controller.nextDeadlineNs();
  assert.ok(time.ns > 3_000_000 && time.ns < 4_000_000);
  controller.tick(time.ns);
  assert.equal(controller.acknowledge(), 0x30);
});

test('ports and pages of other devices pass through, 0x60 and 0x64 beside 0x61 included', () => {
  const { io, seen } = machine();
  assert.equal(io.portRead(0x60, 1), 0x5a);
  assert.equal(io.portRead(0x64, 1), 0x5a);
  assert.equal(io.mmioRead(0xd0000000, 4), 0xa5);
  io.portWrite(0x80, 1, 0);
  io.mmioWrite(0xfee01000, 4, 0);
  assert.deepEqual(seen, ['in 96', 'in 100', `read ${0xd0000000}`, 'out 128', `write ${0xfee01000}`]);
  assert.notEqual(io.portRead(0x61, 1), 0x5a);
  io.portWrite(0x4d1, 1, 0x0c);
  assert.equal(io.portRead(0x4d1, 1), 0x0c);
  assert.equal(seen.length, 5);
});

test('the shared buses carry PIC, PIT and IOAPIC at their PC addresses', () => {
  const { controller } = machine();
  const [ports, mmio] = [new Bus(), new Bus()];
  controller.attach(ports, mmio);
  ports.write(0xa1, 1, 0x7f);
  assert.equal(ports.read(0xa1, 1), 0x7f);
  mmio.write(0xfec00000, 4, 1);
  assert.equal(mmio.read(0xfec00010, 4), 0x170011);
});

test('PIC interrupts go to the first processor only', () => {
  const { controller, initPic } = machine(2);
  initPic();
  controller.irqLine(3).pulse();
  assert.deepEqual([controller.hasInterrupt(0), controller.hasInterrupt(1)], [true, false]);
});

test('a restored controller has the same interrupt pending', () => {
  const { controller, initPic } = machine();
  initPic();
  controller.irqLine(4).pulse();
  const other = machine();
  other.controller.restore(structuredClone(controller.save()));
  assert.equal(other.controller.acknowledge(), 0x34);
  assert.equal(other.controller.hasInterrupt(), false);
});
