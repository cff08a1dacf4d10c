/** 2**n for every n that a computation with 64-bit significands meets; larger ones are computed. */
const POWERS: readonly bigint[] = Array.from({ length: 512 }, (_, n) => 1n << BigInt(n));
const COUNTS: readonly bigint[] = Array.from({ length: 512 }, (_, n) => BigInt(n));

/** 2**n. */
export function pow2(n: number): bigint {
  return n < 512 ? POWERS[n]! : 1n << BigInt(n);
}

/** n as a shift count, without making a bigint each time. */
export function count(n: number): bigint {
  return n < 512 ? COUNTS[n]! : BigInt(n);
}

const probe = new Float64Array(1);
const probeWords = new Uint32Array(probe.buffer);

/** Number of bits of x, which is positive and below 2**1023. */
export function bitLength(x: bigint): number {
  probe[0] = Number(x);
  const high = probeWords[1]!;
  const length = (high >>> 20) - 1022;
  // Conversion to a double may have rounded up to the next power of two; only then is its fraction 0.
  if ((high & 0xfffff) === 0 && probeWords[0] === 0 && x < pow2(length - 1)) return length - 1;
  return length;
}

/** Largest integer whose square is not above x; x is positive and below 2**1000. */
export function integerSqrt(x: bigint): bigint {
  const shift = Math.max(0, bitLength(x) - 104) & ~1;
  // 52 exact bits to start with; each step doubles them and, from above, never falls below the root.
  let root = (BigInt(Math.floor(Math.sqrt(Number(x >> count(shift))))) + 2n) << count(shift >> 1);
  for (;;) {
    const next = (root + x / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}
