import { loadLibc } from '../native/libc.ts';

/** Whether functions of the C library can be called here. */
export function hasNativeCalls(): boolean {
  return loadLibc() !== null;
}
