import type { GuestMemory } from '../../memory/guest-memory.ts';
import { type HostileGuestReport, hostileGuest } from '../../testing/hostile-guest.ts';
import { Random } from '../../testing/random.ts';
import type { NetBackend, NetEvents } from './backend.ts';
import { virtioNet } from './index.ts';
import { FRAME_MAX, FRAME_MIN, HEADER } from './protocol.ts';

/** What went through, to show that it did. */
export interface NetReport extends HostileGuestReport {
  readonly sent: number;
  readonly received: number;
}

/** A hostile guest in front of a network that has room or not, has frames or not, and comes and goes. */
export function run(seed: number, iterations: number, canary?: (buffer: ArrayBuffer) => GuestMemory): NetReport {
  const random = new Random(seed);
  const hasHeaders = random.oneIn(3);
  const more = hasHeaders ? HEADER.size : 0;
  const waiting: Uint8Array[] = [];
  const counts = { sent: 0, received: 0 };
  let events: NetEvents | undefined;
  let hasRoom = true;
  let isUp = true;
  const backend: NetBackend = {
    mac: random.bytes(6),
    features: BigInt(random.u32()),
    hasHeaders,
    isTrusted: random.oneIn(2),
    get isUp() {
      return isUp;
    },
    attach: (next) => {
      events = next;
    },
    peek: () => waiting[0],
    drop: () => {
      if (waiting.shift() === undefined) throw new RangeError('Cannot go on: a frame was dropped that is not there');
      counts.received += 1;
    },
    reserve(length) {
      if (length < FRAME_MIN + more || length > FRAME_MAX + more)
        throw new RangeError(`Cannot go on: the device reserved ${length} bytes`);
      return hasRoom ? new Uint8Array(length) : undefined;
    },
    commit: () => {
      counts.sent += 1;
    },
    flush() {},
  };
  const report = hostileGuest({
    device: virtioNet,
    backend,
    random,
    iterations,
    message: () => random.bytes(random.pick([0, 11, 12, 25, 26, 40, 64, random.below(300)])),
    afterStep: () => {
      hasRoom = !random.oneIn(4);
      if (hasRoom) events?.onWritable();
      if (random.oneIn(60)) {
        isUp = !isUp;
        events?.onLinkChange();
      }
      if (random.oneIn(2) && waiting.length < 8) {
        waiting.push(random.bytes(more + FRAME_MIN + random.pick([0, 0, 6, random.below(200)])));
        events?.onReadable();
      }
    },
    ...(canary && { createMemory: canary }),
  });
  return { ...report, ...counts };
}
