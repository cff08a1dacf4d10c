/** A call that took longer than this, and more than its length explains, had to wait for a device. */
const SLOW_MS = 0.4;
const SLOW_MS_PER_MIB = 1.5;

/** After such a call, so many go through libuv's threads before one is tried directly again. */
const CALLS_ASIDE = 32;

/**
 * Decides whether a file call is made directly or in a thread of libuv's.
 *
 * Directly, 4 KiB of the page cache cost about 4 µs here; through a thread 25 to 130 µs and a turn of the event loop.
 * But a call that waits for a device stops the guest's CPU meanwhile. What the last calls took tells them apart well
 * enough.
 */
export class Patience {
  #aside = 0;

  /** Whether the next call may be made directly. */
  get direct(): boolean {
    if (this.#aside === 0) return true;
    this.#aside -= 1;
    return false;
  }

  /** Says how long a direct call took. */
  took(ms: number, bytes: number): void {
    if (ms > SLOW_MS + (bytes / 2 ** 20) * SLOW_MS_PER_MIB) this.#aside = CALLS_ASIDE;
  }
}
