import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { ByteReader, ByteWriter } from './byte-stream.ts';
import { compareResult } from './compare.ts';
import { copyState, emptyState } from './executor.ts';
import { readDelta, writeDelta } from './state-delta.ts';
import { readVectorHeader, readVectors, type Vector } from './vectors.ts';

const FOLDER = new URL('../../test/vectors/', import.meta.url);
const OF = 0x800;

function load(family: string): Uint8Array {
  return gunzipSync(readFileSync(new URL(`${family}.bin.gz`, FOLDER)));
}

function named(family: string, name: string): Vector[] {
  return [...readVectors(load(family))].filter((vector) => vector.template.name === name);
}

test('every recorded file yields as many cases as its header says', () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.bin.gz'));
  assert.ok(files.length >= 20);
  for (const name of files) {
    const file = load(name.slice(0, -'.bin.gz'.length));
    assert.equal([...readVectors(file)].length, readVectorHeader(file).caseCount, name);
  }
});

test('recorded INC of a 64-bit register adds one and leaves the carry flag', () => {
  // Ties the names, the operand and the register order to something known without a processor.
  const vectors = named('alu', 'INC E 64 reg');
  assert.ok(vectors.length > 20);
  for (const { bytes, before, after } of vectors) {
    const register = (bytes.at(-1)! & 7) | ((bytes[0]! & 1) << 3);
    assert.equal(after.gpr[register], BigInt.asUintN(64, before.gpr[register]! + 1n));
    assert.equal(after.rflags & 1, before.rflags & 1);
    assert.equal(after.rip, before.rip + BigInt(bytes.length));
  }
});

test('recorded page faults on the hole name an address inside it or the first byte of it', () => {
  const faults = [...readVectors(load('alu'))].filter((vector) => vector.fault?.vector === 14);
  assert.ok(faults.length > 100);
  for (const { fault } of faults) {
    const page = (fault!.address >> 12n) << 12n;
    assert.ok(page === 0x1000_2000n || page === 0x1000_3000n, fault!.address.toString(16));
  }
});

test('a vector agrees with its own result', () => {
  for (const vector of readVectors(load('muldiv'))) {
    assert.deepEqual(compareResult(vector, { after: copyState(vector.after), fault: vector.fault }), []);
  }
});

test('compareResult names a wrong register, flag, memory byte and fault', () => {
  const vector = named('alu', 'ADD Ev,Gv 64 reg')[0]!;
  const after = copyState(vector.after);
  after.gpr[9]! ^= 1n;
  after.rflags ^= 1;
  after.memory[640]! ^= 0xff;
  const lines = compareResult(vector, { after, fault: undefined });
  assert.equal(lines.length, 3);
  assert.match(lines[0]!, /^r9: expected /);
  assert.match(lines[1]!, /^rflags: CF expected [01] \(was [01]\)$/);
  assert.match(lines[2]!, /^memory 0x10001f80: expected unchanged .., found ..$/);
  const fault = { vector: 14, errorCode: 6, address: 0x10002000n };
  assert.deepEqual(compareResult(vector, { after, fault }), [
    'fault: expected none, found #PF(error 6, address 0x10002000)',
  ]);
});

test('compareResult leaves undefined flags alone unless it is strict', () => {
  const vector = named('shift', 'SHL E,Ib 32 reg').find((v) => v.undefinedFlags & OF)!;
  const after = copyState(vector.after);
  after.rflags ^= OF;
  assert.deepEqual(compareResult(vector, { after, fault: undefined }), []);
  assert.equal(compareResult(vector, { after, fault: undefined }, { strict: true }).length, 1);
});

test('a tolerance in units of the last place admits neighbours only', () => {
  const found = named('x87-transcendental', 'FSIN').find((v) => v.fault === undefined && v.after.st[0]! < 0xf0)!;
  const [near, far] = [copyState(found.after), copyState(found.after)];
  near.st[0]! += 2;
  far.st[0]! += 3;
  assert.deepEqual(compareResult(found, { after: near, fault: undefined }), []);
  assert.equal(compareResult(found, { after: far, fault: undefined }).length, 1);
});

test('a delta carries every part of a state', () => {
  const from = emptyState();
  const to = emptyState();
  to.gpr[15] = 0xffff_ffff_ffff_ffffn;
  Object.assign(to, {
    rflags: 0xad7,
    mxcsr: 0xffff,
    fcw: 0x27f,
    fsw: 0x7800,
    ftw: 0xff,
    fsBase: 1n,
    gsBase: 1n << 63n,
  });
  to.xmm[255] = 1;
  to.st[79] = 2;
  to.memory.set([1, 2, 3, 0, 5], 100);
  to.memory[831] = 6;
  const writer = new ByteWriter();
  writeDelta(writer, from, to);
  assert.deepEqual(readDelta(new ByteReader(writer.finish()), from), to);
});

test('readVectors refuses a file that is cut short, lengthened or not a vector file', () => {
  const file = load('control');
  assert.throws(() => [...readVectors(file.subarray(0, file.length - 1))], RangeError);
  assert.throws(() => [...readVectors(Uint8Array.of(...file, 0))], RangeError);
  assert.throws(() => [...readVectors(new Uint8Array(64))], RangeError);
});
