import type { Readable, Writable } from 'node:stream';
import { borrow, type Borrowed } from './borrowed-streams.ts';

/** A stream that reads a descriptor without ever blocking a thread, whatever is behind it. */
export function borrowInput(fd: number): Borrowed<Readable> {
  if (fd === 0) return { stream: process.stdin, fd, release: () => void process.stdin.pause() };
  return borrow(fd, 'read') as Borrowed<Readable>;
}

/** A stream that writes a descriptor, likewise. */
export function borrowOutput(fd: number): Borrowed<Writable> {
  if (fd === 1) return { stream: process.stdout, fd, release: () => {} };
  if (fd === 2) return { stream: process.stderr, fd, release: () => {} };
  return borrow(fd, 'write') as Borrowed<Writable>;
}

/**
 * Hands what a stream reads to a sink, at the sink's pace. An end or an error of the stream ends the sink.
 *
 * @returns what stops that, without an end
 */
export function copyFrom(stream: Readable, sink: { write(chunk: Uint8Array): Promise<void>; end(): void }): () => void {
  let stopped = false;
  const onEnd = (): void => {
    if (!stopped) sink.end();
  };
  const onData = (chunk: Uint8Array): void => {
    stream.pause();
    sink.write(chunk).then(() => {
      if (!stopped) stream.resume();
    }, onEnd);
  };
  stream.on('data', onData).on('end', onEnd).on('error', onEnd);
  return () => {
    stopped = true;
    stream.off('data', onData).off('end', onEnd);
    stream.pause();
  };
}

/**
 * Copies chunks to a stream at the pace it takes them and waits until the last one is written. The stream stays open.
 *
 * @returns false when the reader went away (`| head`); other errors are thrown
 */
export async function copyTo(chunks: AsyncIterable<Uint8Array>, output: Writable): Promise<boolean> {
  let failure: NodeJS.ErrnoException | undefined;
  const onError = (error: NodeJS.ErrnoException): void => {
    failure ??= error;
  };
  output.on('error', onError);
  try {
    for await (const chunk of chunks) {
      await new Promise<void>((resolve) => {
        output.write(chunk, (error) => {
          if (error) onError(error);
          resolve();
        });
      });
      if (failure !== undefined) break;
    }
  } finally {
    output.off('error', onError);
    // An error that comes late, after we stopped listening, must not end the process.
    output.on('error', () => {});
  }
  if (failure === undefined) return true;
  if (failure.code === 'EPIPE' || failure.code === 'ECONNRESET' || failure.code === 'ERR_STREAM_DESTROYED')
    return false;
  throw failure;
}
