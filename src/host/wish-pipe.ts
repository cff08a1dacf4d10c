import { closeSync } from 'node:fs';
import { openPipe } from '../native/pipe.ts';
import { borrowInput } from './streams.ts';

/** A descriptor that anybody in the process writes to, and what hears of it. */
export interface WishPipe {
  /** The end that is written. */
  readonly descriptor: number;
  /** Calls back for what was written so far and for all that follows. @returns what ends that */
  onWish(callback: () => void): () => void;
  close(): void;
}

/** undefined where the host cannot make one. */
export function openWishPipe(): WishPipe | undefined {
  const pipe = openPipe();
  if (pipe === null) return undefined;
  return {
    descriptor: pipe.write,
    onWish: (callback) => {
      const { stream, release } = borrowInput(pipe.read);
      stream.on('data', callback).on('error', () => {});
      return release;
    },
    close: () => {
      closeSync(pipe.read);
      closeSync(pipe.write);
    },
  };
}
