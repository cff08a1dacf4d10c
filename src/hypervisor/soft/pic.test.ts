import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pic } from './pic.ts';

/** Initialised as Linux does: vectors 0x30-0x3f, cascade on pin 2, all lines open. */
function linuxPic() {
  const levels: boolean[] = [];
  const pic = new Pic((level) => levels.push(level));
  const [master, slave] = [pic.registers(0), pic.registers(1)];
  master.write(0, 1, 0x11);
  master.write(1, 1, 0x30);
  master.write(1, 1, 0x04);
  master.write(1, 1, 0x01);
  slave.write(0, 1, 0x11);
  slave.write(1, 1, 0x38);
  slave.write(1, 1, 0x02);
  slave.write(1, 1, 0x01);
  return { pic, master, slave, levels };
}

test('the PIC gives base + n for line n and holds INT until it is acknowledged', () => {
  const { pic, levels } = linuxPic();
  pic.setLine(4, true);
  assert.equal(pic.output, true);
  assert.equal(pic.acknowledge(), 0x34);
  assert.equal(pic.output, false);
  assert.deepEqual(levels, [true, false]);
});

test('a line of the second PIC arrives through the cascade with its own base', () => {
  const { pic, master, slave } = linuxPic();
  pic.setLine(12, true);
  assert.equal(pic.acknowledge(), 0x3c);
  master.write(0, 1, 0x0b);
  slave.write(0, 1, 0x0b);
  assert.deepEqual([master.read(0, 1), slave.read(0, 1)], [0x04, 0x10], 'both in service');
});

test('line 10 is not mistaken for the cascade, which is pin 2 of the first PIC only', () => {
  const { pic } = linuxPic();
  pic.setLine(10, true);
  pic.setLine(10, false);
  assert.equal(pic.acknowledge(), 0x3a, 'the edge was remembered');
});

test('a lower-priority line waits until the one in service has ended', () => {
  const { pic, master } = linuxPic();
  pic.setLine(3, true);
  pic.setLine(5, true);
  assert.equal(pic.acknowledge(), 0x33);
  assert.equal(pic.output, false);
  master.write(0, 1, 0x20);
  assert.equal(pic.acknowledge(), 0x35);
});

test('a higher-priority line interrupts the one in service', () => {
  const { pic } = linuxPic();
  pic.setLine(5, true);
  pic.acknowledge();
  pic.setLine(1, true);
  assert.equal(pic.acknowledge(), 0x31);
});

test('a masked line asks nothing until it is unmasked', () => {
  const { pic, master } = linuxPic();
  master.write(1, 1, 0xff);
  pic.setLine(0, true);
  pic.setLine(0, false);
  assert.equal(pic.output, false);
  master.write(1, 1, 0xfe);
  assert.equal(master.read(1, 1), 0xfe);
  assert.equal(pic.acknowledge(), 0x30);
});

test('an edge interrupts once however long the line stays high', () => {
  const { pic, master } = linuxPic();
  pic.setLine(6, true);
  pic.acknowledge();
  master.write(0, 1, 0x66);
  assert.equal(pic.output, false);
});

test('a level-triggered line asks again after EOI while it stays high', () => {
  const { pic, slave, master } = linuxPic();
  pic.elcr.write(1, 1, 0xff);
  assert.equal(pic.elcr.read(1, 1), 0xde, 'lines 8 and 13 are always edge-triggered');
  pic.setLine(11, true);
  assert.equal(pic.acknowledge(), 0x3b);
  slave.write(0, 1, 0x63);
  master.write(0, 1, 0x62);
  assert.equal(pic.acknowledge(), 0x3b);
  slave.write(0, 1, 0x63);
  master.write(0, 1, 0x62);
  pic.setLine(11, false);
  assert.equal(pic.output, false);
});

test('acknowledging nothing gives the spurious vector 7 with nothing in service', () => {
  const { pic, master } = linuxPic();
  assert.equal(pic.acknowledge(), 0x37);
  master.write(0, 1, 0x0b);
  assert.equal(master.read(0, 1), 0);
});

test('polling acknowledges like INTA and says which line it was', () => {
  const { pic, master } = linuxPic();
  pic.setLine(2 + 1, true);
  master.write(0, 1, 0x0c);
  assert.equal(master.read(0, 1), 0x83);
  assert.equal(pic.output, false);
});

test('with automatic EOI nothing stays in service, and a second slave line follows the first', () => {
  const { pic, master, slave } = linuxPic();
  for (const [chip, base, cascade] of [
    [master, 0x30, 4],
    [slave, 0x38, 2],
  ] as const) {
    chip.write(0, 1, 0x11);
    chip.write(1, 1, base);
    chip.write(1, 1, cascade);
    chip.write(1, 1, 0x03);
  }
  pic.setLine(9, true);
  pic.setLine(8, true);
  assert.deepEqual([pic.acknowledge(), pic.acknowledge()], [0x38, 0x39]);
  assert.equal(pic.output, false);
});

test('a restored PIC continues where the saved one stopped', () => {
  const { pic } = linuxPic();
  pic.setLine(3, true);
  pic.acknowledge();
  pic.setLine(7, true);
  pic.setLine(1, true);
  const state = structuredClone(pic.save());
  const other = new Pic(() => {});
  other.restore(state);
  assert.equal(other.output, true);
  assert.equal(other.acknowledge(), 0x31);
  other.registers(0).write(0, 1, 0x20);
  other.registers(0).write(0, 1, 0x20);
  assert.equal(other.acknowledge(), 0x37);
});
