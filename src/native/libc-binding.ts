import { createRequire } from 'node:module';

/** What declarations of libc functions are made with. */
export interface LibcBinding {
  readonly koffi: typeof import('koffi');
  /** A function by its C prototype. */
  native(prototype: string): (...args: unknown[]) => number;
  /** A result, or `-errno`: read before anything else can run on this thread. */
  checked(result: number): number;
}

/** Functions of libc through koffi, or null where koffi is not installed, cannot load here, or the host is no 64-bit Linux. */
export function bindLibc<T>(bind: (libc: LibcBinding) => T): T | null {
  if (process.platform !== 'linux') return null;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    if (koffi.sizeof('void *') !== 8) return null;
    const library = koffi.load(null);
    const errno = koffi.errno as () => number;
    return bind({
      koffi,
      native: (prototype) => library.func(prototype) as unknown as (...args: unknown[]) => number,
      checked: (result) => (result < 0 ? -errno() : result),
    });
  } catch {
    return null; // An optional dependency: its absence is a way to install krun, not an error.
  }
}
