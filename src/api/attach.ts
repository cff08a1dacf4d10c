import { borrowInput, borrowOutput, copyFrom, copyTo } from '../host/streams.ts';
import { enterRawMode, onTerminalResize, terminalSize } from '../host/terminal.ts';
import type { ConsoleHandle } from './console-handle.ts';
import type { InputStream } from './input-stream.ts';
import type { OutputStream } from './output-stream.ts';
import type { PortHandle } from './port-handle.ts';

/** Descriptors of this process that take the place of a console's three streams; a negative one is left out. */
export type Descriptors = readonly [input: number, output: number, error: number];

/** What `attachConsole` and `attachPort` give back. */
export interface Attachment {
  /** All output is written; false when the reader of standard output went away before. */
  readonly finished: Promise<boolean>;
  /** Lets go of input and terminal; output that is still coming is still written. */
  detach(): void;
}

/** What has a window in the guest. */
interface Window {
  readonly isTerminal: boolean;
  resize(size: { readonly columns: number; readonly rows: number }): void;
}

/**
 * Joins a console of a VM to descriptors of this process: input to the guest, output from it, and, when the input is a
 * terminal, raw mode and window size. Call `detach` when the VM has exited; the terminal is restored in any case, and
 * descriptors stay open and as they were.
 */
export function attachConsole(console: ConsoleHandle, [input, output, error]: Descriptors = [0, 1, 2]): Attachment {
  const undo: (() => void)[] = [];
  const outputs = [write(console.stdout, output), write(console.stderr, error)];
  if (output >= 0) followSize(console, output, undo);
  if (input >= 0) undo.push(feed(console.stdin, input, console.isTerminal));
  return attachment(outputs, undo);
}

/** The same for one port of a console, or a serial port. */
export function attachPort(
  port: PortHandle,
  { input = -1, output = -1 }: { readonly input?: number; readonly output?: number },
): Attachment {
  const undo: (() => void)[] = [];
  const outputs = [write(port.output, output)];
  if (output >= 0) followSize(port, output, undo);
  if (input >= 0) undo.push(feed(port.input, input, port.isTerminal));
  return attachment(outputs, undo);
}

function attachment(outputs: readonly Promise<boolean>[], undo: (() => void)[]): Attachment {
  return {
    finished: Promise.all(outputs).then(([written = true]) => written),
    detach: () => {
      for (const step of undo.splice(0)) step();
    },
  };
}

/** Without a descriptor the guest's output is left to whoever reads the stream. */
async function write(from: OutputStream, fd: number): Promise<boolean> {
  if (fd < 0) return true;
  const { stream, release } = borrowOutput(fd);
  try {
    return await copyTo(from, stream);
  } finally {
    release();
  }
}

function followSize(window: Window, fd: number, undo: (() => void)[]): void {
  if (!window.isTerminal) return;
  const { stream, release } = borrowOutput(fd);
  const size = terminalSize(stream);
  if (size !== undefined) window.resize(size);
  undo.push(
    onTerminalResize(stream, (changed) => window.resize(changed)),
    release,
  );
}

/** Copies a descriptor to the guest's input until told to stop. */
function feed(to: InputStream, fd: number, raw: boolean): () => void {
  const { stream, fd: used, release } = borrowInput(fd);
  const restore = raw ? enterRawMode(stream, used) : () => {};
  const stop = copyFrom(stream, to);
  return () => {
    stop();
    restore();
    release();
  };
}
