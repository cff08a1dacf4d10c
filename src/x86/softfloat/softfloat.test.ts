import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unpackExt } from './encoding.ts';
import { FloatEnvironment, fromMxcsr } from './environment.ts';
import { Float, KIND } from './float.ts';
import { bitLength, integerSqrt } from './integer.ts';
import { atan, atanh, cosine, expMinus1, ln2, log2e, pi, sine } from './series.ts';
import { sseAdd, sseConvert, sseDiv, sseMul, sseSqrt, sseSub } from './sse.ts';

const FRACTION = 300;
const ONE = 1n << BigInt(FRACTION);
/** Units in the last place by which a sum of some hundred truncated terms may be off. */
const SLACK = 1000n;

function near(actual: bigint, expected: bigint): void {
  const difference = actual - expected;
  assert.ok(difference < SLACK && difference > -SLACK, `off by ${difference}`);
}

test('pi is Machin 16 atan(1/5) - 4 atan(1/239)', () => {
  near(pi(FRACTION), 16n * atan(ONE / 5n, FRACTION) - 4n * atan(ONE / 239n, FRACTION));
});

test('ln 2 is 2 atanh(1/3) and log2 e is its inverse', () => {
  near(ln2(FRACTION), 2n * atanh(ONE / 3n, FRACTION));
  near((ln2(FRACTION) * log2e(FRACTION)) >> BigInt(FRACTION), ONE);
});

test('the arc tangent of 1 is a quarter of pi', () => {
  near(atan(ONE, FRACTION) * 4n, pi(FRACTION));
});

test('sine and cosine of pi/6 are 1/2 and the root of 3/4', () => {
  near(sine(pi(FRACTION) / 6n, FRACTION), ONE / 2n);
  near(cosine(pi(FRACTION) / 6n, FRACTION), root((3n * ONE * ONE) / 4n));
});

test('e to the power of ln 2 is 2, of -ln 2 a half', () => {
  near(expMinus1(ln2(FRACTION), false, FRACTION), ONE);
  near(expMinus1(ln2(FRACTION), true, FRACTION), ONE / 2n);
});

test('bitLength is exact on both sides of every power of two', () => {
  for (let n = 1; n < 300; n++) {
    assert.equal(bitLength(1n << BigInt(n)), n + 1);
    assert.equal(bitLength((1n << BigInt(n)) - 1n), n);
  }
});

test('integerSqrt is the root of a square, and one less just below it', () => {
  for (let n = 3n; n < 1n << 80n; n = n * 3n + 1n) {
    assert.equal(integerSqrt(n * n), n);
    assert.equal(integerSqrt(n * n - 1n), n - 1n);
  }
});

const words = new BigUint64Array(1);
const doubles = new Float64Array(words.buffer);

function bitsOf(value: number): bigint {
  doubles[0] = value;
  return words[0]!;
}

function* pairs(count: number): Generator<[number, number]> {
  let seed = 1n;
  const next = (): number => {
    seed = BigInt.asUintN(64, seed * 6364136223846793005n + 1442695040888963407n);
    // Exponents around 1, so that operations meet; every fourth is anything.
    const bits = (seed & 3n) === 0n ? seed : (seed & ~(0x7f8n << 52n)) | (0x3f8n << 52n);
    words[0] = bits;
    return doubles[0]!;
  };
  for (let n = 0; n < count; n++) {
    const pair: [number, number] = [next(), next()];
    // The sign of a NaN the host makes is its own affair.
    if (pair.every(Number.isFinite)) yield pair;
  }
}

test('double arithmetic with the default MXCSR is that of the host', () => {
  const env = fromMxcsr(new FloatEnvironment(), 0x1f80);
  for (const [a, b] of pairs(5000)) {
    const [x, y] = [bitsOf(a), bitsOf(b)];
    assert.equal(sseAdd(env, 64, x, y), bitsOf(a + b));
    assert.equal(sseSub(env, 64, x, y), bitsOf(a - b));
    assert.equal(sseMul(env, 64, x, y), bitsOf(a * b));
    assert.equal(sseDiv(env, 64, x, y), bitsOf(a / b));
    assert.equal(sseSqrt(env, 64, bitsOf(Math.abs(a))), bitsOf(Math.sqrt(Math.abs(a))));
    assert.equal(sseConvert(env, 32, sseConvert(env, 64, x)), bitsOf(Math.fround(a)));
  }
});

test('an 80-bit encoding without its integer bit is unsupported, except with exponent field 0', () => {
  const value = new Float();
  unpackExt(1n << 62n, 0x3fff, value);
  assert.equal(value.kind, KIND.unsupported);
  unpackExt(1n << 62n, 0x7fff, value);
  assert.equal(value.kind, KIND.unsupported);
  unpackExt(1n << 62n, 0, value);
  assert.deepEqual([value.kind, value.exp, value.denormal], [KIND.finite, -16383, true]);
  unpackExt(1n << 63n, 0, value);
  assert.deepEqual([value.kind, value.exp, value.denormal], [KIND.finite, -16382, true]);
});

/** Root by bisection, independent of integerSqrt. */
function root(square: bigint): bigint {
  let [low, high] = [0n, ONE * 2n];
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle * middle <= square) low = middle;
    else high = middle;
  }
  return low;
}
