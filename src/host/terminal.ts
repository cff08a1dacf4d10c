import type { Readable, Writable } from 'node:stream';
import { ReadStream, WriteStream } from 'node:tty';
import { disableOutputProcessing } from '../native/termios.ts';

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** The size of the first of these streams that is a terminal. */
export function terminalSize(...streams: readonly (Readable | Writable)[]): TerminalSize | undefined {
  for (const stream of streams) {
    if (stream instanceof WriteStream && stream.columns > 0) return { columns: stream.columns, rows: stream.rows };
  }
  return undefined;
}

/** Calls back when a terminal's size changes; returns what ends that. */
export function onTerminalResize(stream: Readable | Writable, changed: (size: TerminalSize) => void): () => void {
  const listener = (): void => {
    const size = terminalSize(stream);
    if (size !== undefined) changed(size);
  };
  // Node tells its own streams of a new size, and lets others be asked.
  const ask = (): void => (stream as { _refreshSize?(): void })._refreshSize?.();
  const asks = stream instanceof WriteStream && stream !== process.stdout && stream !== process.stderr;
  stream.on('resize', listener);
  if (asks) process.on('SIGWINCH', ask);
  return () => {
    stream.off('resize', listener);
    process.off('SIGWINCH', ask);
  };
}

/**
 * Hands every key to the guest, Ctrl-C included. The terminal's settings come back with the returned function, and
 * however the process exits: at its end, by an uncaught error, or by a signal somebody handles.
 */
export function enterRawMode(input: Readable, fd: number): () => void {
  if (!(input instanceof ReadStream)) return () => {};
  const restore = (): void => {
    process.off('exit', restore);
    if (!input.destroyed) input.setRawMode(false);
  };
  process.on('exit', restore);
  input.setRawMode(true);
  // Node's raw mode still turns line feeds into two characters, which the guest's terminal has done already.
  if (input.isRaw) disableOutputProcessing(fd);
  return restore;
}
