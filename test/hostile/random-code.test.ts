import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from 'krun/testing';
import { DEFINITIONS } from '../../dist/x86/isa/index.js';
import { softHost } from '../../dist/host/soft-host.js';
import { softMachine } from '../soft-machine.ts';
import { findEscape, placeCanaries } from './engine-invariants.ts';
import { AT, flatKernel, little } from './flat-guest.ts';

const MIB = 1 << 20;
const CODE_AT = 32 * MIB;
const CHUNK = 32;
const CHUNKS = 4096;
const COUNTER = AT.scratch + 0x1000;

const USER_CODE = 0x1b;
const USER_DATA = 0x33;

/** Goes on with the next chunk: it is the handler of everything. Registers are whatever the last chunk left. */
function nextChunk(user: boolean): number[] {
  const go = user
    ? // push ss, rsp, rflags, cs, rip; iretq
      [0x6a, USER_DATA, 0x68, ...little(CODE_AT + MIB, 4), 0x68, ...little(0x202, 4), 0x6a, USER_CODE, 0x50, 0x48, 0xcf]
    : [0x48, 0xbc, ...little(AT.stack, 8), 0xfb, 0xff, 0xe0]; // mov rsp, stack; sti; jmp rax
  return [
    0x48,
    0xbb,
    ...little(0xfee0_00b0, 8),
    0x83,
    0x23,
    0x00, // mov rbx, EOI; and dword [rbx], 0
    0x48,
    0xbb,
    ...little(COUNTER, 8), // mov rbx, COUNTER
    0x48,
    0x8b,
    0x03,
    0x48,
    0xff,
    0xc0,
    0x48,
    0x89,
    0x03, // mov rax, [rbx]; inc rax; mov [rbx], rax
    0x25,
    ...little(CHUNKS - 1, 4), // and eax, CHUNKS - 1
    0x48,
    0xc1,
    0xe0,
    Math.log2(CHUNK), // shl rax, log2(CHUNK)
    0x48,
    0x05,
    ...little(CODE_AT, 4), // add rax, CODE_AT
    ...go,
  ];
}

/** Opcode bytes of an instruction that exists, with operands at random; or just anything. */
function someInstruction(random: Random): number[] {
  if (random.oneIn(6)) return [...random.bytes(1 + random.below(8))];
  const { opcode } = random.pick(DEFINITIONS);
  const prefixes = random.oneIn(3)
    ? [random.pick([0x66, 0xf2, 0xf3, 0x67, 0x64, 0x65, 0x2e, 0xf0, 0x48, 0x41, 0x4f])]
    : [];
  const bytes = opcode
    .split(' ')
    .filter((word) => /^[0-9A-F]{2}$/.test(word))
    .map((word) => Number.parseInt(word, 16));
  // A 48 behind the prefixes makes it 64 bits wide, ModRM and the rest come as they come.
  return [...prefixes, ...(random.oneIn(3) ? [0x48] : []), ...bytes, ...random.bytes(random.below(7))];
}

function fill(memory: Uint8Array, random: Random): void {
  for (let at = 0; at < memory.length; ) {
    const bytes = someInstruction(random);
    memory.set(bytes.slice(0, memory.length - at), at);
    at += bytes.length;
  }
}

/** How long each guest may go on; seeds are added by hand for longer runs. */
const RUN_MS = 150;
const SEEDS = Number(process.env['KRUN_FUZZ_SEEDS'] ?? 8);
const FIRST = Number(process.env['KRUN_FUZZ_FIRST'] ?? 1);

function randomGuest(random: Random, user: boolean) {
  const kernel = flatKernel({
    onException: AT.scratch,
    onInterrupt: AT.scratch,
    write: (p) => {
      p.raw(0x0f, 0x20, 0xe0, 0x0d, ...little(0x4_0600, 4), 0x0f, 0x22, 0xe0); // CR4: OSFXSR, OSXMMEXCPT, OSXSAVE
      // A timer ends chunks that loop or sleep.
      p.store(0xfee0_00f0, 0x1ff, 4)
        .store(0xfee0_03e0, 0xb, 4)
        .store(0xfee0_0320, 0x2_0040, 4)
        .store(0xfee0_0380, 200_000, 4);
      if (user)
        p.store(0x9000, 0xa007)
          .store(0xa000, 0xb007)
          .store(0xb000 + 16 * 8, CODE_AT + 0x87)
          .cr3(0x9000);
      for (let register = 0; register < 8; register++)
        p.set(register, random.pick([0, -1n, CODE_AT, 0xd000_0000, random.u32()]));
      p.set(4, AT.stack).jump(AT.scratch);
    },
  });
  kernel.bytes.set(nextChunk(user), AT.scratch - AT.load);
  kernel.bytes.set(little(0x00af_fb00_0000_ffffn, 8), AT.gdt + 0x18 - AT.load);
  kernel.bytes.set(little(0x00cf_f300_0000_ffffn, 8), AT.gdt + 0x30 - AT.load);
  kernel.bytes.set(little(0x37, 2), AT.pointers + 16 - AT.load);
  kernel.bytes.set(little(AT.handlerStack, 8), AT.tss + 4 - AT.load);
  return kernel;
}

/** With compiled code as well: chunks that are executed again and again become hot. */
const TIERS = ['interp', 'mixed'] as const;
const CASES = TIERS.flatMap((tier) => [false, true].map((user) => ({ tier, user })));

for (const { tier, user } of CASES) {
  test(`a guest that executes anything ${user ? 'at CPL 3' : 'at CPL 0'} neither makes the engine fail nor leaves its memory (${tier})`, {
    timeout: 300_000,
  }, async () => {
    let chunks = 0;
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const random = new Random(seed);
      const here = await softMachine({
        kernel: randomGuest(random, user),
        host: { ...softHost, tier },
        memoryBytes: 48 * MIB,
      });
      fill(here.vm.memory.bytes(CODE_AT, CHUNK * CHUNKS), random);
      placeCanaries(here);
      const timer = setTimeout(() => here.machine.stop(), RUN_MS);
      const { reason, detail } = await here.machine.run();
      clearTimeout(timer);
      if (process.env['KRUN_FUZZ_SEEDS'] !== undefined)
        console.log(seed, reason, here.vm.memory.readU32(COUNTER), detail ?? '', findEscape(here) ?? '');
      else {
        assert.notEqual(reason, 'error', `seed ${seed}: ${detail}`);
        assert.equal(findEscape(here), undefined, `seed ${seed}`);
      }
      chunks += Math.min(here.vm.memory.readU32(COUNTER), CHUNKS);
      here.machine.close();
    }
    // At CPL 0 most of them destroy themselves soon.
    assert.ok(chunks > SEEDS * (user ? 200 : 10), `only ${chunks} pieces of code were executed`);
  });
}
