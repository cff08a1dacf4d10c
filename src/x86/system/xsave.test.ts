import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GPR, S } from '../state/layout.ts';
import { CR0, CR4 } from './control-bits.ts';
import { VECTOR } from './exception.ts';
import { AT, at, enterLongMode, insn, raised, type TestCpu, testCpu } from './system-harness.ts';
import { fxrstor, fxsave, ldmxcsr, stmxcsr, xgetbv, xrstor, xrstors, xsave, xsavec, xsaveopt, xsaves, xsetbv } from './xsave.ts';
import { inUse } from './xsave-image.ts';

const AREA = 0x9000;
const HERE = insn({ memory: at(AREA) });
const GP0 = [VECTOR.GP, 0];

function withState(): TestCpu {
  const cpu = testCpu();
  enterLongMode(cpu);
  const { state } = cpu;
  state.set32(S.cr4, state.get32(S.cr4) | CR4.OSXSAVE);
  state.set64(S.xcr0, 3n);
  state.setGpr(GPR.RAX, 3n);
  state.set32(S.mxcsr, 0x1fa0);
  state.set32(S.fcw, 0x27f);
  state.set32(S.fsw, 5 << 11);
  state.set32(S.ftw, 0x20);
  for (let i = 0; i < 16; i++) state.bytes.fill(i + 1, S.xmm + i * 32, S.xmm + i * 32 + 16);
  state.bytes.fill(0x99, S.st + 5 * 16, S.st + 5 * 16 + 10);
  return cpu;
}

function wipe(cpu: TestCpu): void {
  cpu.state.bytes.fill(0, S.xmm, S.xmm + 512);
  cpu.state.bytes.fill(0, S.st, S.st + 128);
  for (const slot of [S.fcw, S.fsw, S.ftw, S.mxcsr]) cpu.state.set32(slot, 0);
}

function snapshot({ state }: TestCpu): unknown {
  return {
    vectors: Buffer.from(state.bytes.slice(S.xmm, S.xmm + 512)).toString('hex'),
    st: Buffer.from(state.bytes.slice(S.st, S.st + 128)).toString('hex'),
    words: [S.fcw, S.fsw, S.ftw, S.mxcsr].map((slot) => state.get32(slot)),
  };
}

for (const [name, save, restore] of [
  ['FXSAVE', fxsave, fxrstor],
  ['XSAVE', xsave, xrstor],
  ['XSAVEOPT', xsaveopt, xrstor],
  ['XSAVEC', xsavec, xrstor],
  ['XSAVES', xsaves, xrstors],
] as const) {
  test(`${name} and its restore give back the same state`, () => {
    const cpu = withState();
    const before = snapshot(cpu);
    save(cpu, HERE);
    wipe(cpu);
    restore(cpu, HERE);
    assert.deepEqual(snapshot(cpu), before);
  });
}

test('ST(0) comes first in the area, wherever TOP is', () => {
  const cpu = withState();
  fxsave(cpu, HERE);
  assert.deepEqual([cpu.ram.getUint16(AREA + 32, true), cpu.ram.getUint16(AREA + 48, true)], [0x9999, 0]);
});

test('XSAVE marks saved components and leaves the others', () => {
  const cpu = withState();
  cpu.ram.setBigUint64(AREA + 512, 1n, true);
  cpu.state.setGpr(GPR.RAX, 2n);
  xsave(cpu, HERE);
  assert.equal(cpu.ram.getBigUint64(AREA + 512, true), 3n);
  assert.equal(cpu.ram.getUint16(AREA, true), 0); // FCW not written
});

test('XSAVEC leaves out what is in its initial state', () => {
  const cpu = withState();
  wipe(cpu);
  cpu.state.set32(S.fcw, 0x37f);
  cpu.state.set32(S.mxcsr, 0x1f80);
  assert.equal(inUse(cpu.state), 0);
  xsavec(cpu, HERE);
  assert.deepEqual([cpu.ram.getBigUint64(AREA + 512, true), cpu.ram.getBigUint64(AREA + 520, true)], [0n, (1n << 63n) | 3n]);
});

test('XRSTOR puts components that the area does not hold into their initial state', () => {
  const cpu = withState();
  cpu.ram.setUint32(AREA + 24, 0x1f80, true);
  xrstor(cpu, HERE);
  assert.deepEqual([cpu.state.get32(S.fcw), cpu.state.get32(S.fsw), inUse(cpu.state)], [0x37f, 0, 0]);
});

test('XRSTOR refuses unknown components, reserved header bytes and reserved MXCSR bits', () => {
  const cpu = withState();
  cpu.ram.setBigUint64(AREA + 512, 4n, true);
  assert.deepEqual(
    raised(() => xrstor(cpu, HERE)),
    GP0,
  );
  cpu.ram.setBigUint64(AREA + 512, 2n, true);
  cpu.ram.setUint8(AREA + 528, 1);
  assert.deepEqual(
    raised(() => xrstor(cpu, HERE)),
    GP0,
  );
  cpu.ram.setUint8(AREA + 528, 0);
  cpu.ram.setUint32(AREA + 24, 0x1_0000, true);
  assert.deepEqual(
    raised(() => xrstor(cpu, HERE)),
    GP0,
  );
});

test('XRSTORS accepts the compacted format only', () => {
  const cpu = withState();
  assert.deepEqual(
    raised(() => xrstors(cpu, HERE)),
    GP0,
  );
});

test('misaligned areas raise #GP(0)', () => {
  const cpu = withState();
  assert.deepEqual(
    raised(() => xsave(cpu, insn({ memory: at(AREA + 32) }))),
    GP0,
  );
  assert.deepEqual(
    raised(() => fxsave(cpu, insn({ memory: at(AREA + 8) }))),
    GP0,
  );
});

test('a save that would cross into an absent page changes nothing', () => {
  const cpu = withState();
  const last = 0x40_0000 - 64;
  assert.deepEqual(
    raised(() => xsave(cpu, insn({ memory: at(last) }))),
    [VECTOR.PF, 2],
  );
  assert.equal(cpu.ram.getUint16(last, true), 0);
});

test('CR0.TS raises #NM, CR4.OSXSAVE clear raises #UD', () => {
  const cpu = withState();
  cpu.state.set32(S.cr0, cpu.state.get32(S.cr0) | CR0.TS);
  assert.deepEqual(
    raised(() => xsave(cpu, HERE)),
    [VECTOR.NM, -1],
  );
  assert.deepEqual(
    raised(() => fxsave(cpu, HERE)),
    [VECTOR.NM, -1],
  );
  cpu.state.set32(S.cr4, cpu.state.get32(S.cr4) & ~CR4.OSXSAVE);
  assert.deepEqual(
    raised(() => xsave(cpu, HERE)),
    [VECTOR.UD, -1],
  );
});

test('XCR0 must have x87 and nothing that CPUID does not claim', () => {
  const cpu = withState();
  cpu.state.setGpr(GPR.RCX, 0n);
  cpu.state.setGpr(GPR.RDX, 0n);
  const set = (value: bigint): unknown => {
    cpu.state.setGpr(GPR.RAX, value);
    return raised(() => xsetbv(cpu));
  };
  assert.deepEqual([set(2n), set(7n), set(1n)], [GP0, GP0, undefined]);
  xgetbv(cpu);
  assert.equal(cpu.state.gpr(GPR.RAX), 1n);
});

test('LDMXCSR refuses reserved bits', () => {
  const cpu = withState();
  cpu.ram.setUint32(AT.code, 0x1_1f80, true);
  assert.deepEqual(
    raised(() => ldmxcsr(cpu, insn({ memory: at(AT.code) }))),
    GP0,
  );
  stmxcsr(cpu, insn({ memory: at(AT.code) }));
  assert.equal(cpu.ram.getUint32(AT.code, true), 0x1fa0);
});
