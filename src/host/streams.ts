import { createReadStream, createWriteStream, fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { isatty, ReadStream, WriteStream } from 'node:tty';

/** A stream that reads a descriptor without ever blocking a thread, whatever is behind it. */
export function openInput(fd: number): Readable {
  if (fd === 0) return process.stdin;
  if (isatty(fd)) return new ReadStream(fd);
  const stat = fstatSync(fd);
  if (stat.isFIFO() || stat.isSocket()) return new Socket({ fd, readable: true, writable: false });
  return createReadStream('', { fd, autoClose: false });
}

/** A stream that writes a descriptor, likewise. */
export function openOutput(fd: number): Writable {
  if (fd === 1) return process.stdout;
  if (fd === 2) return process.stderr;
  if (isatty(fd)) return new WriteStream(fd);
  const stat = fstatSync(fd);
  if (stat.isFIFO() || stat.isSocket()) return new Socket({ fd, readable: false, writable: true });
  return createWriteStream('', { fd, autoClose: false });
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
