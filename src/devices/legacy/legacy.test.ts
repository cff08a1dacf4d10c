import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cmos } from './cmos.ts';
import { I8042 } from './i8042.ts';
import { Uart } from './uart.ts';

const MIB = 1048576;
const GIB = 1024 * MIB;

function cmosAt(iso: string, memory = { lowBytes: 512 * MIB, highBytes: 0 }) {
  const cmos = new Cmos({ clock: { nowNs: () => 0, wallMs: () => Date.parse(iso) }, memory });
  const get = (index: number) => {
    cmos.write(0, 1, index);
    return cmos.read(1, 1);
  };
  const set = (index: number, value: number) => {
    cmos.write(0, 1, index);
    cmos.write(1, 1, value);
  };
  return { cmos, get, set };
}

const TIME = [0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32];

test('CMOS gives UTC in BCD and 24 hours unless register B says otherwise', () => {
  const { get } = cmosAt('2027-11-29T23:58:59.999Z'); // a Monday
  assert.deepEqual(TIME.map(get), [0x59, 0x58, 0x23, 0x02, 0x29, 0x11, 0x27, 0x20]);
  assert.equal(get(0x0b), 0x02);
});

test('CMOS gives binary values when register B has DM set', () => {
  const { get, set } = cmosAt('2027-11-29T23:58:59Z');
  set(0x0b, 0x06);
  assert.deepEqual(TIME.map(get), [59, 58, 23, 2, 29, 11, 27, 20]);
});

test('CMOS in 12-hour mode marks the afternoon with bit 7, and midnight is 12', () => {
  for (const [hour, expected] of [
    ['00', 0x12],
    ['11', 0x11],
    ['12', 0x92],
    ['23', 0x91],
  ] as const) {
    const { get, set } = cmosAt(`2027-01-01T${hour}:00:00Z`);
    set(0x0b, 0x00);
    assert.equal(get(0x04), expected);
  }
});

test('CMOS is never in the middle of an update and its memory is valid', () => {
  const { get } = cmosAt('2027-01-01T00:00:00Z');
  assert.deepEqual([get(0x0a) & 0x80, get(0x0c), get(0x0d)], [0, 0, 0x80]);
});

test('CMOS tells memory above 16 MiB and above 4 GiB in 64 KiB units', () => {
  const { get } = cmosAt('2027-01-01T00:00:00Z', { lowBytes: 512 * MIB, highBytes: 5 * GIB });
  assert.deepEqual([get(0x34), get(0x35)], [0x00, 0x1f]);
  assert.deepEqual([get(0x5b), get(0x5c), get(0x5d)], [0x00, 0x40, 0x01]);
  const big = cmosAt('2027-01-01T00:00:00Z', { lowBytes: 0xd0000000, highBytes: 0 });
  assert.deepEqual([big.get(0x34), big.get(0x35)], [0x00, 0xcf]);
});

test('setting the CMOS clock changes nothing, and wide accesses give 0', () => {
  const { cmos, get, set } = cmosAt('2027-01-01T00:00:30Z');
  set(0x00, 0x11);
  assert.equal(get(0x00), 0x30);
  assert.equal(cmos.read(0, 2), 0);
});

test('CMOS ignores the NMI bit of its index, and a restored one keeps index and format', () => {
  const { cmos, set } = cmosAt('2027-01-01T00:00:30Z');
  set(0x0b, 0x06);
  cmos.write(0, 1, 0x80);
  const other = cmosAt('2027-01-01T00:00:45Z');
  other.cmos.restore(structuredClone(cmos.save()));
  assert.equal(other.cmos.read(1, 1), 45);
});

function keyboard() {
  const log: string[] = [];
  const device = new I8042({ irq: { pulse: () => log.push('irq'), set: () => {} }, onReset: () => log.push('reset') });
  return { device, log };
}

test('writing 0xfe to port 0x64 resets the machine', () => {
  const { device, log } = keyboard();
  device.write(4, 1, 0xfe);
  assert.deepEqual(log, ['reset']);
});

test('the control byte can be read back after it was written', () => {
  const { device } = keyboard();
  device.write(4, 1, 0x60);
  device.write(0, 1, 0x74);
  device.write(4, 1, 0x20);
  assert.equal(device.read(4, 1) & 1, 1);
  assert.equal(device.read(0, 1), 0x74);
  assert.equal(device.read(4, 1) & 1, 0);
});

test('the keyboard acknowledges every byte with 0xfa and interrupts, and holds at most 16 answers', () => {
  const { device, log } = keyboard();
  for (let i = 0; i < 20; i++) device.write(0, 1, 0xf4);
  assert.equal(log.length, 16);
  for (let i = 0; i < 16; i++) assert.equal(device.read(0, 1), 0xfa);
  assert.equal(device.read(4, 1) & 1, 0);
  assert.equal(device.read(0, 1), 0);
});

test('a restored keyboard controller waits for the same data byte', () => {
  const { device } = keyboard();
  device.write(4, 1, 0xd1);
  const other = keyboard().device;
  other.restore(structuredClone(device.save()));
  other.write(0, 1, 0x42);
  other.write(4, 1, 0xd0);
  assert.equal(other.read(0, 1), 0x42);
});

function serial(line = { takes: Number.POSITIVE_INFINITY }) {
  const sent: number[] = [];
  const edges: boolean[] = [];
  let room = 0;
  const uart = new Uart(
    { pulse: () => {}, set: (level) => edges.push(level) },
    { write: (byte) => sent.length < line.takes && sent.push(byte) > 0, onRoom: () => room++ },
  );
  return { uart, sent, edges, rooms: () => room };
}

test('a 16550 comes up with divisor 12, LSR 0x60, MSR 0xb0, MCR 0x08, LCR 0x03 and IIR 0xc1', () => {
  const { uart } = serial();
  assert.deepEqual(
    [2, 3, 4, 5, 6].map((offset) => uart.read(offset, 1)),
    [0xc1, 0x03, 0x08, 0x60, 0xb0],
  );
  uart.write(3, 1, 0x83);
  assert.deepEqual([uart.read(0, 1), uart.read(1, 1)], [12, 0]);
});

test('the divisor latch hides data and interrupt registers', () => {
  const { uart, sent } = serial();
  uart.write(3, 1, 0x80);
  uart.write(0, 1, 0x34);
  uart.write(1, 1, 0x12);
  assert.deepEqual([uart.read(0, 1), uart.read(1, 1)], [0x34, 0x12]);
  uart.write(3, 1, 0x03);
  assert.equal(uart.read(1, 1), 0);
  assert.deepEqual(sent, []);
});

test('sending makes one transmitter-empty edge per byte, and reading IIR acknowledges it', () => {
  const { uart, sent, edges } = serial();
  uart.write(1, 1, 0x02);
  assert.deepEqual(edges, [true]);
  assert.equal(uart.read(2, 1), 0xc2);
  assert.equal(uart.read(2, 1), 0xc1);
  uart.write(0, 1, 0x41);
  uart.write(0, 1, 0x42);
  assert.deepEqual(sent, [0x41, 0x42]);
  assert.deepEqual(edges, [true, false, true, false, true]);
});

test('received bytes interrupt until they are read', () => {
  const { uart, edges } = serial();
  uart.write(1, 1, 0x01);
  assert.equal(uart.receive(Uint8Array.of(1, 2)), 2);
  assert.equal(uart.read(5, 1), 0x61);
  assert.equal(uart.read(2, 1), 0xc4);
  assert.deepEqual([uart.read(0, 1), uart.read(0, 1)], [1, 2]);
  assert.equal(uart.read(5, 1), 0x60);
  assert.deepEqual(edges, [true, false]);
});

test('what does not fit into 64 bytes is left to the sender, who hears when there is room', () => {
  const { uart, rooms } = serial();
  assert.equal(uart.receive(new Uint8Array(100)), 64);
  for (let i = 0; i < 63; i++) uart.read(0, 1);
  assert.equal(rooms(), 0);
  uart.read(0, 1);
  assert.equal(rooms(), 1);
});

test('in loopback a byte comes back, nothing leaves, and the modem lines mirror MCR', () => {
  const { uart, sent } = serial();
  uart.write(4, 1, 0x1a);
  uart.write(0, 1, 0x5a);
  assert.equal(uart.read(0, 1), 0x5a);
  assert.deepEqual(sent, []);
  assert.equal(uart.read(6, 1) & 0xf0, 0x90);
  assert.equal(uart.receive(Uint8Array.of(1)), 0);
});

test('a restored UART has the same bytes waiting', () => {
  const { uart } = serial();
  uart.write(1, 1, 0x01);
  uart.receive(Uint8Array.of(7, 8));
  const other = serial();
  other.uart.restore(structuredClone(uart.save()));
  assert.deepEqual(other.edges, [true]);
  assert.deepEqual([other.uart.read(0, 1), other.uart.read(0, 1)], [7, 8]);
});

test('while the line takes nothing the transmitter is busy, holds one byte and interrupts when that is gone', () => {
  const line = { takes: 1 };
  const { uart, sent, edges } = serial(line);
  uart.write(0, 1, 0x41);
  uart.write(0, 1, 0x42);
  assert.equal(uart.read(5, 1), 0x00);
  uart.write(0, 1, 0x43); // an overrun: a driver asks first
  uart.write(1, 1, 0x02);
  uart.resume();
  assert.deepEqual([sent, edges], [[0x41], []]);
  const other = serial();
  other.uart.restore(structuredClone(uart.save()));
  assert.deepEqual([other.sent, other.uart.read(5, 1)], [[0x42], 0x60]);
  line.takes = 9;
  uart.resume();
  uart.resume();
  assert.deepEqual([sent, edges, uart.read(5, 1)], [[0x41, 0x42], [true], 0x60]);
});
