import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, Program, SEL } from '../interp/program-harness.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { VECTOR } from './exception.ts';

const V86_CODE = 0x6_0000;
const IOPL3 = 0x3000;
const little = (value: number, bytes: number): number[] => Array.from({ length: bytes }, (_, i) => (value >>> (i * 8)) & 0xff);

/** Enters virtual-8086 mode by IRETD; `code` runs at 6000:0000 with DS 2000 and the stack at 3000:8000. */
function v86(code: readonly number[], eflags = 2 | FLAG.VM | FLAG.IF): Program {
  const frame = [0x1111, 0x2222, 0x2000, 0x4444, 0x3000, 0x8000, eflags, V86_CODE >> 4, 0];
  const p = new Program('protected', [...frame.flatMap((value) => [0x68, ...little(value, 4)]), 0xcf]);
  p.ram.set(code, V86_CODE);
  return p;
}

class Stop extends Error {}

/** [vector, error code, IP] of the first event. */
function first(p: Program): [number, number | undefined, number] {
  p.onEvent = () => {
    throw new Stop();
  };
  assert.throws(() => p.run(), Stop);
  const { vector, errorCode, rip } = p.events[0]!;
  return [vector, errorCode, rip];
}

const EVERYTHING = 2 | FLAG.VM | FLAG.IF | IOPL3;

test('IRETD with VM enters virtual-8086 mode, and an interrupt leaves it with the segments on the stack', () => {
  // mov ax,0x1234; mov [0x10],ax; int 0x40; int 0x80
  const p = v86([0xb8, 0x34, 0x12, 0xa3, 0x10, 0, 0xcd, 0x40, 0xcd, 0x80], EVERYTHING);
  p.onEvent = ({ rip, rflags }, frame) => {
    const { state } = p.cpu;
    const words = Array.from({ length: 9 }, (_, i) => p.view.getUint32(frame + i * 4, true));
    assert.deepEqual(words, [8, 0x6000, rflags, 0x8000, 0x3000, 0x4444, 0x2000, 0x2222, 0x1111]);
    assert.deepEqual([rip, rflags & (FLAG.VM | IOPL3)], [8, FLAG.VM | IOPL3]);
    assert.deepEqual([state.cpl, state.get32(S.flags) & FLAG.VM, state.selector(SEG.SS)], [0, 0, SEL.data]);
    assert.deepEqual(
      [SEG.DS, SEG.ES, SEG.FS, SEG.GS].map((seg) => state.selector(seg)),
      [0, 0, 0, 0],
    );
  };
  assert.equal(p.run().length, 1);
  assert.equal(p.view.getUint16(0x2_0010, true), 0x1234);
});

test('IRETD in the monitor goes back into virtual-8086 mode where it was', () => {
  const p = v86([0xcd, 0x40, 0x40, 0xcd, 0x80], EVERYTHING).setReg(GPR.RAX, 5); // int 0x40; inc ax; int 0x80
  p.run();
  assert.equal(p.reg(GPR.RAX), 6n);
  assert.equal(p.events.length, 1);
});

test('below IOPL 3, the instructions that change or show IF raise #GP(0)', () => {
  for (const code of [[0xfa], [0xfb], [0x9c], [0x9d], [0xcd, 0x40], [0xcf]]) assert.deepEqual(first(v86(code)), [VECTOR.GP, 0, 0]);
  assert.deepEqual(first(v86([0xf4], EVERYTHING)), [VECTOR.GP, 0, 0]); // HLT needs CPL 0
});

test('INT3 and INTO need no IOPL', () => {
  assert.deepEqual(first(v86([0xcc])), [VECTOR.BP, undefined, 1]);
  assert.deepEqual(first(v86([0xce], 2 | FLAG.VM | FLAG.OF)), [VECTOR.OF, undefined, 1]);
});

test('with IOPL 3 the flags work as on an 8086, and IOPL and VM stay', () => {
  // pushf; pop ax; and ax,0xcfff; push ax; popf; cli; pushf; pop bx; int 0x80
  const p = v86([0x9c, 0x58, 0x25, 0xff, 0xcf, 0x50, 0x9d, 0xfa, 0x9c, 0x5b, 0xcd, 0x80], EVERYTHING);
  p.run();
  assert.equal(p.reg(GPR.RBX) & 0xffffn, 0x3002n);
});

test('IRET, far jumps, calls and returns work with paragraphs', () => {
  // push 0x3246; push 0x6001; push 0; iret (to 6001:0000 = offset 0x10)
  const code = [0x68, 0x46, 0x32, 0x68, 1, 0x60, 0x68, 0, 0, 0xcf];
  const at10 = [0x9a, 0x20, 0, 0, 0x60, 0xea, 0x30, 0, 0, 0x60]; // call 6000:0020; jmp 6000:0030
  const p = v86(code, EVERYTHING);
  p.ram.set(at10, V86_CODE + 0x10);
  p.ram.set([0x40, 0xcb], V86_CODE + 0x20); // inc ax; retf
  p.ram.set([0xcd, 0x80], V86_CODE + 0x30);
  p.setReg(GPR.RAX, 1).run();
  assert.equal(p.reg(GPR.RAX), 2n);
  assert.equal(p.cpu.state.get32(S.flags) & FLAG.VM, 0);
});

test('segment registers take any value, and descriptor instructions do not exist', () => {
  // mov ax,0x2001; mov es,ax; mov byte es:[0],7; int 0x80
  const p = v86([0xb8, 1, 0x20, 0x8e, 0xc0, 0x26, 0xc6, 6, 0, 0, 7, 0xcd, 0x80], EVERYTHING);
  p.run();
  assert.equal(p.ram[0x2_0010], 7);
  for (const code of [
    [0x0f, 0, 0xc0],
    [0x0f, 0, 0xc8],
    [0x0f, 2, 0xc0],
    [0x63, 0xc0],
  ])
    assert.deepEqual(first(v86(code)), [VECTOR.UD, undefined, 0]);
});

test('ports go through the permission bitmap whatever IOPL says', () => {
  const p = v86([0xe4, 0x60, 0xe4, 0x61, 0xcd, 0x80], EVERYTHING);
  p.cpu.state.setSegment(SEG.TR, { selector: SEL.tss, base: BigInt(AT.tss), limit: 0x87, attributes: 0x8b });
  p.view.setUint8(AT.tss + 0x68 + 0xc, 2); // port 0x61 is closed
  p.onEvent = () => {
    throw new Stop();
  };
  assert.throws(() => p.run(), Stop);
  assert.deepEqual([p.events[0]!.vector, p.events[0]!.rip, p.ports], [VECTOR.GP, 2, [{ port: 0x60 }]]);
});

test('a gate to code of another level than 0 cannot leave virtual-8086 mode', () => {
  const p = v86([0xcd, 0x50], EVERYTHING);
  p.setGate(0x50, AT.handlers, SEL.user32);
  assert.deepEqual(first(p), [VECTOR.GP, SEL.user32 & ~3, 0]);
});

test('a far pointer beyond the limit raises #GP(0)', () => {
  assert.deepEqual(first(v86([0x66, 0xea, 0, 0, 1, 0, 0, 0x60])), [VECTOR.GP, 0, 0]);
});

test('CPUID does not claim VME', () => {
  const p = new Program('protected', [0xb8, 1, 0, 0, 0, 0x0f, 0xa2, 0xcd, 0x80]);
  p.run();
  assert.equal(p.reg(GPR.RDX) & 2n, 0n);
});
