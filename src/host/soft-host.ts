import { randomFillSync } from 'node:crypto';
import type { SoftHost } from '../hypervisor/soft/index.ts';
import { hostClock } from './clock.ts';

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
};
