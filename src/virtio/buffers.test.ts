import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainMemory } from '../testing/device-harness.ts';
import { ReadableBuffers, WritableBuffers } from './buffers.ts';

const alive = { alive: true };

function counting() {
  const memory = plainMemory(4096);
  memory.write(
    0,
    Uint8Array.from({ length: 256 }, (_, at) => at),
  );
  return memory;
}

const TWO = [
  { gpa: 10, length: 3 },
  { gpa: 0, length: 0 },
  { gpa: 20, length: 4 },
];

test('readable buffers give the bytes of their segments in order', () => {
  const readable = new ReadableBuffers(counting(), alive, TWO);
  assert.deepEqual([...readable.bytes(100)], [10, 11, 12, 20, 21, 22, 23]);
  assert.equal(readable.remaining, 0);
});

test('a read stops at the end of what it is given and goes on from there', () => {
  const readable = new ReadableBuffers(counting(), alive, TWO);
  assert.deepEqual([...readable.bytes(2)], [10, 11]);
  readable.skip(2);
  assert.deepEqual([...readable.bytes(100)], [21, 22, 23]);
});

test('views lie in guest memory and do not move the position', () => {
  const memory = counting();
  const readable = new ReadableBuffers(memory, alive, TWO);
  assert.deepEqual(
    readable.views(5).map((view) => [view.byteOffset, view.length]),
    [
      [10, 3],
      [20, 2],
    ],
  );
  assert.equal(readable.remaining, 7);
  assert.equal(readable.views(1)[0]?.buffer, memory.buffer);
});

test('take cuts a header off the front', () => {
  const readable = new ReadableBuffers(counting(), alive, TWO);
  const header = readable.take(4);
  assert.deepEqual(
    [[...header.bytes(9)], [...readable.bytes(9)]],
    [
      [10, 11, 12, 20],
      [21, 22, 23],
    ],
  );
});

test('a header can be written after the payload behind it', () => {
  const memory = plainMemory(4096);
  const writable = new WritableBuffers(memory, alive, TWO);
  const header = writable.take(4);
  for (const view of writable.views(2)) view.fill(7);
  writable.wrote(2);
  header.write(Uint8Array.of(1, 2, 3, 4));
  assert.deepEqual(
    [[...memory.bytes(10, 3)], [...memory.bytes(20, 4)]],
    [
      [1, 2, 3],
      [4, 7, 7, 0],
    ],
  );
});

test('what was written is reported by address', () => {
  // The engine drops code it translated from these bytes.
  const memory = plainMemory(4096);
  const heard: [number, number][] = [];
  memory.setWriteHook((gpa, length) => void heard.push([gpa, length]));
  const writable = new WritableBuffers(memory, alive, TWO);
  writable.write(Uint8Array.of(1, 2));
  writable.wrote(3);
  assert.deepEqual(heard, [
    [10, 2],
    [12, 1],
    [20, 2],
  ]);
});

test('a write is cut where room ends', () => {
  const writable = new WritableBuffers(plainMemory(4096), alive, TWO);
  assert.equal(writable.write(new Uint8Array(100)), 7);
  assert.equal(writable.write(new Uint8Array(1)), 0);
});

test('after a reset nothing is read or written', () => {
  const memory = counting();
  const life = { alive: true };
  const readable = new ReadableBuffers(memory, life, TWO);
  const writable = new WritableBuffers(memory, life, TWO);
  life.alive = false;
  assert.deepEqual([readable.bytes(9).length, readable.views(9), writable.views(9)], [0, [], []]);
  assert.equal(writable.write(Uint8Array.of(99)), 0);
  assert.equal(memory.readU8(10), 10);
});
