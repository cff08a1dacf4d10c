/** A binary floating-point format to which results are rounded. */
export interface Format {
  /** Bits of the significand, the leading one included. */
  readonly precision: number;
  /** Exponents of the smallest and the largest normal number, for a significand in [1, 2). */
  readonly emin: number;
  readonly emax: number;
  /** Added to or taken from the exponent of a result whose underflow or overflow is unmasked. 0: no result is delivered then. */
  readonly wrap: number;
}

const EXTENDED = { emin: -16382, emax: 16383, wrap: 24576 } as const;

/** The 80-bit format at the three settings of the precision control: only the significand is shortened. @spec SDM-1 §8.1.5.2 */
export const EXT64: Format = { precision: 64, ...EXTENDED };
export const EXT53: Format = { precision: 53, ...EXTENDED };
export const EXT24: Format = { precision: 24, ...EXTENDED };
export const F64: Format = { precision: 53, emin: -1022, emax: 1023, wrap: 0 };
export const F32: Format = { precision: 24, emin: -126, emax: 127, wrap: 0 };

/** Rounding as FCW.RC and MXCSR.RC encode it. @spec SDM-1 §4.8.4 */
export const ROUND = { nearest: 0, down: 1, up: 2, zero: 3 } as const;

/** Exception bits as FSW and MXCSR place them; masks use the same positions. @spec SDM-1 §4.9.1 */
export const EXCEPTION = { IE: 0x01, DE: 0x02, ZE: 0x04, OE: 0x08, UE: 0x10, PE: 0x20, all: 0x3f } as const;
