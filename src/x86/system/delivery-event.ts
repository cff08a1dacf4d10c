/** Why a vector is delivered: decides about gate privilege, error-code EXT bit and RFLAGS.RF. */
export const SOURCE = { exception: 0, external: 1, software: 2 } as const;

/** What is being delivered. */
export interface Delivery {
  readonly vector: number;
  /** -1: none is pushed. */
  readonly errorCode: number;
  /** One of SOURCE. */
  readonly source: number;
  /** Bit 0 of error codes that arise on the way. */
  readonly ext: number;
  /** A trap in the middle of an instruction: RF is pushed as 1. */
  readonly resume?: boolean;
}
