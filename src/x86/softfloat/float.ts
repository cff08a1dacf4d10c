/** What a value is. The order matters: everything above `infinity` is not a number. */
export const KIND = { zero: 0, finite: 1, infinity: 2, qnan: 3, snan: 4, unsupported: 5 } as const;

/** A quiet NaN has this bit of the significand. */
export const QUIET_BIT = 1n << 62n;
export const TOP_BIT = 1n << 63n;
/** Significand of the default NaN ("real indefinite"), whose sign is 1. @spec SDM-1 §4.8.3.7 */
export const DEFAULT_NAN = 3n << 62n;

/**
 * A floating-point value taken apart: (-1)**sign * sig * 2**(exp - 63).
 *
 * An operand that is finite has bit 63 of `sig` set, whatever its encoding was. A result that is too small for its format has
 * not: it comes out of rounding as it will be encoded. NaNs keep their payload in `sig`, left-aligned, integer bit set.
 * Instances are filled again and again; operations write into the one they are given, which may be an operand.
 */
export class Float {
  kind: number = KIND.zero;
  sign = 0;
  exp = 0;
  sig = 0n;
  /** Was encoded with exponent field 0 and is not zero: raises DE where it is used. */
  denormal = false;
}

/** Makes `out` a zero. */
export function setZero(out: Float, sign: number): void {
  out.kind = KIND.zero;
  out.sign = sign;
  out.exp = 0;
  out.sig = 0n;
  out.denormal = false;
}

/** Makes `out` an infinity. */
export function setInfinity(out: Float, sign: number): void {
  out.kind = KIND.infinity;
  out.sign = sign;
  out.exp = 0;
  out.sig = TOP_BIT;
  out.denormal = false;
}

/** Makes `out` the default NaN. */
export function setDefaultNaN(out: Float): void {
  setNaN(out, 1, DEFAULT_NAN);
}

/** Makes `out` a quiet NaN with the payload of `sig`. */
export function setNaN(out: Float, sign: number, sig: bigint): void {
  out.kind = KIND.qnan;
  out.sign = sign;
  out.exp = 0;
  out.sig = sig | DEFAULT_NAN;
  out.denormal = false;
}

/** Makes `out` the finite number sig * 2**(exp - 63); bit 63 of `sig` is set. */
export function setFinite(out: Float, sign: number, exp: number, sig: bigint): void {
  out.kind = KIND.finite;
  out.sign = sign;
  out.exp = exp;
  out.sig = sig;
  out.denormal = false;
}

/** Makes `out` equal to `from`. */
export function copy(out: Float, from: Float): void {
  out.kind = from.kind;
  out.sign = from.sign;
  out.exp = from.exp;
  out.sig = from.sig;
  out.denormal = from.denormal;
}
