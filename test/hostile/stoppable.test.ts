import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MicroVm } from 'krun';
import { AT, type Assembly, type FlatOptions, little, startFlat } from './flat-guest.ts';

const MMIO = 0xd000_0000;
const MIB = 1 << 20;

/** Guests that would go on for ever. */
const ENDLESS: Readonly<Record<string, FlatOptions>> = {
  'loops with interrupts off': { write: (p) => p.raw(0xfa, 0xeb, 0xfe) },
  'sleeps for ever with interrupts on': { write: (p) => p.raw(0xfb, 0xf4, 0xeb, 0xfd) },
  'faults in the first instruction of its fault handler': {
    onException: AT.stub + 32,
    write: (p) => p.store(AT.stub + 32, 0x0b0f, 2).raw(0x0f, 0x0b),
  },
  'has its fault handler in device memory': { onException: MMIO, write: (p) => p.raw(0x0f, 0x0b) },
  'divides by zero for ever': { onException: AT.stub + 16, write: (p) => p.raw(0x31, 0xc9, 0xf7, 0xf1, 0xeb, 0xfa) },
  'rewrites the instruction it is about to execute': {
    // incl %ecx; movb %cl, 1(%rip) -> immediate of movb $x, %al; jmp back
    write: (p) => {
      const again = p.here;
      p.raw(0xff, 0xc1, 0x88, 0x0d, 1, 0, 0, 0, 0xb0, 0x00).jump(again);
    },
  },
  'rewrites code in another page and calls it': {
    write: (p) => {
      p.store(AT.scratch, 0xc3, 1);
      const again = p.here;
      p.set(7, AT.scratch).raw(0xc6, 0x07, 0xc3, 0xff, 0xd7).jump(again);
    },
  },
  'executes each byte offset of each page of its memory': {
    write: (p) => {
      // Memory full of RET, and calls into every place of it: rbx walks 32 MiB to 56 MiB.
      p.set(7, 32 * MIB)
        .set(1, 24 * MIB)
        .raw(0xb0, 0xc3, 0xf3, 0xaa);
      const start = p.here;
      p.set(3, 32 * MIB);
      const again = p.here;
      p.raw(0xff, 0xd3, 0x48, 0x83, 0xc3, 0x01, 0x48, 0x81, 0xfb, ...little(56 * MIB, 4));
      p.raw(0x0f, 0x82, ...little(again - (p.here + 6), 4)).jump(start);
    },
  },
  'executes CPUID at each place of its memory': {
    write: (p) => {
      // 0f a2 0f a2 ... is CPUID from every even offset; a block of many of them ends at its page.
      p.set(7, 32 * MIB)
        .set(0, 0xa20fa20fa20fa20fn)
        .set(1, 3 * MIB)
        .raw(0xf3, 0x48, 0xab);
      p.set(0, 32 * MIB).raw(0xff, 0xe0);
    },
  },
  'executes device memory page by page': {
    onException: AT.scratch,
    write: (p) => {
      // The handler: add ebx, 4096; or ebx, 0xc0000000; jmp rbx
      const handler = [0x81, 0xc3, 0, 0x10, 0, 0, 0x81, 0xcb, 0, 0, 0, 0xc0, 0xff, 0xe3];
      for (const [index, byte] of handler.entries()) p.store(AT.scratch + index, byte, 1);
      p.set(3, 0xc000_0000).raw(0xff, 0xe3);
    },
  },
  'steps through its own code with TF': {
    onException: AT.stub + 16,
    write: (p) => p.raw(0x9c, 0x48, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0xeb, 0xfd),
  },
  'copies for ever with one instruction': {
    write: (p) =>
      p
        .set(6, 32 * MIB)
        .set(7, 32 * MIB)
        .set(1, -1n)
        .raw(0xf3, 0xa4)
        .jump(AT.entry),
  },
  'fills device memory with one instruction': {
    write: (p) => p.set(7, 0xc800_0000).set(1, 0x3000_0000).raw(0xf3, 0xaa).jump(AT.entry),
  },
  'writes to a port with one instruction': {
    write: (p) =>
      p
        .set(6, 32 * MIB)
        .raw(0x66, 0xba, 0x80, 0, 0xfc)
        .set(1, -1n)
        .raw(0xf3, 0x6e)
        .jump(AT.entry),
  },
  'sends itself non-maskable interrupts': {
    write: (p) => {
      p.store(0xfee0_00f0, 0x1ff, 4);
      const again = p.here;
      p.store(0xfee0_0300, 0x4_4400, 4).jump(again);
    },
  },
  'has timers of the shortest periods, each interrupting': {
    write: (p) => {
      timers(p);
      p.raw(0xfb, 0xf4, 0xeb, 0xfd);
    },
  },
  'has timers of the shortest periods and sleeps with all of them masked': {
    write: (p) => {
      timers(p);
      p.store(0xfee0_0320, 0x3_0040, 4).out(0x21, 0xff).raw(0xfb, 0xf4, 0xeb, 0xfd);
    },
  },
  'uses all of its memory': {
    write: (p) => {
      const again = p.here;
      p.set(7, 32 * MIB)
        .set(1, 32 * MIB)
        .raw(0xf3, 0xaa)
        .jump(again);
    },
  },
};

/** PIT and local APIC timer, periodic, at a count of 1. */
function timers(p: Assembly): void {
  p.out(0x20, 0x11).out(0x21, 0x20).out(0x21, 4).out(0x21, 1).out(0x21, 0);
  p.out(0x43, 0x34).out(0x40, 2).out(0x40, 0);
  p.store(0xfee0_00f0, 0x1ff, 4).store(0xfee0_03e0, 0xb, 4).store(0xfee0_0320, 0x2_0040, 4).store(0xfee0_0380, 1, 4);
}

const RUN_MS = 300;

for (const [what, options] of Object.entries(ENDLESS)) {
  test(`a guest that ${what} is stopped before long`, { timeout: 60_000 }, async () => {
    await using guest = await startFlat(options);
    await runOn(guest.vm, RUN_MS);
    const from = performance.now();
    const { reason } = await guest.vm.stop();
    const took = performance.now() - from;
    assert.equal(reason, 'stopped');
    // Milliseconds on a quiet machine; a guest that held its thread would never let go.
    assert.ok(took < 10_000, `stopping took ${took} ms`);
  });
}

/** Guests that make the engine remember things: what is not forgotten in time shows in seconds. */
const GREEDY = [
  'rewrites the instruction it is about to execute',
  'executes each byte offset of each page of its memory',
  'executes CPUID at each place of its memory',
  'executes device memory page by page',
  'steps through its own code with TF',
];
/** Its memory, the engine's, and the caches at their fullest. */
const GREEDY_BYTES = (64 + 64 + 384) * MIB;

for (const what of GREEDY) {
  test(`a guest that ${what} for seconds costs the host no more memory than planned`, { timeout: 60_000 }, async () => {
    const options = ENDLESS[what];
    assert.ok(options);
    const before = process.memoryUsage().rss;
    await using guest = await startFlat(options);
    await runOn(guest.vm, 3000);
    const grown = process.memoryUsage().rss - before;
    assert.ok(grown < GREEDY_BYTES, `the process grew by ${Math.round(grown / MIB)} MiB`);
  });
}

/** Fails early when the guest ends by itself. */
async function runOn(vm: MicroVm, ms: number): Promise<void> {
  const exit = await Promise.race([
    vm.exited,
    new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), ms)),
  ]);
  assert.equal(exit, undefined, `the guest ended: ${JSON.stringify(exit)} ${exit?.error?.message}`);
}

test('guests that were stopped leave none of their memory behind', { timeout: 60_000 }, async () => {
  const options = ENDLESS['uses all of its memory'];
  assert.ok(options);
  const one = async (): Promise<void> => {
    await using guest = await startFlat(options);
    await runOn(guest.vm, 200);
  };
  await one();
  const before = process.memoryUsage().rss;
  for (let round = 0; round < 8; round++) await one();
  const grown = process.memoryUsage().rss - before;
  // Each touches 32 MiB of its own and some of the engine's: eight that stay would be far beyond this.
  assert.ok(grown < 160 * MIB, `the process grew by ${Math.round(grown / MIB)} MiB`);
});
