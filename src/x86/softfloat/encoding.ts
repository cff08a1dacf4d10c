import type { FloatEnvironment } from './environment.ts';
import { type Float, KIND, QUIET_BIT, setFinite, setInfinity, setZero, TOP_BIT } from './float.ts';
import { bitLength, count } from './integer.ts';

/** How an interchange format lays its fields out: 1 sign bit, `exponentBits`, `fractionBits`. */
interface Layout {
  readonly exponentBits: number;
  readonly fractionBits: number;
  readonly bias: number;
}

const LAYOUT_64: Layout = { exponentBits: 11, fractionBits: 52, bias: 1023 };
const LAYOUT_32: Layout = { exponentBits: 8, fractionBits: 23, bias: 127 };

/** Exponent field of an 80-bit infinity or NaN. */
export const EXT_SPECIAL = 0x7fff;
const EXT_BIAS = 16383;

/**
 * Takes an 80-bit value apart. Unnormals, pseudo-NaNs and pseudo-infinities are unsupported; a pseudo-denormal counts as a
 * denormal with the value its bits say. @spec SDM-1 §8.2.2
 *
 * @param sig          significand with its explicit integer bit, 64 bits
 * @param signExponent sign in bit 15, exponent field below
 */
export function unpackExt(sig: bigint, signExponent: number, out: Float): void {
  const exponent = signExponent & EXT_SPECIAL;
  const sign = (signExponent >> 15) & 1;
  if (exponent !== 0 && sig < TOP_BIT) {
    out.kind = KIND.unsupported;
    out.sign = sign;
    out.sig = sig;
    out.denormal = false;
  } else if (exponent === EXT_SPECIAL) {
    if (sig === TOP_BIT) setInfinity(out, sign);
    else setNaNBits(out, sign, sig);
  } else if (exponent !== 0) setFinite(out, sign, exponent - EXT_BIAS, sig);
  else if (sig === 0n) setZero(out, sign);
  else {
    normalize(out, sign, 1 - EXT_BIAS, sig);
    out.denormal = true;
  }
}

function setNaNBits(out: Float, sign: number, sig: bigint): void {
  out.kind = (sig & QUIET_BIT) !== 0n ? KIND.qnan : KIND.snan;
  out.sign = sign;
  out.exp = 0;
  out.sig = sig;
  out.denormal = false;
}

/** Makes `out` sig * 2**(exp - 63) for any non-zero sig of at most 64 bits. */
export function normalize(out: Float, sign: number, exp: number, sig: bigint): void {
  const shift = 64 - bitLength(sig);
  setFinite(out, sign, exp - shift, sig << count(shift));
}

/** Sign and exponent field of the 80-bit encoding of a rounded value; its significand is `value.sig` as it is. */
export function signExponentExt(value: Float): number {
  const sign = value.sign << 15;
  if (value.kind === KIND.zero) return sign;
  if (value.kind !== KIND.finite) return sign | EXT_SPECIAL;
  return value.sig < TOP_BIT ? sign : sign | (value.exp + EXT_BIAS);
}

/** Takes the 64 bits of a double apart. */
export function unpackF64(env: FloatEnvironment, bits: bigint, out: Float): void {
  unpack(env, LAYOUT_64, Number(bits >> 63n) & 1, Number((bits >> 52n) & 0x7ffn), (bits << 11n) & FRACTION, out);
}

/** Takes the 32 bits of a single apart. */
export function unpackF32(env: FloatEnvironment, bits: number, out: Float): void {
  unpack(env, LAYOUT_32, bits >>> 31, (bits >>> 23) & 0xff, BigInt(bits & 0x7fffff) << 40n, out);
}

const FRACTION = TOP_BIT - 1n;

/** @param fraction left-aligned below bit 63 */
function unpack(env: FloatEnvironment, layout: Layout, sign: number, exponent: number, fraction: bigint, out: Float): void {
  if (exponent === (1 << layout.exponentBits) - 1) {
    if (fraction === 0n) setInfinity(out, sign);
    else setNaNBits(out, sign, fraction | TOP_BIT);
  } else if (exponent !== 0) setFinite(out, sign, exponent - layout.bias, fraction | TOP_BIT);
  else if (fraction === 0n || env.denormalsAreZero) setZero(out, sign);
  else {
    normalize(out, sign, 1 - layout.bias, fraction);
    out.denormal = true;
  }
}

/** Encodes a value that was rounded to F64, or any NaN, as 64 bits. */
export function packF64(value: Float): bigint {
  return (BigInt((value.sign << 11) | exponentField(LAYOUT_64, value)) << 52n) | ((value.sig & FRACTION) >> 11n);
}

/** Encodes a value that was rounded to F32, or any NaN, as 32 bits. */
export function packF32(value: Float): number {
  return ((value.sign << 31) | (exponentField(LAYOUT_32, value) << 23) | Number((value.sig & FRACTION) >> 40n)) >>> 0;
}

function exponentField(layout: Layout, value: Float): number {
  if (value.kind === KIND.zero) return 0;
  if (value.kind !== KIND.finite) return (1 << layout.exponentBits) - 1;
  return value.sig < TOP_BIT ? 0 : value.exp + layout.bias;
}
