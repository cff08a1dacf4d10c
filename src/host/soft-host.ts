import { randomFillSync } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import type { SoftHost } from '../hypervisor/soft/host.ts';
import { hostClock } from './clock.ts';

// Compiled code marks its slow paths as unlikely; without this V8 ignores that, and a third of the speed is gone.
setFlagsFromString('--experimental-wasm-branch-hinting');

const TIERS = ['interp', 'jit', 'mixed'] as const;

/** This thread, as the software engine sees it. */
export const softHost: SoftHost = {
  clock: hostClock,
  random: (into) => void randomFillSync(into),
  yield: () => new Promise((resolve) => setImmediate(resolve)),
  sleep: (ns) => {
    let wake = (): void => {};
    const done = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ns / 1e6);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    return { done, wake };
  },
  interpreter: keptInterpreter,
  // For tests and measurements.
  profiled: process.env['KRUN_SOFT_PROFILE'] !== undefined,
  tier: TIERS.find((tier) => tier === process.env['KRUN_SOFT_TIER']),
  precise: process.env['KRUN_SOFT_PRECISE'] === '1',
};

/** The compiled sources of the CPU, with the file that the build makes from them. */
const CPU_FOLDER = new URL('../x86/', import.meta.url);
const KEPT = new URL('interp/interpreter.wasm', CPU_FOLDER);

/** The kept interpreter, unless a source was compiled after it was made. */
function keptInterpreter(): Uint8Array<ArrayBuffer> | undefined {
  try {
    const made = statSync(KEPT).mtimeMs;
    for (const folder of ['isa/', 'ir/', 'interp/', 'decode/', 'state/', '../wasm/']) {
      const url = new URL(folder, CPU_FOLDER);
      for (const name of readdirSync(url)) {
        if (name.endsWith('.js') && statSync(new URL(name, url)).mtimeMs > made) return undefined;
      }
    }
    const bytes = readFileSync(KEPT);
    return new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length);
  } catch {
    return undefined; // none was made
  }
}
