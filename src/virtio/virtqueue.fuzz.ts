import { EchoProbe, echoDevice } from '../testing/echo-device.ts';
import { type HostileGuestReport, hostileGuest } from '../testing/hostile-guest.ts';
import { Random } from '../testing/random.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';

/** Makes guest memory with a mistake in it, which the fuzzer has to notice. */
export type Canary = (buffer: ArrayBuffer) => GuestMemory;

/** A hostile guest against transport and queues, with a device that completes chains late and in any order. */
export function run(seed: number, iterations: number, canary?: Canary): HostileGuestReport {
  const random = new Random(seed);
  const probe = new EchoProbe();
  return hostileGuest({
    device: echoDevice,
    backend: probe,
    random,
    iterations,
    afterStep: () => {
      if (probe.held.length > 200) throw new RangeError(`Cannot continue: ${probe.held.length} chains are in flight`);
      // Some late completions are for a device that was reset long ago.
      while (probe.held.length > 0 && !random.oneIn(3)) {
        const [chain] = probe.held.splice(random.below(probe.held.length), 1);
        chain?.complete(chain.writable.write(chain.readable.bytes(512)));
      }
      probe.notified.length = 0;
    },
    ...(canary && { createMemory: canary }),
  });
}
