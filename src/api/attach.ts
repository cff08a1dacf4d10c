import { copyTo, openInput, openOutput } from '../host/streams.ts';
import { enterRawMode, onTerminalResize, terminalSize } from '../host/terminal.ts';
import type { ConsoleHandle } from './console-handle.ts';

/** Descriptors of this process that take the place of a console's three streams; a negative one is left out. */
export type Descriptors = readonly [input: number, output: number, error: number];

/** What `attachConsole` gives back. */
export interface Attachment {
  /** All output is written; false when the reader of standard output went away before. */
  readonly finished: Promise<boolean>;
  /** Lets go of input and terminal; output that is still coming is still written. */
  detach(): void;
}

/**
 * Joins a console of a VM to descriptors of this process: input to the guest, output from it, and, when the input is a
 * terminal, raw mode and window size. Call `detach` when the VM has exited; the terminal is restored in any case.
 */
export function attachConsole(console: ConsoleHandle, [input, output, error]: Descriptors = [0, 1, 2]): Attachment {
  const undo: (() => void)[] = [];
  const outputs = [
    output < 0 ? true : copyTo(console.stdout, openOutput(output)),
    error < 0 ? true : copyTo(console.stderr, openOutput(error)),
  ] as const;
  if (console.isTerminal && output >= 0) followSize(console, output, undo);
  if (input >= 0) undo.push(feed(console, input));
  const detach = (): void => {
    for (const step of undo.splice(0)) step();
  };
  return { finished: Promise.all(outputs).then(([written]) => written), detach };
}

function followSize(console: ConsoleHandle, output: number, undo: (() => void)[]): void {
  const stream = openOutput(output);
  const size = terminalSize(stream);
  if (size !== undefined) console.resize(size);
  undo.push(onTerminalResize(stream, (changed) => console.resize(changed)));
}

/** Copies a descriptor to the guest's input until told to stop. */
function feed(console: ConsoleHandle, input: number): () => void {
  const stream = openInput(input);
  const restore = console.isTerminal ? enterRawMode(stream, input) : () => {};
  const stop = new AbortController();
  const copy = async (): Promise<void> => {
    for await (const chunk of stream) {
      if (stop.signal.aborted) break;
      await console.stdin.write(chunk as Uint8Array);
    }
    console.stdin.end();
  };
  // Our own end of the input, or a guest that is gone, ends the copy with an error that nobody needs.
  copy().catch(() => console.stdin.end());
  return () => {
    stop.abort();
    restore();
    stream.destroy();
  };
}
