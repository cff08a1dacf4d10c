import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, Program, type ProgramEvent, type ProgramMode } from '../interp/program-harness.ts';
import { GPR, S } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { CR0 } from '../system/control-bits.ts';
import { VECTOR } from '../system/exception.ts';

const END = [0xcd, 0x80];

interface Setting {
  readonly mode?: ProgramMode;
  readonly offset: number;
  readonly am?: boolean;
  readonly ac?: boolean;
  readonly prepare?: (p: Program) => void;
}

/** Runs code with RBX = RDI = RSI = AT.data + offset until the first event, in both tiers. */
function run(code: readonly number[], { mode = 'user64', offset, am = true, ac = true, prepare }: Setting): ProgramEvent | undefined {
  const found = (['interp', 'jit'] as const).map((tier) => {
    const p = new Program(mode, [...code, ...END], tier);
    for (const register of [GPR.RBX, GPR.RSI, GPR.RDI]) p.setReg(register, AT.data + offset);
    if (am) p.cpu.state.set64(S.cr0, p.cpu.state.get64(S.cr0) | BigInt(CR0.AM));
    p.cpu.state.setRflags(FLAG.fixed | FLAG.IF | (ac ? FLAG.AC : 0));
    p.cpu.mmu.updateMode();
    prepare?.(p);
    p.onEvent = () => {
      throw new Stop();
    };
    try {
      p.run();
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
    }
    return p.events[0];
  });
  assert.deepEqual(found[0], found[1]);
  return found[0];
}

class Stop extends Error {}

/** Offsets among 0 to 16 at which code raises #AC with error code 0. */
function misalignedAt(code: readonly number[], setting: Partial<Setting> = {}): number[] {
  const result: number[] = [];
  for (const offset of [0, 1, 2, 4, 6, 8, 10, 12, 16]) {
    const event = run(code, { ...setting, offset });
    if (event === undefined) continue;
    assert.deepEqual([event.vector, event.errorCode, event.rip], [VECTOR.AC, 0, AT.code]);
    result.push(offset);
  }
  return result;
}

const BY2 = [1];
const BY4 = [1, 2, 6, 10];
const BY8 = [1, 2, 4, 6, 10, 12];
const BY16 = [1, 2, 4, 6, 8, 10, 12];

// What an AMD EPYC of family 25 does; the SDM leaves unaligned 16-byte moves to the processor.
test('at CPL 3 with CR0.AM and EFLAGS.AC set, each access is aligned to its size or raises #AC', () => {
  assert.deepEqual(misalignedAt([0x8a, 0x03]), []); // mov al,[rbx]
  assert.deepEqual(misalignedAt([0x66, 0x8b, 0x03]), BY2);
  assert.deepEqual(misalignedAt([0x8b, 0x03]), BY4);
  assert.deepEqual(misalignedAt([0x48, 0x8b, 0x03]), BY8);
  assert.deepEqual(misalignedAt([0x48, 0x89, 0x03]), BY8); // a store
  assert.deepEqual(misalignedAt([0xf0, 0x48, 0x0f, 0xc1, 0x03]), BY8); // lock xadd
  assert.deepEqual(misalignedAt([0xf3, 0x0f, 0x6f, 0x03]), BY16); // movdqu
  assert.deepEqual(misalignedAt([0xf3, 0x0f, 0x7f, 0x03]), BY16);
});

test('string instructions are checked element by element', () => {
  assert.deepEqual(misalignedAt([0xf3, 0xa4], { prepare: (p) => void p.setReg(GPR.RCX, 3) }), []); // rep movsb
  assert.deepEqual(misalignedAt([0xf3, 0x48, 0xab], { prepare: (p) => void p.setReg(GPR.RCX, 3) }), BY8); // rep stosq
});

test('x87 structures are aligned like their words, 80-bit operands like quadwords', () => {
  assert.deepEqual(misalignedAt([0xdb, 0x2b]), BY8); // fld tbyte [rbx]
  assert.deepEqual(misalignedAt([0xdd, 0x33]), BY4); // fnsave
  assert.deepEqual(misalignedAt([0xdd, 0x23]), BY4); // frstor
  assert.deepEqual(misalignedAt([0xd9, 0x33]), BY4); // fnstenv
  assert.deepEqual(misalignedAt([0x66, 0xdd, 0x33]), BY2);
  assert.deepEqual(misalignedAt([0xd9, 0x3b]), BY2); // fnstcw
});

test('an operand of 16 bytes that must be aligned raises #GP, FXSAVE only where four bytes are aligned', () => {
  assert.equal(run([0x0f, 0x28, 0x03], { offset: 1 })?.vector, VECTOR.GP); // movaps
  assert.equal(run([0x0f, 0xae, 0x03], { offset: 8 })?.vector, VECTOR.GP); // fxsave
  assert.equal(run([0x0f, 0xae, 0x03], { offset: 2 })?.vector, VECTOR.AC);
});

test('the stack is checked as well, and the instruction has not happened', () => {
  const event = run([0x50], { offset: 0, prepare: (p) => void p.setReg(GPR.RSP, AT.stack - 4) });
  assert.deepEqual([event?.vector, event?.rip], [VECTOR.AC, AT.code]);
});

test('a page fault comes before #AC', () => {
  const event = run([0x48, 0x8b, 0x83, 0xfd, 0x0f, 0, 0], {
    offset: 0,
    prepare: (p) => {
      p.view.setUint32(AT.tables + 0x3000 + ((AT.data >> 12) + 1) * 8, 0, true);
      p.cpu.mmu.flushAll();
    },
  });
  assert.deepEqual([event?.vector, event?.cr2], [VECTOR.PF, AT.data + 0x1000]);
});

test('without AM, without AC, or below CPL 3 nothing is checked', () => {
  const code = [0x48, 0x8b, 0x03];
  assert.equal(run(code, { offset: 1, am: false }), undefined);
  assert.equal(run(code, { offset: 1, ac: false }), undefined);
  assert.equal(run(code, { offset: 1, mode: 'long' }), undefined);
});

test('POPF switches the check on and off', () => {
  // pushf; or dword [rsp],0x40000; popf; mov eax,[rbx+4]; pushf; and dword [rsp],~0x40000; popf; mov eax,[rbx+1]; ... again on; mov eax,[rbx+1]
  const on = [0x9c, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d];
  const off = [0x9c, 0x81, 0x24, 0x24, 0xff, 0xff, 0xfb, 0xff, 0x9d];
  const code = [...on, 0x8b, 0x43, 4, ...off, 0x8b, 0x43, 1, ...on, 0x8b, 0x43, 1];
  const event = run(code, { offset: 0, ac: false });
  assert.deepEqual([event?.vector, event?.rip], [VECTOR.AC, AT.code + code.length - 3]);
});

test('the handler runs unchecked, and IRET switches the check on again', () => {
  // int 0x40; mov eax,[rbx+1]
  const p = new Program('user64', [0xcd, 0x40, 0x8b, 0x43, 1, ...END]).setReg(GPR.RBX, AT.data);
  p.cpu.state.set64(S.cr0, p.cpu.state.get64(S.cr0) | BigInt(CR0.AM));
  p.cpu.state.setRflags(FLAG.fixed | FLAG.AC);
  p.cpu.mmu.updateMode();
  p.onEvent = ({ vector, rflags }, frame) => {
    if (vector === VECTOR.AC) p.view.setUint32(frame + 16, rflags & ~FLAG.AC, true);
  };
  assert.deepEqual(
    p.run().map(({ vector }) => vector),
    [0x40, VECTOR.AC],
  );
});

test('32-bit code is checked too', () => {
  assert.deepEqual(misalignedAt([0x8b, 0x03], { mode: 'user32' }), BY4);
  assert.deepEqual(misalignedAt([0xdf, 0x2b], { mode: 'user32' }), BY8); // fild qword
});
