/** Vectors of the architecture's exceptions. @spec SDM-3A §6.3.1 */
export const VECTOR = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  MC: 18,
  XM: 19,
} as const;

/** An exception of the guest, on its way to delivery. Not an error of ours: it is caught by the CPU's run loop. */
export class GuestException {
  readonly vector: number;
  /** Error code, or -1 when the vector has none. */
  readonly errorCode: number;
  /** RIP is where the handler shall see it: a task switch that faults has left the instruction that began it. */
  readonly moved: boolean;

  constructor(vector: number, errorCode = -1, moved = false) {
    this.vector = vector;
    this.errorCode = errorCode;
    this.moved = moved;
  }
}

/** #GP with an error code, 0 or a selector. */
export function gp(errorCode = 0): GuestException {
  return new GuestException(VECTOR.GP, errorCode);
}

export function ud(): GuestException {
  return new GuestException(VECTOR.UD);
}
