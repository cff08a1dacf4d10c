import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENGINE_BYTES } from '../../dist/x86/state/layout.js';
import { softHost } from '../../dist/host/soft-host.js';
import { type SoftMachine, softMachine } from '../soft-machine.ts';
import { findEscape, placeCanaries } from './engine-invariants.ts';
import { AT, type Assembly, BOOT_PDPT, flatKernel, little } from './flat-guest.ts';

const MIB = 1 << 20;
const RESULT = 8 * MIB;
const SOURCE = 9 * MIB;
const MEMORY = 20 * MIB + 4096;

/** Runs a program; an exception ends it before its last instructions. */
async function run(write: (p: Assembly) => unknown): Promise<SoftMachine> {
  const kernel = flatKernel({
    onException: AT.stub,
    write: (p) => {
      write(p);
      p.store(AT.scratch, 0x600d, 4).halt();
    },
  });
  const here = await softMachine({ kernel, host: softHost, memoryBytes: MEMORY });
  placeCanaries(here);
  const end = await here.machine.run();
  assert.equal(end.reason, 'halted');
  assert.equal(findEscape(here), undefined);
  return here;
}

function finished({ vm }: SoftMachine): boolean {
  return vm.memory.readU32(AT.scratch) === 0x600d;
}

function ramEnd({ vm }: SoftMachine): number {
  return vm.memory.regions.reduce((sum, { length }) => sum + length, 0);
}

/** What every machine of this size has; asked once, because programs need it before there is one. */
const end = ramEnd(
  await softMachine({ kernel: flatKernel({ write: (p) => p.halt() }), host: softHost, memoryBytes: MEMORY }),
);

/** MOVUPS between XMM0 and [RDI]. */
const LOAD_16 = [0x0f, 0x10, 0x07];
const STORE_16 = [0x0f, 0x11, 0x07];
/** CR4.OSFXSR. */
const ENABLE_SSE = [0x0f, 0x20, 0xe0, 0x0d, 0, 2, 0, 0, 0x0f, 0x22, 0xe0];

test('loads across the end of memory give its last bytes and then ones', async () => {
  const sizes = [2, 4, 8, 16] as const;
  const here = await run((p) => {
    p.raw(...ENABLE_SSE)
      .store(end - 16, 0x1122_3344_5566_7788n)
      .store(end - 8, 0x99aa_bbcc_ddee_ff00n);
    for (let inside = 0; inside <= 16; inside++) {
      for (const [index, size] of sizes.entries()) {
        const to = RESULT + (inside * 4 + index) * 16;
        if (size === 16)
          p.set(7, end - inside)
            .raw(...LOAD_16)
            .set(7, to)
            .raw(...STORE_16);
        else p.load(end - inside, size).raw(0x48, 0xbf, ...little(to, 8), 0x48, 0x89, 0x07);
      }
    }
  });
  assert.ok(finished(here));
  const last = [...here.vm.memory.bytes(end - 16, 16)];
  for (let inside = 0; inside <= 16; inside++) {
    for (const [index, size] of sizes.entries()) {
      const seen = [...here.vm.memory.bytes(RESULT + (inside * 4 + index) * 16, size)];
      const expected = [...last.slice(16 - inside), ...Array<number>(16).fill(0xff)].slice(0, size);
      assert.deepEqual(seen, expected, `${size} bytes from ${inside} before the end`);
    }
  }
});

test('stores across the end of memory change its last bytes and nothing behind it', async () => {
  const here = await run((p) => {
    p.raw(...ENABLE_SSE)
      .store(SOURCE, -1n)
      .store(SOURCE + 8, -1n)
      .store(end - 64, 1);
    for (let inside = 0; inside <= 16; inside++) {
      p.set(7, SOURCE)
        .raw(...LOAD_16)
        .set(7, end - inside)
        .raw(...STORE_16);
      for (const size of [2, 4, 8] as const) p.store(end - inside, -1n, size);
      p.set(7, end - inside)
        .set(0, -1n)
        .raw(0xf0, 0x48, 0x0f, 0xc1, 0x07); // lock xadd [rdi], rax
      p.set(7, end - inside).raw(0xdd, 0x37); // fnsave [rdi]: 108 bytes
    }
    p.set(0, SOURCE).raw(0xdb, 0xe3);
  });
  assert.ok(finished(here));
});

test('repeated strings that run out of memory copy and fill what there is', async () => {
  const here = await run((p) => {
    p.set(7, SOURCE)
      .set(1, 3 * 4096)
      .raw(0xb0, 0x5a, 0xf3, 0xaa); // the source is 5a
    p.load(end - 4096, 1).store(end - 4096, 0, 1); // both tables know the last page
    p.set(6, SOURCE)
      .set(7, end - 100)
      .set(1, 3 * 4096)
      .raw(0xf3, 0xa4); // forwards out
    p.set(6, end - 100)
      .set(7, RESULT)
      .set(1, 3 * 4096)
      .raw(0xf3, 0xa4); // back in
    p.set(7, end - 50)
      .set(1, 2 * 4096)
      .raw(0x31, 0xc0, 0xf3, 0xaa); // fill
    p.raw(0xfd)
      .set(6, SOURCE + 4095)
      .set(7, end + 50)
      .set(1, 100)
      .raw(0xf3, 0xa4, 0xfc); // backwards
  });
  assert.ok(finished(here));
  const copied = here.vm.memory.bytes(RESULT, 3 * 4096);
  assert.ok(copied.subarray(0, 100).every((byte) => byte === 0x5a));
  assert.ok(
    copied.subarray(100).every((byte) => byte === 0xff),
    'behind its end there is nothing',
  );
  const tail = [...here.vm.memory.bytes(end - 100, 100)];
  assert.deepEqual(tail, [...Array<number>(50).fill(0x5a), 0, ...Array<number>(49).fill(0x5a)]);
});

test("physical addresses that wrap to the engine's part of the host's memory are device addresses", async () => {
  // Guest-physical 0 lies ENGINE_BYTES into the buffer: 4 GiB minus that would be its first byte, where the registers are.
  const registers = 2 ** 32 - ENGINE_BYTES;
  const here = await run((p) => {
    p.load(registers).set(7, RESULT).raw(0x48, 0x89, 0x07);
    for (let at = 0; at < 4096; at += 256) p.store(registers + at, -1n);
    for (const frame of [2 ** 39, 2 ** 40 - 2 ** 30, 2 ** 32, 2 ** 32 * 3]) {
      p.store(BOOT_PDPT + 8, BigInt(frame) | 0x83n).cr3(0x9000);
      p.load(2 ** 30)
        .store(2 ** 30, -1n)
        .store(2 ** 30 + (0xfc00_0000 % 2 ** 30), -1n);
      p.set(7, 2 ** 30)
        .set(1, 8192)
        .raw(0xf3, 0xaa);
    }
  });
  assert.ok(finished(here));
  assert.equal(here.vm.memory.readU64(RESULT), 0xffff_ffff_ffff_ffffn);
});

for (const [what, address] of [
  ['the same low half as memory', 2n ** 32n + BigInt(SOURCE)],
  ['the same low half, in the upper half', 0xffff_8000_0000_0000n + BigInt(SOURCE)],
  ['the same low half and no canonical form', 2n ** 47n + BigInt(SOURCE)],
  ['its last byte past the last address', 0xffff_ffff_ffff_fffcn],
] as const) {
  test(`an address with ${what} faults, also right after an access to that memory`, async () => {
    const here = await run((p) => {
      p.store(SOURCE, 1).load(SOURCE).load(8).store(8, 1);
      p.load(address);
    });
    assert.equal(finished(here), false);
  });
}

for (const [what, write] of Object.entries<(p: Assembly) => unknown>({
  'page tables in device memory': (p) => p.cr3(0xd000_0000),
  'page tables outside of memory': (p) => p.cr3(2 ** 39),
  'page tables at the end of memory': (p) => p.cr3(end),
  'page tables that are their own entries': (p) => p.store(SOURCE, SOURCE | 3).cr3(SOURCE),
  'an interrupt table outside of memory': (p) =>
    p
      .store(SOURCE + 2, 0x3000_0000)
      .store(SOURCE, 0xfff, 2)
      .set(0, SOURCE)
      .raw(0x0f, 0x01, 0x18, 0xcc),
  'an interrupt table in device memory': (p) =>
    p
      .store(SOURCE + 2, 0xd000_0000)
      .store(SOURCE, 0xfff, 2)
      .set(0, SOURCE)
      .raw(0x0f, 0x01, 0x18, 0xcc),
  'no interrupt table': (p) =>
    p
      .store(SOURCE + 2, 0)
      .store(SOURCE, 0, 2)
      .set(0, SOURCE)
      .raw(0x0f, 0x01, 0x18, 0x0f, 0x0b),
  'a descriptor table that is not mapped': (p) =>
    p
      .store(SOURCE + 2, -8n)
      .store(SOURCE, 0xffff, 2)
      .set(0, SOURCE)
      .raw(0x0f, 0x01, 0x10, 0x0f, 0x0b),
})) {
  test(`a guest with ${what} shuts down`, async () => {
    const here = await softMachine({
      kernel: flatKernel({
        write: (p) => {
          write(p);
          p.raw(0x0f, 0x0b);
        },
      }),
      host: softHost,
      memoryBytes: MEMORY,
    });
    placeCanaries(here);
    const timer = setTimeout(() => here.machine.stop(), 2000);
    const { reason } = await here.machine.run();
    clearTimeout(timer);
    assert.equal(reason, 'shutdown');
    assert.equal(findEscape(here), undefined);
  });
}
