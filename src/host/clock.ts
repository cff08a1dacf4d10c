import type { Clock } from '../base/clock.ts';

/** The host's time: monotonic nanoseconds since this thread started, and the wall clock. */
export const hostClock: Clock = {
  nowNs: () => performance.now() * 1e6,
  wallMs: () => Date.now(),
};
