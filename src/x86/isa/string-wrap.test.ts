import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AT, Program, SEL } from '../interp/program-harness.ts';
import { GPR, S, SEG } from '../state/layout.ts';

const END = [0xcd, 0x80];

/** Real mode, with DS and ES at linear 0x50010 and 0x60020: indexes wrap in the middle of a page. */
function real(code: readonly number[], registers: Partial<Record<keyof typeof GPR, number>>): Program {
  const p = new Program('real', [...code, ...END]);
  p.cpu.state.setSegment(SEG.DS, { selector: 0x5001, base: 0x5_0010n, limit: 0xffff, attributes: 0x93 });
  p.cpu.state.setSegment(SEG.ES, { selector: 0x6002, base: 0x6_0020n, limit: 0xffff, attributes: 0x93 });
  for (const [name, value] of Object.entries(registers)) p.setReg(GPR[name as keyof typeof GPR], value);
  for (let i = 0; i < 0x1_0000; i++) p.ram[0x5_0010 + i] = i * 7 + (i >> 8);
  p.run();
  return p;
}

test('REP MOVSB goes on at the start of the segments when SI and DI wrap in the middle of a page', () => {
  const p = real([0xf3, 0xa4], { RSI: 0xfff0, RDI: 0xffe8, RCX: 100 });
  for (let i = 0; i < 100; i++) {
    const from = 0x5_0010 + ((0xfff0 + i) & 0xffff);
    assert.equal(p.ram[0x6_0020 + ((0xffe8 + i) & 0xffff)], p.ram[from], `byte ${i}`);
  }
  assert.equal(p.ram[0x6_0020 + 0x1_0000], 0);
  assert.deepEqual([p.reg(GPR.RSI), p.reg(GPR.RDI), p.reg(GPR.RCX)], [0x54n, 0x4cn, 0n]);
});

test('REP STOSW fills up to the wrap and from the start on', () => {
  const p = real([0xf3, 0xab], { RDI: 0xfffc, RCX: 4, RAX: 0x7777 });
  assert.deepEqual([...p.ram.subarray(0x7_001c, 0x7_0024)], [0x77, 0x77, 0x77, 0x77, 0, 0, 0, 0]);
  assert.deepEqual([...p.ram.subarray(0x6_0020, 0x6_0026)], [0x77, 0x77, 0x77, 0x77, 0, 0]);
});

test('a narrow index in 64-bit mode wraps at 4 GiB', () => {
  // a32 rep stosb from EDI = 0xffffffff: the first byte lies where nothing is mapped
  const p = new Program('long', [0x67, 0xf3, 0xaa, ...END]).setReg(GPR.RDI, 0xffff_fffe).setReg(GPR.RCX, 6).setReg(GPR.RAX, 0x99);
  mapTop(p);
  p.run();
  assert.deepEqual([...p.ram.subarray(0x50_0ffe, 0x50_1000)], [0x99, 0x99]);
  assert.deepEqual([...p.ram.subarray(0, 5)], [0x99, 0x99, 0x99, 0x99, 0]);
  assert.equal(p.reg(GPR.RDI), 4n);
});

/** Maps the last page below 4 GiB to 0x500000, and nothing above. */
function mapTop(p: Program): void {
  const { tables } = AT;
  const directory = 0x60_0000;
  p.view.setBigUint64(tables + 0x1000 + 3 * 8, BigInt(directory) | 7n, true);
  p.view.setBigUint64(directory + 511 * 8, BigInt(directory + 0x1000) | 7n, true);
  p.view.setBigUint64(directory + 0x1000 + 511 * 8, 0x50_0007n, true);
}

test('an access across 4 GiB wraps in compatibility mode', () => {
  // mov eax,[ebx]; mov [ebx],ecx
  for (const tier of ['interp', 'jit'] as const) {
    const p = new Program('long', [0x8b, 0x03, 0x89, 0x0b, ...END], tier).setReg(GPR.RBX, 0xffff_fffe).setReg(GPR.RCX, 0x4433_2211);
    mapTop(p);
    p.cpu.state.setSegment(SEG.CS, { selector: SEL.code32, base: 0n, limit: 0xffff_ffff, attributes: 0xc09b });
    p.cpu.modeChanged();
    p.ram.set([1, 2], 0x50_0ffe);
    p.ram.set([3, 4], 0);
    p.run();
    assert.equal(p.reg(GPR.RAX), 0x0403_0201n);
    assert.deepEqual([...p.ram.subarray(0x50_0ffe, 0x50_1000), ...p.ram.subarray(0, 2)], [0x11, 0x22, 0x33, 0x44]);
  }
});

test('an access across 4 GiB in 64-bit mode does not wrap', () => {
  const p = new Program('long', [0x8b, 0x03, ...END]).setReg(GPR.RBX, 0xffff_fffe);
  mapTop(p);
  p.onEvent = () => {
    throw new Error('stop');
  };
  assert.throws(() => p.run(), /stop/);
  assert.deepEqual([p.events[0]!.vector, p.cpu.state.get64(S.cr2)], [14, 0x1_0000_0000n]);
});

test('an instruction across 4 GiB wraps in compatibility mode', () => {
  const p = new Program('long', [0xff, 0xe3]).setReg(GPR.RBX, 0xffff_fffe); // jmp ebx
  mapTop(p);
  p.cpu.state.setSegment(SEG.CS, { selector: SEL.code32, base: 0n, limit: 0xffff_ffff, attributes: 0xc09b });
  p.cpu.modeChanged();
  p.ram.set([0xb8, 0x78], 0x50_0ffe); // mov eax, 0x12345678
  p.ram.set([0x56, 0x34, 0x12, ...END], 0);
  p.run();
  assert.equal(p.reg(GPR.RAX), 0x1234_5678n);
});
