import { randomFillSync } from 'node:crypto';

/** Fills bytes from the host's cryptographic generator; views of shared memory are fine. */
export const hostEntropy = {
  fill(into: Uint8Array): void {
    randomFillSync(into);
  },
};
