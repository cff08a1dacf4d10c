/** Operand values: random ones mixed with those where implementations go wrong. */

/** An unsigned integer of `bits` bits: borders, powers of two and their neighbours, short numbers, random ones. */
export function integer(random, bits) {
  const n = BigInt(bits);
  const top = 1n << (n - 1n);
  const wrap = (v) => BigInt.asUintN(bits, v);
  switch (random.below(8)) {
    case 0:
      return wrap(random.pick([0n, 1n, -1n, top, top - 1n, top + 1n, 2n, -2n]));
    case 1:
      return wrap((1n << BigInt(random.below(bits))) + random.pick([-1n, 0n, 1n]));
    case 2:
      return wrap(BigInt(random.between(-128, 255)));
    case 3:
      return wrap(random.u64() >> BigInt(random.below(64)));
    case 4:
      return wrap(-(random.u64() >> BigInt(random.below(64))));
    default:
      return wrap(random.u64());
  }
}

function littleEndian(value, bytes) {
  const out = new Uint8Array(bytes);
  for (let i = 0, v = value; i < bytes; i++, v >>= 8n) out[i] = Number(v & 0xffn);
  return out;
}

/** An IEEE number with this exponent and fraction width: zeroes, denormals, infinities, both NaNs, whole numbers. */
function float(random, exponentBits, fractionBits) {
  const f = BigInt(fractionBits);
  const ones = (1n << BigInt(exponentBits)) - 1n;
  const bias = ones >> 1n;
  const sign = BigInt(random.below(2)) << (f + BigInt(exponentBits));
  const fraction = random.u64() & ((1n << f) - 1n);
  const of = (e, m) => sign | (e << f) | m;
  switch (random.below(16)) {
    case 0:
      return of(0n, 0n);
    case 1:
      return of(0n, fraction >> BigInt(random.below(fractionBits)));
    case 2:
      return of(ones, 0n);
    case 3:
      return of(ones, (1n << (f - 1n)) | (fraction >> 8n)); // quiet NaN
    case 4:
      return of(ones, (fraction >> 2n) | 1n); // signalling NaN
    case 5:
      return of(ones - 1n, fraction); // near overflow
    case 6:
      return of(1n + BigInt(random.below(3)), fraction); // near underflow
    case 7:
      return of(bias + BigInt(random.between(-2, 2)), 0n); // 0.25 to 4
    case 8:
      return of(bias + BigInt(random.between(-3, 66)), fraction & (-1n << (f - BigInt(random.between(1, 12))))); // short
    case 9:
      return of(bias + BigInt(random.pick([7, 8, 14, 15, 16, 30, 31, 32, 52, 53, 62, 63, 64])), fraction);
    case 10:
      return sign | (random.u64() & ((1n << (f + BigInt(exponentBits))) - 1n));
    default:
      return of(bias + BigInt(random.between(-12, 12)), fraction);
  }
}

/** An x87 double-extended number; one in forty is an encoding that the 387 and later reject. */
function extended(random) {
  const bits = float(random, 15, 63);
  const exponent = bits >> 63n;
  const fraction = bits & ((1n << 63n) - 1n);
  let integerBit = (exponent & 0x7fffn) === 0n ? 0n : 1n;
  if (random.percent(2.5)) integerBit ^= 1n; // pseudo-denormal, unnormal, pseudo-infinity or pseudo-NaN
  return (exponent << 64n) | (integerBit << 63n) | fraction;
}

/** Ten bytes of packed decimal: 18 digits and a sign. */
function decimal(random) {
  const out = new Uint8Array(10);
  const digits = random.pick([18, 18, 9, 1, 0]);
  for (let i = 0; i < digits; i++) out[i >> 1] |= random.below(10) << (4 * (i & 1));
  out[9] = random.pick([0, 0x80]);
  return out;
}

const REPEATED = {
  f32: [4, (r) => float(r, 8, 23)],
  f64: [8, (r) => float(r, 11, 52)],
  i8: [1, (r) => integer(r, 8)],
  i16: [2, (r) => integer(r, 16)],
  i32: [4, (r) => integer(r, 32)],
  i64: [8, (r) => integer(r, 64)],
  /** Text with few distinct letters, so that string comparisons find something. */
  text: [1, (r) => BigInt(r.pick([0, 0x61, 0x61, 0x62, 0x62, 0x63, 0x7a, 0x80, 0xff]))],
  text16: [2, (r) => BigInt(r.pick([0, 0x61, 0x61, 0x62, 0x162, 0x63, 0x7a, 0x8000, 0xffff]))],
};

/** `bytes` bytes of data of one of the domains: int (lanes of a random width), those of REPEATED, f80, bcd, raw. */
export function data(random, domain, bytes) {
  if (domain === 'raw') return random.bytes(bytes);
  if (domain === 'f80') return littleEndian(extended(random), 10);
  if (domain === 'bcd') return decimal(random);
  const lane = domain === 'int' ? Math.min(bytes, random.pick([1, 2, 4, 8])) : undefined;
  const [width, next] = lane === undefined ? REPEATED[domain] : [lane, (r) => integer(r, lane * 8)];
  const out = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += width) out.set(littleEndian(next(random), Math.min(width, bytes - at)), at);
  return out;
}
