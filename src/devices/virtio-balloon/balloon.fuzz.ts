import { type HostileGuestReport, hostileGuest } from '../../testing/hostile-guest.ts';
import { Random } from '../../testing/random.ts';
import { virtioBalloon } from './index.ts';

const MEMORY_BYTES = 1024 * 1024;

/** A hostile guest gives up memory; what reaches the host is whole pages that exist. */
export function run(seed: number, iterations: number): HostileGuestReport & { readonly discarded: number } {
  const random = new Random(seed);
  let discarded = 0;
  const discard = (gpa: number, length: number): void => {
    const sound = gpa % 4096 === 0 && length > 0 && length % 4096 === 0 && gpa + length <= MEMORY_BYTES;
    if (!sound) throw new RangeError(`Cannot discard ${length} bytes at ${gpa}`);
    discarded += length;
  };
  const report = hostileGuest({
    device: virtioBalloon,
    backend: { discard },
    random,
    iterations,
    message: () => new Uint8Array(Uint32Array.from({ length: random.below(64) }, () => random.below(300)).buffer),
  });
  return { ...report, discarded };
}
