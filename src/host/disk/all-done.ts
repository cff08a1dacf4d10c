import type { Done } from './disk-image.ts';

/**
 * Collects the parts of one request. All of them are over before the whole is, even when one of them fails: a request
 * that was given back must not be worked on any more.
 */
export class AllDone {
  #pending: Promise<void>[] | undefined;
  /** A part could not be started, so that there is no point in more of them. */
  failed = false;

  /** Starts a part; if it throws, that is the outcome of the whole. */
  add(start: () => Done): void {
    let done: Done;
    try {
      done = start();
    } catch (error) {
      this.failed = true;
      if (this.#pending === undefined) throw error;
      done = Promise.reject(error);
    }
    if (done === undefined) return;
    if (this.#pending === undefined) this.#pending = [done];
    else this.#pending.push(done);
  }

  get done(): Done {
    return this.#pending === undefined ? undefined : settled(this.#pending);
  }
}

async function settled(pending: readonly Promise<void>[]): Promise<void> {
  const [only] = pending;
  if (pending.length === 1) return only;
  for (const outcome of await Promise.allSettled(pending)) if (outcome.status === 'rejected') throw outcome.reason;
}
