import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from 'krun/testing';
import { softHost } from '../../dist/host/soft-host.js';
import { softMachine } from '../soft-machine.ts';
import { findEscape, placeCanaries } from './engine-invariants.ts';
import { AT, type Assembly, flatKernel, gate, little } from './flat-guest.ts';

const SEEDS = 12;
const WRITES = 1500;
/** All but EFER, without which nothing after it would run. */
const MSRS = [
  ...[
    0x10, 0x1b, 0x3a, 0x3b, 0x48, 0x79, 0x8b, 0xe7, 0xe8, 0xfe, 0x10a, 0x140, 0x174, 0x175, 0x176, 0x179, 0x17a, 0x186,
    0x1a0, 0x1d9,
  ],
  ...[
    0x277, 0x2ff, 0x345, 0x38f, 0x400, 0x6e0, 0xda0, 0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084, 0xc000_0100,
    0xc000_0101,
  ],
  ...[
    0xc000_0102, 0xc000_0103, 0xc001_0015, 0x4b56_4d00, 0x4b56_4d01, 0x4b56_4d02, 0x4b56_4d03, 0x4b56_4d04, 0x11, 0x12,
  ],
  ...Array.from({ length: 16 }, (_, index) => 0x200 + index),
  ...Array.from({ length: 64 }, (_, index) => 0x800 + index),
];
/** Exceptions have an error code here: drop it, and the faulting instruction, whose length is 2 or 3 and in R15. */
const SKIP = [0x48, 0x83, 0xc4, 0x08, 0x4c, 0x01, 0x3c, 0x24, 0x48, 0xcf];

function someValue(random: Random): bigint {
  const bits = (BigInt(random.u32()) << 32n) | BigInt(random.u32());
  return random.pick([
    0n,
    1n,
    2n ** 64n - 1n,
    bits,
    bits & 0xffff_ffffn,
    bits >> 40n,
    0xfee0_0d00n,
    BigInt(AT.scratch) + (bits & 0xfffn),
    1n << (bits & 63n),
  ]);
}

function touch(p: Assembly, random: Random): void {
  const isWrite = random.oneIn(2);
  if (random.oneIn(4)) {
    // MOV to or from DR0-7 and CR8; RAX is the value.
    const register = random.below(9);
    const code =
      register === 8
        ? [0x44, 0x0f, isWrite ? 0x22 : 0x20, 0xc0]
        : [0x0f, isWrite ? 0x23 : 0x21, 0xc0 | (register << 3)];
    p.raw(0x41, 0xbf, code.length, 0, 0, 0)
      .set(0, random.oneIn(2) ? 0x400 : someValue(random))
      .raw(...code);
    return;
  }
  const index = random.oneIn(10) ? random.u32() : random.pick(MSRS);
  const value = someValue(random);
  if (index === 0xc000_0080 || (index === 0x1b && isWrite && random.oneIn(2))) return;
  p.raw(0x41, 0xbf, 2, 0, 0, 0).raw(0xb9, ...little(index, 4), 0xb8, ...little(value & 0xffff_ffffn, 4));
  p.raw(0xba, ...little(value >> 32n, 4), 0x0f, isWrite ? 0x30 : 0x32);
}

test('a guest that writes anything to model-specific, debug and priority registers ends with a reason', {
  timeout: 120_000,
}, async () => {
  let finished = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed);
    const kernel = flatKernel({
      onException: AT.scratch + 0x100,
      write: (p) => {
        if (seed % 2 === 0) p.raw(0xfb);
        for (let done = 0; done < WRITES && p.here < AT.idt - 256; done++) touch(p, random);
        p.store(AT.scratch + 0x2000, 1, 4).halt();
      },
    });
    kernel.bytes.set(SKIP, AT.scratch + 0x100 - AT.load);
    // #DB of DR7.GD has no error code.
    kernel.bytes.set(gate(AT.scratch + 0x104), AT.idt + 16 - AT.load);
    const here = await softMachine({ kernel, host: softHost, memoryBytes: 20 << 20 });
    placeCanaries(here);
    const timer = setTimeout(() => here.machine.stop(), 2000);
    const { reason, detail } = await here.machine.run();
    clearTimeout(timer);
    // Breakpoints of its own may keep it for ever.
    assert.ok(['halted', 'shutdown', 'stopped'].includes(reason), `seed ${seed}: ${reason} ${detail}`);
    assert.equal(findEscape(here), undefined, `seed ${seed}`);
    assert.doesNotThrow(() => structuredClone(here.vm.save?.()));
    if (here.vm.memory.readU32(AT.scratch + 0x2000) === 1) finished++;
    here.machine.close();
  }
  assert.ok(finished > SEEDS / 2, `only ${finished} of them reached their last instruction`);
});
