import type { GuestMemory } from '../../memory/guest-memory.ts';
import { type HostileGuestReport, hostileGuest } from '../../testing/hostile-guest.ts';
import { Random } from '../../testing/random.ts';
import type { BlockBackend, Done } from './backend.ts';
import { virtioBlk } from './index.ts';

const LENGTH = 32 * 512;

/** How often the device asked for something that it must check itself. */
export interface BlockReport extends HostileGuestReport {
  readonly requests: number;
}

/** A hostile guest in front of a disk: bent chains that carry bent requests; the disk checks what it is asked. */
export function run(seed: number, iterations: number, canary?: (buffer: ArrayBuffer) => GuestMemory): BlockReport {
  const random = new Random(seed);
  let requests = 0;
  const waiting: (() => void)[] = [];
  const check = (offset: number, length: number): Done => {
    requests += 1;
    const inside = offset >= 0 && length >= 0 && offset + length <= LENGTH && offset % 512 === 0 && length % 512 === 0;
    if (!inside) throw new RangeError(`Cannot go on: the device asked for ${length} bytes at ${offset}`);
    if (random.oneIn(20)) throw new Error('a disk that fails');
    return random.oneIn(4) ? new Promise((resolve) => waiting.push(resolve)) : undefined;
  };
  const total = (views: readonly Uint8Array[]): number => views.reduce((sum, view) => sum + view.length, 0);
  const broken: unknown[] = [];
  const checked = (offset: number, length: number): Done => {
    try {
      return check(offset, length);
    } catch (error) {
      if (error instanceof RangeError) broken.push(error);
      throw error;
    }
  };
  const backend: BlockBackend = {
    length: LENGTH,
    readOnly: random.oneIn(8),
    volatileCache: random.oneIn(2),
    id: new Uint8Array(20),
    discardAlignment: 512,
    read: (offset, into) => {
      for (const view of into) view.fill(random.u32());
      return checked(offset, total(into));
    },
    write: (offset, from) => checked(offset, total(from)),
    flush: () => checked(0, 0),
    discard: (offset, length) => checked(offset, length),
    writeZeroes: (offset, length) => checked(offset, length),
  };
  const report = hostileGuest({
    device: virtioBlk,
    backend,
    random,
    iterations,
    message: () => someRequest(random),
    afterStep: () => {
      while (waiting.length > 3) waiting.shift()?.();
      if (broken.length > 0) throw broken[0];
    },
    ...(canary && { createMemory: canary }),
  });
  return { ...report, requests };
}

function someRequest(random: Random): Uint8Array {
  const body = random.pick([0, 16, 16, 32, 512, 512, 512, 1024, 1024, random.below(600)]);
  const bytes = new Uint8Array(random.oneIn(12) ? random.below(16) : 16 + body);
  bytes.set(random.bytes(Math.min(bytes.length, 64)));
  if (bytes.length < 16) return bytes;
  const view = new DataView(bytes.buffer);
  view.setUint32(0, random.pick([0, 1, 1, 1, 4, 8, 11, 13, random.u32()]), true);
  setSector(view, 8, random);
  if (bytes.length >= 32) {
    setSector(view, 16, random);
    view.setUint32(24, random.pick([0, 1, 31, 32, 33, 0x7f_ffff, random.u32()]), true);
    view.setUint32(28, random.pick([0, 0, 1, 1, 2, random.u32()]), true);
  }
  return bytes;
}

function setSector(view: DataView, at: number, random: Random): void {
  view.setUint32(at, random.pick([0, 1, 31, 32, 33, random.below(40), random.u32()]), true);
  view.setUint32(at + 4, random.oneIn(6) ? random.u32() : 0, true);
}
