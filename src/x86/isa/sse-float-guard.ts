import type { Emitter, Value } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import { all, allOf, type Lanes } from './sse-float-lanes.ts';

/**
 * When the host's arithmetic does exactly what MXCSR asks for.
 *
 * Flags of MXCSR are sticky. An operation on ordinary numbers with an ordinary result can raise only PE; so nothing changes if
 * PE is set already and masked. Before PE is set, the operation must be shown to be exact. Everything else (NaNs, infinities,
 * denormals, results near the ends of the range, other rounding) goes to TypeScript. Flush-to-zero and denormals-are-zero
 * make no difference to numbers that are not denormal, and neither does the host: no NaN gets this far.
 *
 * Where `fastFloat` is set nobody asks for PE and DE, and MXCSR has to be at its default apart from the flags.
 */
export type Format = Pick<Lanes, 'shape' | 'ints' | 'width'>;

const RC = 0x6000;
const PM = 0x1000;
const PE = 0x20;
/** Masks, rounding, flush-to-zero and denormals-are-zero, and what they are by default: as the host does it. */
const CONTROL = 0xffc0;
const DEFAULT = 0x1f80;

const SMALLEST = { 32: 2 ** -126, 64: 2 ** -1022 } as const;

const and = (b: Emitter, first: Value, ...rest: Value[]): Value => rest.reduce((x, y) => b.simd('v128_and', x, y), first);
const or = (b: Emitter, x: Value, y: Value): Value => b.simd('v128_or', x, y);

export function zero(b: Emitter): Value {
  return all(b, 32, 0n);
}

/** Mask of the lanes that hold zeros or normal numbers; infinities too. */
export function notDenormal(b: Emitter, f: Format, a: Value): Value {
  const large = b.simd(`${f.shape}_ge`, b.simd(`${f.shape}_abs`, a), allOf(b, f.width, SMALLEST[f.width]));
  return or(b, large, b.simd(`${f.shape}_eq`, a, zero(b)));
}

export function belowInfinity(b: Emitter, f: Format, a: Value): Value {
  return b.simd(`${f.shape}_lt`, b.simd(`${f.shape}_abs`, a), allOf(b, f.width, Number.POSITIVE_INFINITY));
}

/**
 * Above the smallest normal number: that one itself may be the rounded result of something smaller, which raises UE.
 * @spec SDM-1 §4.9.1.5
 */
function isAboveTiny(b: Emitter, f: Format, a: Value): Value {
  return b.simd(`${f.shape}_gt`, b.simd(`${f.shape}_abs`, a), allOf(b, f.width, SMALLEST[f.width]));
}

/** i32 condition: MXCSR asks for what the host does. */
function isDefault(b: Emitter, rc: number): Value {
  const control = rc === 0 ? CONTROL & ~RC : CONTROL;
  return b.op('i32_eq', b.op('i32_and', b.field32(S.mxcsr), b.i32(control)), b.i32(DEFAULT));
}

/** For `fastFloat`, i32 condition: MXCSR is at its default, and all lanes of a mask are set; in one comparison. */
export function isDefaultAnd(b: Emitter, f: Format, mask: Value): Value {
  const odd = b.op('i32_xor', b.op('i32_and', b.field32(S.mxcsr), b.i32(CONTROL)), b.i32(DEFAULT));
  const missing = b.op('i32_xor', b.simd(`${f.ints}_bitmask`, mask), b.i32(f.width === 64 ? 3 : 15));
  return b.op('i32_eqz', b.op('i32_or', odd, missing));
}

/** Lanes where a result says by itself that nothing but PE and DE was due. Sums do not underflow: small ones are exact. */
export const SAYS_ENOUGH = {
  add: (b: Emitter, f: Format, r: Value) => belowInfinity(b, f, r),
  mul: (b: Emitter, f: Format, r: Value) => and(b, isAboveTiny(b, f, r), belowInfinity(b, f, r)),
  div: (b: Emitter, f: Format, r: Value) => and(b, isAboveTiny(b, f, r), belowInfinity(b, f, r)),
  sqrt: (b: Emitter, f: Format, r: Value) => belowInfinity(b, f, r),
} as const;

/** The same, and zeros that are products or quotients of zeros. */
export const ZERO_SAYS_ENOUGH = {
  mul: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => {
    const zeroes = and(b, isZero(b, f, r), or(b, isZero(b, f, a), isZero(b, f, c)));
    return and(b, or(b, isAboveTiny(b, f, r), zeroes), belowInfinity(b, f, r));
  },
  div: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => {
    const zeroes = and(b, isZero(b, f, r), isZero(b, f, a), belowInfinity(b, f, c));
    return and(b, or(b, isAboveTiny(b, f, r), zeroes), belowInfinity(b, f, r));
  },
} as const;

/** i32 condition: all lanes of a mask are set. */
export function every(b: Emitter, f: Format, mask: Value): Value {
  return b.op('i32_eq', b.simd(`${f.ints}_bitmask`, mask), b.i32(f.width === 64 ? 3 : 15));
}

/** Lanes where operands and result are so ordinary that few operations show it: none is zero, tiny, infinite or a NaN. */
export const IS_PLAIN = {
  add: (b: Emitter, f: Format, a: Value, c: Value, r: Value) =>
    and(b, b.simd(`${f.shape}_ge`, smallestOf(b, f, a, c, r), allOf(b, f.width, SMALLEST[f.width])), belowInfinity(b, f, r)),
  mul: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => and(b, isAboveTiny(b, f, smallestOf(b, f, a, c, r)), belowInfinity(b, f, r)),
  div: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => IS_PLAIN.mul(b, f, a, c, r),
  sqrt: (b: Emitter, f: Format, a: Value, _c: Value, r: Value) => IS_PLAIN.add(b, f, a, a, r),
} as const;

/** The smallest magnitude; anything when one is a NaN. */
function smallestOf(b: Emitter, f: Format, ...values: Value[]): Value {
  return values.map((value) => b.simd(`${f.shape}_abs`, value)).reduce((x, y) => b.simd(`${f.shape}_pmin`, x, y));
}

/** Half of the bits of a significand: two factors whose low halves are empty have an exact product. */
const LOW_HALF = { 32: 0xfffn, 64: 0x7ff_ffffn } as const;

/** i32 condition: the result of plain operands is not rounded, as far as few operations can show. */
export const IS_PLAINLY_EXACT = {
  add: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => every(b, f, IS_EXACT.add(b, f, a, c, r)),
  mul: (b: Emitter, f: Format, a: Value, c: Value, _r: Value) =>
    b.op('i32_eqz', b.simd('v128_any_true', b.simd('v128_and', or(b, a, c), all(b, f.width, LOW_HALF[f.width])))),
  div: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => every(b, f, IS_EXACT.div(b, f, a, c, r)),
  sqrt: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => every(b, f, IS_EXACT.sqrt(b, f, a, c, r)),
} as const;

/** Lanes where an operation raises nothing but possibly PE. */
export const RAISES_ONLY_PE = {
  // Sums of normal numbers cannot underflow: small ones are exact. But they can be denormal, which is flushed to zero.
  add: (b: Emitter, f: Format, a: Value, c: Value, r: Value) =>
    and(b, notDenormal(b, f, a), notDenormal(b, f, c), notDenormal(b, f, r), belowInfinity(b, f, r)),
  mul: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => {
    const zeroFactor = or(b, isZero(b, f, a), isZero(b, f, c));
    const size = or(b, isAboveTiny(b, f, r), and(b, isZero(b, f, r), zeroFactor));
    return and(b, notDenormal(b, f, a), notDenormal(b, f, c), size, belowInfinity(b, f, r));
  },
  div: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => {
    const size = or(b, isAboveTiny(b, f, r), and(b, isZero(b, f, r), isZero(b, f, a), belowInfinity(b, f, c)));
    return and(b, notDenormal(b, f, a), notDenormal(b, f, c), size, belowInfinity(b, f, r));
  },
  sqrt: (b: Emitter, f: Format, a: Value, _c: Value, r: Value) => and(b, notDenormal(b, f, a), belowInfinity(b, f, r)),
} as const;

function isZero(b: Emitter, f: Format, a: Value): Value {
  return b.simd(`${f.shape}_eq`, a, zero(b));
}

/** Lanes where the result is not rounded; the result is finite. NaNs that arise here count as rounded. */
export const IS_EXACT = {
  /** The error of a sum is a number of the same format, found by undoing the sum. */
  add: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => {
    const sub = (x: Value, y: Value) => b.simd(`${f.shape}_sub`, x, y);
    const partC = b.let(sub(r, a));
    const error = b.simd(`${f.shape}_add`, sub(a, sub(r, partC)), sub(c, partC));
    return isZero(b, f, error);
  },
  mul: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => or(b, isProduct(b, f, a, c, r), isZero(b, f, r)),
  div: (b: Emitter, f: Format, a: Value, c: Value, r: Value) => {
    const product = b.let(b.simd(`${f.shape}_mul`, r, c));
    return or(b, and(b, isProduct(b, f, r, c, product), b.simd(`${f.shape}_eq`, product, a)), isZero(b, f, r));
  },
  sqrt: (b: Emitter, f: Format, a: Value, _c: Value, r: Value) => {
    const square = b.let(b.simd(`${f.shape}_mul`, r, r));
    return or(b, and(b, isProduct(b, f, r, r, square), b.simd(`${f.shape}_eq`, square, a)), isZero(b, f, r));
  },
} as const;

/** 2**12 + 1 and 2**27 + 1 split a significand in two halves whose products are exact. */
const SPLITTER = { 32: 4097, 64: 134217729 } as const;
/** Below these the error of a product may itself be too small to show. */
const VISIBLE = { 32: 2 ** -70, 64: 2 ** -900 } as const;

/** Lanes where p, which is a * c rounded, is a * c: the error of a product is found from the halves of its factors. */
function isProduct(b: Emitter, f: Format, a: Value, c: Value, p: Value): Value {
  const mul = (x: Value, y: Value) => b.simd(`${f.shape}_mul`, x, y);
  const add = (x: Value, y: Value) => b.simd(`${f.shape}_add`, x, y);
  const sub = (x: Value, y: Value) => b.simd(`${f.shape}_sub`, x, y);
  const split = (x: Value) => {
    const scaled = b.let(mul(x, allOf(b, f.width, SPLITTER[f.width])));
    const high = b.let(sub(scaled, sub(scaled, x)));
    return { high, low: b.let(sub(x, high)) };
  };
  const x = split(a);
  const y = split(c);
  const cross = add(add(sub(mul(x.high, y.high), p), mul(x.high, y.low)), mul(x.low, y.high));
  const error = add(cross, mul(x.low, y.low));
  const visible = b.simd(`${f.shape}_gt`, b.simd(`${f.shape}_abs`, p), allOf(b, f.width, VISIBLE[f.width]));
  return and(b, isZero(b, f, error), visible);
}

/**
 * i32 condition: an operation that raises at most PE changes nothing in MXCSR.
 *
 * @param clean    i32 condition: it raises at most PE
 * @param exact    makes the i32 condition that it does not even raise that
 * @param rounding whether the result depends on MXCSR.RC
 */
export function unchanged(b: Emitter, clean: Value, exact: () => Value, rounding: 'mxcsr' | 'own'): Value {
  const rc = rounding === 'mxcsr' ? RC : 0;
  if (b.fastFloat) return b.let(b.op('i32_and', clean, isDefault(b, rc)));
  const good = b.variable(clean);
  const mxcsr = b.field32(S.mxcsr);
  const steady = b.op('i32_eq', b.op('i32_and', mxcsr, b.i32(rc | PM | PE)), b.i32(PM | PE));
  b.if(
    steady,
    () => {},
    () => {
      const nearest = b.op('i32_eqz', b.op('i32_and', mxcsr, b.i32(rc)));
      good.set(b.op('i32_and', b.op('i32_and', good, nearest), exact()));
    },
  );
  return good;
}
