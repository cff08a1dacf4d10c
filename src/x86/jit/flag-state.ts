import type { Value } from '../ir/emitter.ts';

/** Single flags as bits of a set. */
export const FLAGS = { CF: 1, PF: 2, AF: 4, ZF: 8, SF: 16, OF: 32, all: 63 } as const;

/** What the last instruction that set flags computed, as far as conditions can use it directly. */
export interface Producer {
  readonly kind: 'sub' | 'add' | 'logic' | 'result';
  readonly bits: number;
  /** Zero-extended operands and result. `a` and `c` only for sub and add. */
  readonly a?: Value;
  readonly c?: Value;
  readonly r: Value;
  /** CF and OF as i32 booleans, for 'result'. */
  readonly cf?: Value;
  readonly of?: Value;
  /** A comparison: the result is needed for nothing else. */
  readonly compares?: boolean;
}

/** A value at a place where only registers are known: the low bits of one, or (register -1) a constant. */
export interface FlagSource {
  readonly register: number;
  readonly bits: number;
  readonly constant: bigint;
}

/** Flags as a kind of store-flags.ts and where its two values lie. */
export interface FlagRecipe {
  readonly kind: number;
  readonly x: FlagSource;
  readonly y: FlagSource;
}

/**
 * The arithmetic flags at one point of the emitted code. A part that is undefined lies in its canonical local (and has the
 * meaning of S.zr, S.sp, S.cv); the others are computed when somebody needs them.
 */
export interface FlagState {
  readonly producer?: Producer | undefined;
  /** CF, when it differs from what the producer says. */
  readonly carry?: Value | undefined;
  readonly zr?: (() => Value) | undefined;
  readonly sp?: (() => Value) | undefined;
  readonly cv?: (() => Value) | undefined;
}

export const CANONICAL: FlagState = {};

/** The parts of the canonical form that a set of flags is read from. */
export function partsOf(flags: number): { zr: boolean; sp: boolean; cv: boolean } {
  return { zr: (flags & FLAGS.ZF) !== 0, sp: (flags & (FLAGS.SF | FLAGS.PF)) !== 0, cv: (flags & (FLAGS.CF | FLAGS.OF | FLAGS.AF)) !== 0 };
}

/** Flags that a condition reads, by its code without the negation. @spec SDM-1 §B.1 */
export const CONDITION_READS: readonly number[] = [
  FLAGS.OF,
  FLAGS.CF,
  FLAGS.ZF,
  FLAGS.CF | FLAGS.ZF,
  FLAGS.SF,
  FLAGS.PF,
  FLAGS.SF | FLAGS.OF,
  FLAGS.SF | FLAGS.OF | FLAGS.ZF,
];
