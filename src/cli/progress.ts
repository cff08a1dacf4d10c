import type { WriteStream } from 'node:tty';
import type { KernelProgress } from '../index.ts';

const WIDTH = 24;
const MIB = 1024 * 1024;

/** A line that is redrawn while the kernel is fetched; nothing at all where there is no terminal. */
export function progressBar(output: Pick<WriteStream, 'write'> & { readonly isTTY?: boolean }): {
  show(progress: KernelProgress): void;
  done(): void;
} {
  let shown = false;
  return {
    show(progress) {
      if (output.isTTY !== true) return;
      shown = true;
      output.write(`\r${progressLine(progress)}\x1b[K`);
    },
    done() {
      if (shown) output.write('\r\x1b[K');
      shown = false;
    },
  };
}

/** `Fetching the guest kernel ######------ 12 of 43 MiB`. */
export function progressLine({ receivedBytes, totalBytes }: KernelProgress): string {
  const received = Math.floor(receivedBytes / MIB);
  if (totalBytes === undefined) return `Fetching the guest kernel ${received} MiB`;
  const filled = Math.min(WIDTH, Math.floor((receivedBytes / totalBytes) * WIDTH));
  const bar = '#'.repeat(filled) + '-'.repeat(WIDTH - filled);
  return `Fetching the guest kernel ${bar} ${received} of ${Math.ceil(totalBytes / MIB)} MiB`;
}
