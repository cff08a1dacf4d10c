import { nullFs } from '../../fuse/null-fs.ts';
import { Overlay } from '../../fuse/overlay.ts';
import { overlayFs } from '../../fuse/overlay-fs.ts';
import { FuseMessages } from '../../testing/fuse-messages.ts';
import { type HostileGuestReport, hostileGuest } from '../../testing/hostile-guest.ts';
import { Random } from '../../testing/random.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { virtioFs } from './index.ts';

/** A hostile guest in front of a virtual share: bent chains that carry bent requests. */
export function run(
  seed: number,
  iterations: number,
  canary?: (buffer: ArrayBuffer) => GuestMemory,
): HostileGuestReport & { readonly exits: number } {
  const random = new Random(seed);
  const overlay = new Overlay();
  overlay.add({ path: 'dir', mode: 0o755 });
  overlay.add({ path: 'a', mode: 0o644, data: random.bytes(5000) });
  const messages = new FuseMessages(random);
  let exits = 0;
  const report = hostileGuest({
    device: virtioFs,
    backend: { tag: 'share', fileSystem: overlayFs(nullFs(), overlay), onExitCode: () => exits++ },
    random,
    iterations,
    message: () => messages.next(),
    ...(canary && { createMemory: canary }),
  });
  return { ...report, exits };
}
