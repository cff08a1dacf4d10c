import { count } from './integer.ts';

/**
 * Elementary functions on fixed-point numbers: a bigint x stands for x / 2**fraction. Each result is off by less than a few
 * hundred units in the last place; callers carry 90 bits more than they need.
 */

/** pi, ln 2 and log2 e with 384 bits after the point. */
const LN2_384 = 0xb17217f7d1cf79abc9e3b39803f2f6af40f343267298b62d8a0d175b8baafa2be7b876206debac98559552fb4afa1b10n;
const LOG2E_384 = 0x1_71547652b82fe1777d0ffda0d23a7d11d6aef551bad2b4b1164a2cd9a342648fbc3887eeaa2ed9ac49b25eeb82d7c167n;
const PI_384 = 0x3_243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89452821e638d01377be5466cf34e90c6cn;

/** ln 2; `fraction` is at most 384, here and below. */
export function ln2(fraction: number): bigint {
  return LN2_384 >> count(384 - fraction);
}

/** 1 / ln 2. */
export function log2e(fraction: number): bigint {
  return LOG2E_384 >> count(384 - fraction);
}

/** The circle constant. */
export function pi(fraction: number): bigint {
  return PI_384 >> count(384 - fraction);
}

/** |e**t - 1| for t of sign `negative` and magnitude t, below 1. */
export function expMinus1(t: bigint, negative: boolean, fraction: number): bigint {
  const shift = count(fraction);
  let term = t;
  let sum = t;
  for (let n = 2; term !== 0n; n++) {
    term = ((term * t) >> shift) / count(n);
    sum += negative && (n & 1) === 0 ? -term : term;
  }
  return sum;
}

/** Area tangent of z, 0 <= z < 0.5. */
export function atanh(z: bigint, fraction: number): bigint {
  return oddPowers(z, fraction, false);
}

/** z + z**3/3 + z**5/5 ..., with alternating signs for the arc tangent. */
function oddPowers(z: bigint, fraction: number, alternate: boolean): bigint {
  const shift = count(fraction);
  const square = (z * z) >> shift;
  let power = z;
  let sum = z;
  for (let n = 3; power !== 0n; n += 2) {
    power = (power * square) >> shift;
    const term = power / count(n);
    sum += alternate && (n & 2) !== 0 ? -term : term;
  }
  return sum;
}

/** Arc tangent of q, 0 <= q <= 1. */
export function atan(q: bigint, fraction: number): bigint {
  const one = 1n << count(fraction);
  // tan(a - b) = (tan a - tan b) / (1 + tan a tan b), with tan b = sixteenths / 16 the nearest.
  const sixteenths = Number((q + (one >> 5n)) >> count(fraction - 4));
  if (sixteenths === 0) return oddPowers(q, fraction, true);
  const c = count(sixteenths) << count(fraction - 4);
  const rest = ((q - c) << count(fraction)) / (one + ((q * c) >> count(fraction)));
  const magnitude = oddPowers(rest < 0n ? -rest : rest, fraction, true);
  return arcOfSixteenths(sixteenths, fraction) + (rest < 0n ? -magnitude : magnitude);
}

const arcs: bigint[] = [];

/** atan(n / 16), 1 <= n <= 16, computed once. */
function arcOfSixteenths(n: number, fraction: number): bigint {
  arcs[n] ??= eulerArc(n);
  return arcs[n] >> count(384 - fraction);
}

/** Euler's series: atan x = sum of 4**k (k!)**2 / (2k+1)! * x**(2k+1) / (1 + x**2)**(k+1); halves at least with each term. */
function eulerArc(n: number): bigint {
  const [numerator, denominator] = [BigInt(n * n), BigInt(n * n + 256)];
  let term = ((16n * BigInt(n)) << 400n) / denominator;
  let sum = term;
  for (let k = 1n; term !== 0n; k++) {
    term = (term * 2n * k * numerator) / ((2n * k + 1n) * denominator);
    sum += term;
  }
  return sum >> 16n;
}

/** Sine of t, 0 <= t < 1. */
export function sine(t: bigint, fraction: number): bigint {
  return trigonometric(t, t, 2, fraction);
}

/** Cosine of t, 0 <= t < 1. */
export function cosine(t: bigint, fraction: number): bigint {
  return trigonometric(t, 1n << count(fraction), 1, fraction);
}

/** first - first * t**2 / (n (n + 1)) + ... */
function trigonometric(t: bigint, first: bigint, n: number, fraction: number): bigint {
  const shift = count(fraction);
  const square = (t * t) >> shift;
  let term = first;
  let sum = first;
  for (let k = n; term !== 0n; k += 2) {
    term = ((term * square) >> shift) / count(k * (k + 1));
    sum += ((k - n) & 2) === 0 ? -term : term;
  }
  return sum;
}
