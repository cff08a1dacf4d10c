import type { FetchProgress } from './fetch-firmware.ts';

const WIDTH = 24;
const REDRAW_MS = 100;

/** The part of a terminal stream that the bar needs. */
export interface BarStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/**
 * A listener for `onProgress` that draws one line on a terminal and wipes it at the end; elsewhere it does nothing, so
 * that logs and pipes stay clean.
 *
 * @param nowMs a monotonic clock
 */
export function progressBar(
  stream: BarStream,
  title: string,
  nowMs: () => number = () => performance.now(),
): (progress: FetchProgress) => void {
  if (stream.isTTY !== true) return () => {};
  let drawnAt = Number.NEGATIVE_INFINITY;
  return ({ receivedBytes, totalBytes }) => {
    if (receivedBytes >= totalBytes) {
      stream.write('\r\x1b[K');
      return;
    }
    if (nowMs() - drawnAt < REDRAW_MS) return;
    drawnAt = nowMs();
    const filled = Math.floor((receivedBytes / totalBytes) * WIDTH);
    const bar = '#'.repeat(filled).padEnd(WIDTH, '.');
    stream.write(`\r${title} [${bar}] ${megabytes(receivedBytes)} of ${megabytes(totalBytes)} MB\x1b[K`);
  };
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
