import { createRequire } from 'node:module';

/** Linux's O_CLOEXEC. */
const O_CLOEXEC = 0o2000000;

/** The two ends of a new pipe. */
export interface Pipe {
  readonly read: number;
  readonly write: number;
}

/** A pipe that no child inherits, or null without koffi, on another host, or when the host has no descriptors left. */
export function openPipe(): Pipe | null {
  if (process.platform !== 'linux') return null;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const pipe2 = koffi.load(null).func('int pipe2(_Out_ int *ends, int flags)');
    const ends = new Int32Array(2);
    if (pipe2(ends, O_CLOEXEC) !== 0) return null;
    const [read = -1, write = -1] = ends;
    return { read, write };
  } catch {
    return null; // An optional dependency: its absence is a way to install krun, not an error.
  }
}
