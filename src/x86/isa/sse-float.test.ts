import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { readVectors } from '../../testing/vectors.ts';
import { CaseExecutor } from '../interp/case-harness.ts';
import { S } from '../state/layout.ts';
import { CpuState } from '../state/state.ts';
import { encodeOperation, type ExactOperation, runExact } from './sse-float-exact.ts';

// Generated code and TypeScript softfloat are two independent implementations; softfloat is checked against a processor.
const FILE = new URL('../../../test/vectors/sse-float.bin.gz', import.meta.url);
const [sample] = [...readVectors(gunzipSync(readFileSync(FILE)))];
const executor = new CaseExecutor();
const reference = new CpuState(new ArrayBuffer(S.end), 0);

/** A deterministic generator; 32 bits. */
function randomness(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

interface Outcome {
  readonly xmm: readonly bigint[];
  readonly mxcsr: number;
  readonly vector: number;
}

/** Runs an instruction on XMM0 and XMM1 in the interpreter. */
function run(bytes: readonly number[], operands: readonly bigint[], mxcsr: number): Outcome {
  const before = { ...sample!.before, xmm: new Uint8Array(256), gpr: sample!.before.gpr.slice(), mxcsr };
  new BigUint64Array(before.xmm.buffer, 0, 4).set(operands);
  const { after, fault } = executor.execute({ bytes: Uint8Array.from(bytes), before });
  const [low, high] = new BigUint64Array(after.xmm.buffer, 0, 2);
  return { xmm: [low!, high!], mxcsr: after.mxcsr, vector: fault?.vector ?? 0 };
}

/** The same in TypeScript. */
function expected(what: number, operands: readonly bigint[], mxcsr: number, immediate: number): Outcome {
  operands.forEach((bits, i) => {
    reference.set64(S.sseA + i * 8, bits);
  });
  reference.set64(S.cr4, 0x600n);
  reference.set32(S.mxcsr, mxcsr);
  reference.set32(S.sseOperation, what);
  reference.set32(S.sseImmediate, immediate);
  runExact(reference);
  const vector = reference.get32(S.sseFault);
  const xmm = [reference.get64(S.sseResult), reference.get64(S.sseResult + 8)];
  return { xmm: vector === 0 ? xmm : operands.slice(0, 2), mxcsr: reference.get32(S.mxcsr), vector };
}

/** Default; PE seen; denormals off; PE seen and denormals off; up; up with PE seen; everything unmasked; PE alone unmasked. */
const MXCSR = [0x1f80, 0x1fa0, 0x9fc0, 0x9fe0, 0x5f80, 0x5fa0, 0x3fa0, 0x0020, 0x0fa0, 0x1f80, 0x1fa0];

/** Numbers where something happens: few digits, all digits, next to powers of two, ends of the range, no numbers. */
function pattern(random: () => number, width: 32 | 64): bigint {
  const digits = width === 64 ? 52n : 23n;
  const top = width === 64 ? 2047 : 255;
  const bias = top >> 1;
  const fraction = BigInt.asUintN(Number(digits), (BigInt(random()) << 32n) | BigInt(random()));
  const fractions = [0n, 1n, fraction, fraction, (fraction >> (digits / 2n)) << (digits / 2n), (1n << digits) - 1n, 1n << (digits - 1n)];
  const exponents = [
    bias,
    bias + (random() % 8) - 4,
    bias + (random() % 64),
    bias >> 1,
    (bias >> 1) + 1,
    bias + (bias >> 1),
    1,
    2,
    top - 1,
    0,
    random() % top,
    random() % 50 === 0 ? top : bias + 3,
  ];
  const exponent = BigInt(exponents[random() % exponents.length]!);
  const sign = BigInt(random() & 1) << BigInt(width - 1);
  return sign | (exponent << digits) | fractions[random() % fractions.length]!;
}

function operandsOf(random: () => number, width: 32 | 64): bigint[] {
  const lane = () => (width === 64 ? pattern(random, 64) : pattern(random, 32) | (pattern(random, 32) << 32n));
  const a = [lane(), lane()];
  // Equal and opposite operands cancel.
  const mirror = width === 64 ? 1n << 63n : 0x8000_0000_8000_0000n;
  const related = random() % 8;
  return [...a, ...(related === 0 ? a : related === 1 ? a.map((x) => x ^ mirror) : [lane(), lane()])];
}

interface Comparison {
  readonly cases: number;
  /** Elements of the source that count; the others are not compared. */
  readonly count: number;
  readonly immediate?: number;
  readonly unary?: boolean;
  /** Bits of a result, if not those of a source element. */
  readonly to?: 32 | 64;
}

function agrees(name: ExactOperation, bytes: readonly number[], width: 32 | 64, { cases, count, immediate = 0, unary = false, to = width }: Comparison): void {
  const random = randomness(width * 7919 + name.length + count);
  const what = encodeOperation(name, width, count);
  for (let i = 0; i < cases; i++) {
    const operands = operandsOf(random, width);
    const given = unary ? [...operands.slice(2), ...operands.slice(2)] : operands;
    const mxcsr = MXCSR[i % MXCSR.length]!;
    const [found, wanted] = [run(bytes, given, mxcsr), expected(what, given, mxcsr, immediate)];
    assert.deepEqual(
      compared(found, to, count),
      compared(wanted, to, count),
      `${name}${width} of ${given.map((x) => x.toString(16))}, MXCSR ${mxcsr.toString(16)}`,
    );
  }
}

/** A scalar instruction has its result in the first element. */
function compared({ xmm, mxcsr, vector }: Outcome, width: 32 | 64, count: number): Outcome {
  return { xmm: count === 1 ? [BigInt.asUintN(width, xmm[0]!)] : xmm, mxcsr, vector };
}

const ARITHMETIC: readonly (readonly [ExactOperation, number])[] = [
  ['add', 0x58],
  ['sub', 0x5c],
  ['mul', 0x59],
  ['div', 0x5e],
  ['min', 0x5d],
  ['max', 0x5f],
];

for (const [name, opcode] of ARITHMETIC) {
  test(`${name.toUpperCase()} does to MXCSR what softfloat does, also where the host computes`, () => {
    agrees(name, [0xf3, 0x0f, opcode, 0xc1], 32, { cases: 2000, count: 1 });
    agrees(name, [0xf2, 0x0f, opcode, 0xc1], 64, { cases: 2000, count: 1 });
    agrees(name, [0x0f, opcode, 0xc1], 32, { cases: 300, count: 4 });
    agrees(name, [0x66, 0x0f, opcode, 0xc1], 64, { cases: 300, count: 2 });
  });
}

test('SQRT does to MXCSR what softfloat does, for squares and others', () => {
  agrees('sqrt', [0xf3, 0x0f, 0x51, 0xc1], 32, { cases: 2000, count: 1, unary: true });
  agrees('sqrt', [0xf2, 0x0f, 0x51, 0xc1], 64, { cases: 2000, count: 1, unary: true });
});

test('every predicate of CMPSS and CMPSD holds for the operands for which it does in softfloat', () => {
  for (let predicate = 0; predicate < 8; predicate++) {
    agrees('compare', [0xf3, 0x0f, 0xc2, 0xc1, predicate], 32, { cases: 300, count: 1, immediate: predicate });
    agrees('compare', [0xf2, 0x0f, 0xc2, 0xc1, predicate], 64, { cases: 300, count: 1, immediate: predicate });
  }
});

test('every immediate of ROUNDSS and ROUNDSD rounds and reports as softfloat does', () => {
  for (let immediate = 0; immediate < 16; immediate++) {
    agrees('round', [0x66, 0x0f, 0x3a, 0x0a, 0xc1, immediate], 32, { cases: 150, count: 1, immediate, unary: true });
    agrees('round', [0x66, 0x0f, 0x3a, 0x0b, 0xc1, immediate], 64, { cases: 150, count: 1, immediate, unary: true });
  }
});

test('conversions between formats and to integers report what softfloat reports', () => {
  agrees('convert', [0xf2, 0x0f, 0x5a, 0xc1], 64, { cases: 2000, count: 1, unary: true, to: 32 });
  agrees('convert', [0xf3, 0x0f, 0x5a, 0xc1], 32, { cases: 1000, count: 1, unary: true, to: 64 });
  agrees('toInt32', [0x66, 0x0f, 0x5b, 0xc1], 32, { cases: 1000, count: 4, unary: true });
  agrees('toInt32', [0xf3, 0x0f, 0x5b, 0xc1], 32, { cases: 1000, count: 4, unary: true, immediate: 1 });
  agrees('toInt32', [0xf2, 0x0f, 0xe6, 0xc1], 64, { cases: 1000, count: 2, unary: true });
  agrees('toInt32', [0x66, 0x0f, 0xe6, 0xc1], 64, { cases: 1000, count: 2, unary: true, immediate: 1 });
  agrees('fromInteger', [0x0f, 0x5b, 0xc1], 32, { cases: 1000, count: 4, unary: true, immediate: 32 });
});

test('the product that rounds up to the smallest normal number underflows', () => {
  // (1 - 2**-53) * 2**-1022 is tiny after rounding with an unbounded exponent, and 2**-1022 in the format.
  const operands = [0x3fef_ffff_ffff_ffffn, 0n, 0x0010_0000_0000_0000n, 0n];
  const { xmm, mxcsr } = run([0xf2, 0x0f, 0x59, 0xc1], operands, 0x1fa0);
  assert.deepEqual([xmm[0], mxcsr], [0x0010_0000_0000_0000n, 0x1fb0]);
});

test('an unmasked exception raises #XM and leaves the destination', () => {
  const operands = [0x3ff0_0000_0000_0000n, 5n, 0n, 0n];
  assert.deepEqual(run([0xf2, 0x0f, 0x5e, 0xc1], operands, 0x1d80), {
    xmm: [0x3ff0_0000_0000_0000n, 5n],
    mxcsr: 0x1d84,
    vector: 19,
  });
});
