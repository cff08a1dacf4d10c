import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, Program } from '../interp/program-harness.ts';
import { GPR, S } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { VECTOR } from './exception.ts';

const FIXED = 0xffff_0ff0;
const BS = 0x4000;
const END = [0xcd, 0x80];
/** DR7 with breakpoint `i` enabled globally. @param length in bytes */
function dr7(i: number, on: 'x' | 'w' | 'io' | 'rw', length: 1 | 2 | 4 | 8 = 1): number {
  const rw = { x: 0, w: 1, io: 2, rw: 3 }[on];
  const len = { 1: 0, 2: 1, 8: 2, 4: 3 }[length];
  return (0x400 | (2 << (i * 2)) | (((len << 2) | rw) << (16 + i * 4))) >>> 0;
}

/** Runs 64-bit code with RBX = AT.data and one breakpoint there; where each #DB was taken, relative to the code, and DR6. */
function traps(code: readonly number[], kind: number, at: number = AT.data, prepare: (p: Program) => void = () => {}): [number, number][] {
  const both = (['interp', 'jit'] as const).map((tier) => {
    const program = new Program('long', [...code, ...END], tier).setReg(GPR.RBX, AT.data).setDebug(0, at).setDebug(7, kind);
    prepare(program);
    for (const event of program.run()) assert.equal(event.vector, VECTOR.DB);
    return program.events.map(({ rip, dr6 }): [number, number] => [rip - AT.code, dr6]);
  });
  assert.deepEqual(both[0], both[1]);
  return both[0]!;
}

const HIT0 = FIXED | 1;

test('a write watchpoint traps behind a store, and not behind a load', () => {
  // mov rax,[rbx]; mov [rbx],rax; nop
  assert.deepEqual(traps([0x48, 0x8b, 0x03, 0x48, 0x89, 0x03, 0x90], dr7(0, 'w', 8)), [[6, HIT0 >>> 0]]);
});

test('an access watchpoint traps behind loads and stores alike', () => {
  assert.deepEqual(
    traps([0x48, 0x8b, 0x03, 0x48, 0x89, 0x03, 0x90], dr7(0, 'rw', 4)).map(([rip]) => rip),
    [3, 6],
  );
});

test('a breakpoint is met by any byte that an access shares with it, and by no byte beside it', () => {
  const store = (displacement: number): number[] => [0x89, 0x43, displacement & 0xff]; // mov [rbx+d],eax
  const hit = (displacement: number): boolean => traps(store(displacement), dr7(0, 'w', 4), AT.data + 8).length === 1;
  assert.deepEqual([4, 5, 8, 11, 12, 3].map(hit), [false, true, true, true, false, false]);
});

test('the low bits of a breakpoint address do not count: ranges are aligned', () => {
  assert.equal(traps([0xc6, 0x03, 1], dr7(0, 'w', 8), AT.data + 5).length, 1);
  assert.equal(traps([0xc6, 0x43, 8, 1], dr7(0, 'w', 8), AT.data + 5).length, 0);
});

test('an access across pages meets a breakpoint in the second page', () => {
  assert.equal(traps([0x48, 0x89, 0x83, 0xfc, 0x0f, 0, 0], dr7(0, 'w', 2), AT.data + 0x1002).length, 1);
  assert.equal(traps([0x48, 0x89, 0x83, 0xfa, 0x0f, 0, 0], dr7(0, 'w', 2), AT.data + 0x1002).length, 0);
});

test('other accesses to the page of a breakpoint do not trap', () => {
  assert.deepEqual(traps([0x48, 0x89, 0x43, 0x10, 0x48, 0x8b, 0x43, 0x18], dr7(0, 'rw', 8)), []);
});

test('a read-modify-write traps once', () => {
  assert.deepEqual(traps([0xf0, 0xff, 0x03], dr7(0, 'rw', 4)), [[3, HIT0 >>> 0]]); // lock inc dword [rbx]
});

test('repeated string instructions trap behind the iteration that meets the breakpoint, with RF set while they go on', () => {
  // mov rdi,rbx; mov ecx,4; rep stosq
  const code = [0x48, 0x89, 0xdf, 0xb9, 4, 0, 0, 0, 0xf3, 0x48, 0xab];
  const counts: bigint[] = [];
  const flags: number[] = [];
  const found = traps(code, dr7(0, 'w', 8), AT.data + 8, (p) => {
    p.onEvent = ({ rflags }) => {
      counts.push(p.reg(GPR.RCX));
      flags.push(rflags & FLAG.RF);
    };
  });
  assert.deepEqual(found, [[8, HIT0 >>> 0]]);
  assert.deepEqual(counts, [2n, 2n]);
  assert.deepEqual(flags, [FLAG.RF, FLAG.RF]);
  assert.deepEqual(
    traps(code, dr7(0, 'w', 8), AT.data + 24).map(([rip]) => rip),
    [11],
  );
});

test('a push, a call and an interrupt frame meet a breakpoint on the stack', () => {
  // The INT that ends the program meets it as well.
  assert.equal(traps([0x50, 0x58], dr7(0, 'w', 8), AT.stack - 8)[0]![0], 1);
  // call +0; pop rax
  assert.equal(traps([0xe8, 0, 0, 0, 0, 0x58], dr7(0, 'w', 8), AT.stack - 8)[0]![0], 5);
  // int 0x40: the trap comes before the handler's first instruction
  const program = new Program('long', [0xcd, 0x40, ...END]).setDebug(0, AT.stack - 40).setDebug(7, dr7(0, 'w', 8));
  const [first] = program.run();
  assert.deepEqual([first!.vector, first!.rip], [VECTOR.DB, AT.handlers + 0x400]);
});

test('FXSAVE meets a breakpoint inside its area', () => {
  assert.deepEqual(
    traps([0x0f, 0xae, 0x03], dr7(0, 'w', 4), AT.data + 0x100).map(([rip]) => rip),
    [3],
  );
});

test('an instruction that faults behind its match reports the fault alone', () => {
  // push qword [rbx] with RSP not mapped: the load meets the breakpoint, the store faults
  const program = new Program('long', [0xff, 0x33, ...END])
    .setReg(GPR.RBX, AT.data)
    .setDebug(0, AT.data)
    .setDebug(7, dr7(0, 'rw', 8));
  program.setReg(GPR.RSP, 0x100_0008);
  const seen: number[] = [];
  program.onEvent = ({ vector }) => {
    seen.push(vector);
    throw new Error('enough');
  };
  // The frame needs a stack: delivery ends in a triple fault without one, so page faults use IST 1.
  program.view.setBigUint64(AT.tss + 0x24, BigInt(AT.handlerStack), true);
  program.ram[AT.idt + VECTOR.PF * 16 + 4] = 1;
  assert.throws(() => program.run(), /enough/);
  assert.deepEqual(seen, [VECTOR.PF]);
  assert.equal(program.cpu.state.get32(S.dr + 48) & 0xf, 0);
});

test('ports meet I/O breakpoints when CR4.DE is set', () => {
  const code = [0xe4, 0x71, 0xe6, 0x70]; // in al,71h; out 70h,al
  assert.deepEqual(traps(code, dr7(0, 'io', 1), 0x71), [[2, HIT0 >>> 0]]);
  assert.deepEqual(
    traps(code, dr7(0, 'io', 2), 0x70).map(([rip]) => rip),
    [2, 4],
  );
  const without = traps(code, dr7(0, 'io', 2), 0x70, (p) => {
    p.cpu.state.set64(S.cr4, p.cpu.state.get64(S.cr4) & ~8n);
  });
  assert.deepEqual(without, []);
});

test('a single step and a watchpoint are one trap with both causes', () => {
  const found = traps([0x89, 0x03, 0x90], dr7(0, 'w', 4), AT.data, (p) => {
    p.cpu.state.setRflags(FLAG.fixed | FLAG.TF);
    p.cpu.modeChanged();
    p.onEvent = (_, frame) => p.view.setUint32(frame + 16, 2, true);
  });
  assert.deepEqual(found, [[2, (FIXED | BS | 1) >>> 0]]);
});

test('BS stays in DR6 when software left it there, and B0 to B3 tell the last cause', () => {
  const found = traps([0x89, 0x03, 0x89, 0x43, 8], dr7(0, 'w', 4) | dr7(1, 'w', 4), AT.data, (p) => {
    p.setDebug(1, AT.data + 8).setDebug(6, FIXED | BS);
  });
  assert.deepEqual(
    found.map(([, dr6]) => dr6),
    [(FIXED | BS | 1) >>> 0, (FIXED | BS | 2) >>> 0],
  );
});

test('an instruction breakpoint on a repeated instruction is met once', () => {
  const code = [0x48, 0x89, 0xdf, 0xb9, 4, 0, 0, 0, 0xf3, 0x48, 0xab];
  const found = traps(code, dr7(0, 'x'), AT.code + 8, (p) => {
    p.onEvent = ({ rflags }, frame) => p.view.setUint32(frame + 16, rflags | FLAG.RF, true);
  });
  assert.deepEqual(
    found.map(([rip]) => rip),
    [8],
  );
});

/** TF is set by POPF, two instructions follow `middle`, and POPF clears it again. */
function stepped(middle: readonly number[], prepare: (p: Program) => void = () => {}): [number, number][] {
  // pushf; pop rax; or rax,0x100; push rax; mov ecx,ss; popf | middle | and eax,~0x100; push rax; popf
  const head = [0x9c, 0x58, 0x48, 0x0d, 0, 1, 0, 0, 0x50, 0x8c, 0xd1, 0x9d];
  const program = new Program('long', [...head, ...middle, 0x25, 0xff, 0xfe, 0xff, 0xff, 0x50, 0x9d, 0x90, ...END]);
  prepare(program);
  program.run();
  return program.events.map(({ rip, dr6 }): [number, number] => [rip - AT.code - head.length, dr6]);
}

test('a single step comes after each instruction from the one behind POPF on, and after the POPF that ends it', () => {
  const step = (FIXED | BS) >>> 0;
  assert.deepEqual(stepped([]), [
    [5, step],
    [6, step],
    [7, step],
  ]);
});

test('MOV SS holds a single step back for one instruction, STI does not', () => {
  assert.deepEqual(
    stepped([0x8e, 0xd1]).map(([rip]) => rip),
    [7, 8, 9],
  );
  const sti = stepped([0xfb], (p) => p.cpu.state.setRflags(FLAG.fixed));
  assert.deepEqual(
    sti.map(([rip]) => rip),
    [1, 6, 7, 8],
  );
});

test('INT1 behind MOV SS reports itself alone, without BS', () => {
  const found = stepped([0x8e, 0xd1, 0xf1, 0xf1]);
  const plain = FIXED >>> 0;
  const step = (FIXED | BS) >>> 0;
  assert.deepEqual(found, [
    [3, plain],
    [4, plain],
    [9, step],
    [10, step],
    [11, step],
  ]);
});

/** MOV SS from a watched place, then something that goes to a handler. */
function behindMovSs(code: readonly number[]): [number, number][] {
  const program = new Program('long', [0x8e, 0x13, ...code, 0x90, ...END])
    .setReg(GPR.RBX, AT.data)
    .setDebug(0, AT.data)
    .setDebug(7, dr7(0, 'rw', 4));
  program.view.setUint16(AT.data, 0x18, true);
  program.run();
  return program.events.map(({ vector, rip }): [number, number] => [vector, rip - AT.code]);
}

test('a watchpoint that MOV SS meets is reported behind the next instruction', () => {
  assert.deepEqual(behindMovSs([0x90]), [[VECTOR.DB, 3]]);
  assert.deepEqual(behindMovSs([0xf1]), [[VECTOR.DB, 3]]);
});

test('INT n behind MOV SS reaches its handler first, and the watchpoint is reported there', () => {
  const handler = (vector: number): number => AT.handlers + vector * 16 - AT.code;
  assert.deepEqual(behindMovSs([0xcc]), [
    [VECTOR.DB, handler(VECTOR.BP)],
    [VECTOR.BP, 3],
  ]);
  assert.deepEqual(behindMovSs([0xcd, 1]), [
    [VECTOR.DB, handler(VECTOR.DB)],
    [VECTOR.DB, 4],
  ]);
});

test('general detect is a fault before MOV DR, and the handler finds it switched off', () => {
  const program = new Program('long', [0x0f, 0x21, 0xf0, ...END]).setDebug(7, 0x2400);
  const seen: bigint[] = [];
  program.onEvent = () => seen.push(program.cpu.state.get64(S.dr + 56));
  const [event] = program.run();
  assert.deepEqual([event!.rip - AT.code, event!.dr6], [0, (FIXED | 0x2000) >>> 0]);
  assert.deepEqual(seen, [0x400n]);
  assert.equal(program.events.length, 1);
});

test('a breakpoint under the frame of #DB itself is not reported for ever', () => {
  const program = new Program('long', [0x50, 0x58, ...END]);
  program
    .setDebug(0, AT.stack - 8)
    .setDebug(1, AT.stack - 24)
    .setDebug(7, dr7(0, 'w', 8) | dr7(1, 'w', 8));
  // Once for the push, once for the frame of the last INT.
  assert.equal(program.run().length, 2);
});

test('breakpoints in 32-bit and real mode are linear addresses', () => {
  const protectedMode = new Program('protected', [0x89, 0x03, ...END])
    .setReg(GPR.RBX, AT.data)
    .setDebug(0, AT.data)
    .setDebug(7, dr7(0, 'w', 4));
  assert.deepEqual(
    protectedMode.run().map(({ rip }) => rip),
    [AT.code + 2],
  );
  const real = new Program('real', [0xa2, 0x34, 0x12, 0x90, ...END]).setDebug(0, 0x1234).setDebug(1, AT.code + 3);
  real.setDebug(7, dr7(0, 'w', 1) | dr7(1, 'x'));
  real.onEvent = () => void real.setDebug(7, dr7(0, 'w', 1));
  assert.deepEqual(
    real.run().map(({ rip, dr6 }) => [rip, dr6 & 3]),
    [[3, 1]],
  );
});
