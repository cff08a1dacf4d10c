import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestMemory } from '../memory/guest-memory.ts';
import { run } from './virtqueue.fuzz.ts';

const SEEDS = [1, 2, 3, 4, 5];
const GUARD_BYTES = 64 * 1024;
const MEMORY_BYTES = 1024 * 1024;

test('a hostile guest does not get past the rings', () => {
  const reports = SEEDS.map((seed) => run(seed, 1500));
  for (const { faults, starts, completed } of reports) {
    assert.ok(faults > 50 && starts > 50 && completed > 150, JSON.stringify(reports));
  }
});

test('a seed gives the same run again', () => {
  assert.deepEqual(run(7, 500), run(7, 500));
});

test('canary: memory that admits addresses it does not have is noticed as a throw', () => {
  class Careless extends GuestMemory {
    override contains(gpa: number, length: number): boolean {
      return super.contains(gpa, Math.max(0, length - 64)) && length < 2 ** 31;
    }
  }
  const careless = (buffer: ArrayBuffer): GuestMemory =>
    new Careless(buffer, [{ gpa: 0, length: MEMORY_BYTES, offset: GUARD_BYTES }]);
  assert.throws(() => SEEDS.forEach((seed) => void run(seed, 2000, careless)), /outside memory/);
});

test('canary: memory that reaches into its neighbour is noticed as a changed byte', () => {
  const tooLong = (buffer: ArrayBuffer): GuestMemory =>
    new GuestMemory(buffer, [{ gpa: 0, length: MEMORY_BYTES + 64, offset: GUARD_BYTES }]);
  assert.throws(() => SEEDS.forEach((seed) => void run(seed, 2000, tooLong)), /outside guest memory changed/);
});
