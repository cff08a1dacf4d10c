import { KiB, MiB } from '../../base/units.ts';
import type { Done } from './disk-image.ts';

/** So much is done before others get their turn. */
const TURN = 16 * MiB;
const ZEROS = new Uint8Array(256 * KiB);

/**
 * Works on a range in pieces that `piece` chooses, and lets the event loop turn now and then: one request of a guest may
 * name terabytes.
 *
 * @param piece starts at `offset`, works on at most `length` bytes, and tells how many it did
 * @param over stops the work between turns
 */
export function inPieces(
  offset: number,
  length: number,
  piece: (offset: number, length: number) => { readonly length: number; readonly done: Done },
  over: () => boolean,
): Done {
  const end = offset + length;
  let at = offset;
  const turn = (): Done => {
    const stop = Math.min(end, at + TURN);
    while (at < stop) {
      const { length: did, done } = piece(at, end - at);
      at += did;
      if (done !== undefined) return done;
    }
    return undefined;
  };
  const first = turn();
  if (first === undefined && at >= end) return undefined;
  const rest = async (): Promise<void> => {
    await first;
    while (at < end && !over()) {
      await new Promise((resolve) => setImmediate(resolve));
      await turn();
    }
  };
  return rest();
}

/** Writes zeros where a host cannot make them otherwise. */
export function writeZerosBy(
  write: (offset: number, from: readonly Uint8Array[]) => Done,
  offset: number,
  length: number,
  over: () => boolean,
): Done {
  return inPieces(
    offset,
    length,
    (at, left) => {
      const size = Math.min(left, ZEROS.length);
      return { length: size, done: write(at, [ZEROS.subarray(0, size)]) };
    },
    over,
  );
}
