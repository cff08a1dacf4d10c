import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { type Extended, type X87Vector, x87Vectors } from '../../testing/x87-vectors.ts';
import { S } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { GuestException } from '../system/exception.ts';
import { find, UndefinedEncoding, X87Harness } from './x87-harness.ts';

// Recorded on an AMD Zen 3 processor by test/differential/x87: see record.mjs there.
const FILE = new URL('../../../test/vectors/fpu/x87-zen3.bin.gz', import.meta.url);
const ARITHMETIC = 0xd5;
const C1 = 0x200;

/** Second bytes after D9 whose results processors round differently in the last place. */
const TRANSCENDENTAL = new Map([
  [0xf0, 'F2XM1'],
  [0xf1, 'FYL2X'],
  [0xf2, 'FPTAN'],
  [0xf3, 'FPATAN'],
  [0xf9, 'FYL2XP1'],
  [0xfb, 'FSINCOS'],
  [0xfe, 'FSIN'],
  [0xff, 'FCOS'],
]);

const isTranscendental = ({ opcode, modrm }: X87Vector): boolean => opcode === 0xd9 && TRANSCENDENTAL.has(modrm);

const vectors = [...x87Vectors(gunzipSync(readFileSync(FILE)))];
const harness = new X87Harness();

for (let opcode = 0xd8; opcode <= 0xdf; opcode++) {
  test(`every recorded ${opcode.toString(16).toUpperCase()} instruction does what the processor did, bit for bit`, () => {
    const chosen = vectors.filter((vector) => vector.opcode === opcode && !isTranscendental(vector));
    assert.ok(chosen.length > 500);
    for (const vector of chosen) assert.deepEqual(replay(vector), expected(vector), describe(vector));
  });
}

for (const [modrm, name] of TRANSCENDENTAL) {
  test(`every recorded ${name} is within one unit in the last place of what the processor did`, () => {
    const chosen = vectors.filter((vector) => vector.opcode === 0xd9 && vector.modrm === modrm);
    assert.ok(chosen.length > 50);
    for (const vector of chosen) {
      const [got, want] = [replay(vector), expected(vector)];
      // C1 tells the direction of a rounding that may differ.
      got.fsw &= ~C1;
      want.fsw &= ~C1;
      got.st = got.st.map((value, r) => (isClose(value, want.st[r]!) ? want.st[r]! : value));
      assert.deepEqual(got, want, describe(vector));
    }
  });
}

/** Adjacent encodings are adjacent values, across binades too, if exponent and fraction are read as one number. */
function isClose(a: Extended, b: Extended): boolean {
  const difference = ordinal(a) - ordinal(b);
  return a.signExponent >> 15 === b.signExponent >> 15 && difference <= 1n && difference >= -1n;
}

function ordinal({ sig, signExponent }: Extended): bigint {
  return (BigInt(signExponent & 0x7fff) << 63n) | (sig & ((1n << 63n) - 1n));
}

type Outcome = { trap: number } & X87Vector['after'];

function expected({ trap, after }: X87Vector): Outcome {
  return { trap, ...after, memory: Uint8Array.from(after.memory) };
}

function replay(vector: X87Vector): Outcome {
  const { state, memory } = harness;
  const { before } = vector;
  const pending = (before.fsw & ~before.fcw & 0x3f) !== 0;
  state.set32(S.fcw, before.fcw);
  state.set32(S.fsw, before.fsw | (pending ? 0x8080 : 0));
  state.set32(S.ftw, before.ftw);
  state.setRflags(before.flags | FLAG.fixed);
  state.setGpr(0, 0n);
  before.st.forEach(({ sig, signExponent }, r) => {
    state.set64(S.st + r * 16, sig);
    state.set32(S.st + r * 16 + 8, signExponent);
  });
  before.memory.forEach((byte, i) => {
    memory.setUint8(i, byte);
  });
  const trap = trapOf(vector);
  // After a trap the record holds nothing more.
  if (trap !== 0) return { ...expected(vector), trap };
  return {
    trap,
    fcw: state.get32(S.fcw),
    fsw: state.get32(S.fsw),
    ftw: state.get32(S.ftw),
    flags: state.rflags() & ARITHMETIC,
    ax: Number(state.gpr(0)),
    st: before.st.map((_, r) => ({
      sig: state.get64(S.st + r * 16),
      signExponent: state.get32(S.st + r * 16 + 8) & 0xffff,
    })),
    memory: Uint8Array.from(before.memory, (_, i) => memory.getUint8(i)),
  };
}

function trapOf({ opcode, modrm }: X87Vector): number {
  try {
    harness.run(opcode, modrm);
    return 0;
  } catch (error) {
    if (error instanceof GuestException) return error.vector;
    if (error instanceof UndefinedEncoding) return 6;
    throw error;
  }
}

function describe({ opcode, modrm, before }: X87Vector): string {
  const top = (before.fsw >> 11) & 7;
  const [a, b] = [before.st[top]!, before.st[(top + 1) & 7]!].map(({ sig, signExponent }) => `${signExponent.toString(16)}:${sig.toString(16)}`);
  const words = [opcode, modrm, before.fcw, before.fsw, before.ftw].map((word) => word.toString(16)).join(' ');
  return `${words} ST0=${a} ST1=${b} memory=${[...before.memory].map((byte) => byte.toString(16)).join(' ')} (${nameOf(opcode, modrm)})`;
}

function nameOf(opcode: number, modrm: number): string {
  try {
    return find(opcode, modrm).name;
  } catch {
    return 'undefined';
  }
}
