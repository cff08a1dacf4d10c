import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pit } from './pit.ts';

const TICK = 1e9 / 1193182;

function pitAt(start = 0) {
  const time = { ns: start };
  const pulses: number[] = [];
  const pit = new Pit(() => time.ns, { pulse: () => pulses.push(time.ns), set: () => {} });
  const run = (untilNs: number) => {
    for (let i = 0; i < 10_000 && pit.nextDeadlineNs() <= untilNs; i++) {
      time.ns = pit.nextDeadlineNs();
      pit.tick(time.ns);
    }
    time.ns = untilNs;
  };
  return { pit, time, pulses, run, port: pit.registers };
}

test('an untouched PIT interrupts never', () => {
  assert.equal(pitAt().pit.nextDeadlineNs(), Number.POSITIVE_INFINITY);
});

test('mode 2 interrupts at the divided rate without drift', () => {
  const { port, pulses, run } = pitAt();
  port.write(3, 1, 0x34);
  port.write(0, 1, 0xa9); // 11932 + 13: about 100 Hz
  port.write(0, 1, 0x2e);
  run(1e9);
  assert.equal(pulses.length, Math.floor(1193182 / 0x2ea9));
  assert.ok(Math.abs(pulses.at(-1)! - pulses.length * 0x2ea9 * TICK) < 2);
});

test('mode 0 and mode 4 interrupt once', () => {
  for (const control of [0x30, 0x38]) {
    const { port, pulses, run } = pitAt();
    port.write(3, 1, control);
    port.write(0, 1, 0x00);
    port.write(0, 1, 0x10);
    run(1e9);
    assert.equal(pulses.length, 1);
    assert.ok(Math.abs(pulses[0]! - 4096 * TICK) < 2);
  }
});

test('periods that nobody saw are dropped', () => {
  const { pit, port, time, pulses } = pitAt();
  port.write(3, 1, 0x34);
  port.write(0, 1, 0x00);
  port.write(0, 1, 0x10);
  time.ns = 4096 * TICK * 10.5;
  pit.tick(time.ns);
  assert.equal(pulses.length, 1);
  assert.ok(Math.abs(pit.nextDeadlineNs() - 4096 * 11 * TICK) < 2);
});

test('a divisor of 2 gives at most one interrupt in 100 microseconds', () => {
  const { port, pulses, run } = pitAt();
  port.write(3, 1, 0x14);
  port.write(0, 1, 2);
  run(1e6);
  assert.ok(pulses.length <= 10 && pulses.length >= 9);
});

test('a latched count stays while time goes on and is read low byte first', () => {
  const { port, time } = pitAt();
  port.write(3, 1, 0xb0);
  port.write(2, 1, 0x34);
  port.write(2, 1, 0x12);
  time.ns = 0x34 * TICK + 1;
  port.write(3, 1, 0x80);
  time.ns *= 10;
  assert.deepEqual([port.read(2, 1), port.read(2, 1)], [0x00, 0x12]);
  assert.notEqual(port.read(2, 1), 0x00, 'then the count runs again');
});

test('read-back latches status before count', () => {
  const { port } = pitAt();
  port.write(3, 1, 0xb6);
  port.write(2, 1, 0x10);
  port.write(2, 1, 0x00);
  port.write(3, 1, 0xc8);
  assert.deepEqual([port.read(2, 1), port.read(2, 1), port.read(2, 1)], [0x80 | 0x36, 0x10, 0x00]);
});

test('channel 2 in mode 0 raises bit 5 of port 0x61 at terminal count', () => {
  // This is how a guest measures its TSC against the PIT.
  const { pit, port, time } = pitAt(5000);
  pit.systemControl.write(0, 1, 0x01);
  port.write(3, 1, 0xb0);
  port.write(2, 1, 0x9b);
  port.write(2, 1, 0x2e);
  assert.equal(pit.systemControl.read(0, 1) & 0x21, 0x01);
  time.ns = 5000 + 0x2e9a * TICK;
  assert.equal(pit.systemControl.read(0, 1) & 0x20, 0);
  time.ns = 5000 + 0x2e9b * TICK + 1;
  assert.equal(pit.systemControl.read(0, 1) & 0x20, 0x20);
});

test('mode 3 counts down by two and its output is high for the first half', () => {
  const { pit, port, time } = pitAt();
  pit.systemControl.write(0, 1, 1);
  port.write(3, 1, 0xb6);
  port.write(2, 1, 0x00);
  port.write(2, 1, 0x10);
  time.ns = 100 * TICK + 1;
  assert.equal(pit.systemControl.read(0, 1) & 0x20, 0x20);
  assert.deepEqual([port.read(2, 1), port.read(2, 1)], [0x38, 0x0f]);
  time.ns = 2049 * TICK;
  assert.equal(pit.systemControl.read(0, 1) & 0x20, 0);
});

test('a BCD counter counts in decimal', () => {
  const { port, time } = pitAt();
  port.write(3, 1, 0xb5);
  port.write(2, 1, 0x00);
  port.write(2, 1, 0x10);
  time.ns = TICK + 1;
  port.write(3, 1, 0x80);
  assert.deepEqual([port.read(2, 1), port.read(2, 1)], [0x99, 0x09]);
});

test('a restored PIT interrupts after what was left of its period', () => {
  const { pit, port, time } = pitAt();
  port.write(3, 1, 0x34);
  port.write(0, 1, 0x00);
  port.write(0, 1, 0x10);
  time.ns = 1000;
  const other = pitAt(1e9);
  other.pit.restore(structuredClone(pit.save()));
  assert.ok(Math.abs(other.pit.nextDeadlineNs() - (1e9 - 1000 + 4096 * TICK)) < 2);
});
