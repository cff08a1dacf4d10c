import assert from 'node:assert/strict';
import { test } from 'node:test';
import { S, SEG } from '../state/layout.ts';
import { FLAG } from '../state/state.ts';
import { SHADOW } from './control-bits.ts';
import { deliverException, deliverInterrupt, softwareInterrupt } from './delivery.ts';
import { VECTOR } from './exception.ts';
import { iret } from './returns.ts';
import { AT, enterLongMode, enterProtectedMode, insn, quads, raised, SEL, setGate32, setGate64, testCpu } from './system-harness.ts';

const HANDLER = 0xffff_8000_0001_2340n;

test('a page fault in 64-bit user code switches to RSP0 and pushes six quadwords', () => {
  const cpu = testCpu();
  enterLongMode(cpu, 3);
  setGate64(cpu, VECTOR.PF, { offset: HANDLER });
  cpu.ram.setBigUint64(AT.tss + 4, BigInt(AT.stack0) + 8n, true);
  assert.equal(deliverException(cpu, VECTOR.PF, 6), true);
  const { state } = cpu;
  assert.equal(state.rip, HANDLER);
  assert.equal(state.rsp, BigInt(AT.stack0 - 48)); // aligned to 16 first
  assert.deepEqual(quads(cpu, AT.stack0 - 48, 6), [
    6n,
    BigInt(AT.code),
    BigInt(SEL.userCode),
    BigInt(FLAG.fixed | FLAG.IF | FLAG.RF),
    BigInt(AT.stack3),
    BigInt(SEL.userData),
  ]);
  assert.deepEqual([state.cpl, state.selector(SEG.CS), state.selector(SEG.SS)], [0, SEL.kernelCode, 0]);
  assert.equal(state.get32(S.flags) & (FLAG.IF | FLAG.RF), 0);
});

test('an interrupt in 64-bit kernel code stays on its stack, aligned, without error code and RF', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, 0x30, { offset: HANDLER });
  cpu.state.rsp = BigInt(AT.stack0 - 8);
  assert.equal(deliverInterrupt(cpu, 0x30), true);
  assert.equal(cpu.state.rsp, BigInt(AT.stack0 - 16 - 40));
  assert.deepEqual(quads(cpu, AT.stack0 - 56, 5), [BigInt(AT.code), BigInt(SEL.kernelCode), 0x202n, BigInt(AT.stack0 - 8), BigInt(SEL.kernelData)]);
  assert.equal(cpu.state.selector(SEG.SS), SEL.kernelData);
});

test('a trap gate leaves IF as it is', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, 0x30, { offset: HANDLER, type: 0xf });
  deliverInterrupt(cpu, 0x30);
  assert.equal(cpu.state.get32(S.flags) & FLAG.IF, FLAG.IF);
});

test('an IST gate switches stacks even without a change of privilege', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, VECTOR.NMI, { offset: HANDLER, ist: 1 });
  cpu.ram.setBigUint64(AT.tss + 0x24, BigInt(AT.ist1), true);
  deliverInterrupt(cpu, VECTOR.NMI);
  assert.equal(cpu.state.rsp, BigInt(AT.ist1 - 40));
  assert.equal(cpu.state.get32(S.shadow) & SHADOW.nmi, SHADOW.nmi);
  iret(cpu, insn());
  assert.deepEqual([cpu.state.rsp, cpu.state.rip, cpu.state.get32(S.shadow)], [BigInt(AT.stack0), BigInt(AT.code), 0]);
});

test('a delivered event ends HLT and the shadow of STI', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, 0x30, { offset: HANDLER });
  cpu.state.set32(S.shadow, SHADOW.halted | SHADOW.interrupts);
  deliverInterrupt(cpu, 0x30);
  assert.equal(cpu.state.get32(S.shadow), 0);
});

test('INT n from user code needs a gate with DPL 3', () => {
  const cpu = testCpu();
  enterLongMode(cpu, 3);
  cpu.ram.setBigUint64(AT.tss + 4, BigInt(AT.stack0), true);
  setGate64(cpu, 0x80, { offset: HANDLER });
  assert.deepEqual(
    raised(() => softwareInterrupt(cpu, 0x80)),
    [VECTOR.GP, 0x80 * 8 + 2],
  );
  setGate64(cpu, 0x80, { offset: HANDLER, dpl: 3 });
  assert.equal(
    raised(() => softwareInterrupt(cpu, 0x80)),
    undefined,
  );
  assert.equal(cpu.state.rip, HANDLER);
});

test('a gate that is not present raises #NP with the vector, and EXT for hardware events', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, VECTOR.NP, { offset: HANDLER });
  setGate64(cpu, 0x30, { offset: 0n, type: 0xe });
  cpu.ram.setUint8(AT.idt + 0x30 * 16 + 5, 0x0e);
  assert.equal(deliverInterrupt(cpu, 0x30), true);
  assert.equal(cpu.state.rip, HANDLER);
  assert.equal(quads(cpu, AT.stack0 - 48, 1)[0], BigInt(0x30 * 8 + 3));
});

test('a handler in a 32-bit code segment raises #GP in IA-32e mode', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, 0x30, { offset: HANDLER, selector: SEL.code32 });
  assert.deepEqual(
    raised(() => softwareInterrupt(cpu, 0x30)),
    [VECTOR.GP, SEL.code32],
  );
});

test('a page fault while delivering #GP is delivered as #PF', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, VECTOR.GP, { offset: HANDLER, ist: 1 });
  setGate64(cpu, VECTOR.PF, { offset: HANDLER + 16n });
  cpu.ram.setBigUint64(AT.tss + 0x24, 0x7000_0000n, true); // not mapped
  assert.equal(deliverException(cpu, VECTOR.GP, 0), true);
  assert.equal(cpu.state.rip, HANDLER + 16n);
  assert.equal(cpu.state.get64(S.cr2), 0x7000_0000n - 48n);
});

test('#GP while delivering #GP is a double fault with error code 0', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, VECTOR.DF, { offset: HANDLER });
  assert.equal(deliverException(cpu, VECTOR.GP, 0x18), true); // no gate for #GP
  assert.equal(cpu.state.rip, HANDLER);
  assert.deepEqual(quads(cpu, AT.stack0 - 48, 2), [0n, BigInt(AT.code)]);
});

test('a page fault while delivering a page fault is a double fault', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, VECTOR.PF, { offset: HANDLER, ist: 1 });
  setGate64(cpu, VECTOR.DF, { offset: HANDLER + 32n });
  cpu.ram.setBigUint64(AT.tss + 0x24, 0x7000_0000n, true);
  assert.equal(deliverException(cpu, VECTOR.PF, 0), true);
  assert.equal(cpu.state.rip, HANDLER + 32n);
});

test('a fault while delivering #UD, which is benign, is delivered as itself', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, VECTOR.GP, { offset: HANDLER });
  assert.equal(deliverException(cpu, VECTOR.UD, -1), true);
  assert.equal(quads(cpu, AT.stack0 - 48, 1)[0], BigInt(VECTOR.UD * 8 + 3));
});

test('without a handler for #DF the CPU shuts down', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  assert.equal(deliverException(cpu, VECTOR.GP, 0), false);
});

test('an IDT limit below the gate raises #GP', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  setGate64(cpu, 0x80, { offset: HANDLER });
  cpu.state.set32(S.idtLimit, 0x80 * 16 + 14);
  assert.deepEqual(
    raised(() => softwareInterrupt(cpu, 0x80)),
    [VECTOR.GP, 0x80 * 8 + 2],
  );
});

test('IRETQ returns to user code, and DS with a kernel descriptor becomes null', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  const { state, ram } = cpu;
  state.setSegment(SEG.DS, { selector: SEL.kernelData, base: 0n, limit: 0xffff_ffff, attributes: 0xc093 });
  state.rsp = BigInt(AT.stack0 - 40);
  [0x7fff_1234_5678n, BigInt(SEL.userCode), 0x3246n, 0x7fff_0000n, BigInt(SEL.userData)].forEach((q, i) => {
    ram.setBigUint64(AT.stack0 - 40 + i * 8, q, true);
  });
  iret(cpu, insn());
  assert.deepEqual([state.rip, state.rsp, state.cpl], [0x7fff_1234_5678n, 0x7fff_0000n, 3]);
  assert.deepEqual([state.selector(SEG.CS), state.selector(SEG.SS), state.selector(SEG.DS)], [SEL.userCode, SEL.userData, 0]);
  assert.equal(state.rflags(), 0x3246);
});

test('IRETQ to a non-canonical address raises #GP(0) and changes nothing', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  cpu.state.rsp = BigInt(AT.stack0 - 40);
  [0x8000_0000_0000n, BigInt(SEL.userCode), 2n, 0n, BigInt(SEL.userData)].forEach((q, i) => {
    cpu.ram.setBigUint64(AT.stack0 - 40 + i * 8, q, true);
  });
  assert.deepEqual(
    raised(() => iret(cpu, insn())),
    [VECTOR.GP, 0],
  );
  assert.deepEqual([cpu.state.rsp, cpu.state.rip, cpu.state.cpl], [BigInt(AT.stack0 - 40), BigInt(AT.code), 0]);
});

test('IRET in user code cannot set IF or IOPL', () => {
  const cpu = testCpu();
  enterLongMode(cpu, 3);
  cpu.state.setRflags(FLAG.fixed);
  cpu.state.rsp = BigInt(AT.stack3 - 40);
  [BigInt(AT.code), BigInt(SEL.userCode), BigInt(FLAG.IF | FLAG.IOPL | FLAG.CF | FLAG.ID), 0x5000n, BigInt(SEL.userData)].forEach((q, i) => {
    cpu.ram.setBigUint64(AT.stack3 - 40 + i * 8, q, true);
  });
  iret(cpu, insn());
  assert.equal(cpu.state.rflags(), FLAG.fixed | FLAG.CF | FLAG.ID);
});

test('IRET with NT set raises #GP(0)', () => {
  const cpu = testCpu();
  enterLongMode(cpu);
  cpu.state.setRflags(FLAG.fixed | FLAG.NT);
  assert.deepEqual(
    raised(() => iret(cpu, insn())),
    [VECTOR.GP, 0],
  );
});

test('a 32-bit gate from user code switches to SS0:ESP0 and pushes doublewords', () => {
  const cpu = testCpu();
  enterProtectedMode(cpu, 3);
  setGate32(cpu, VECTOR.GP, { offset: 0x0001_2340 });
  cpu.ram.setUint32(AT.tss + 4, AT.stack0, true);
  cpu.ram.setUint32(AT.tss + 8, SEL.kernelData, true);
  assert.equal(deliverException(cpu, VECTOR.GP, 0x10), true);
  const { state } = cpu;
  const frame = Array.from({ length: 6 }, (_, i) => cpu.ram.getUint32(AT.stack0 - 24 + i * 4, true));
  assert.deepEqual(frame, [0x10, AT.code, SEL.userCode32, FLAG.fixed | FLAG.IF | FLAG.RF, AT.stack3, SEL.userData]);
  assert.deepEqual([state.rip, state.rsp, state.cpl, state.selector(SEG.SS)], [0x1_2340n, BigInt(AT.stack0 - 24), 0, SEL.kernelData]);
});

test('IRETD from a 32-bit handler comes back to where the fault was', () => {
  const cpu = testCpu();
  enterProtectedMode(cpu, 3);
  setGate32(cpu, 0x40, { offset: 0x0001_2340 });
  cpu.ram.setUint32(AT.tss + 4, AT.stack0, true);
  cpu.ram.setUint32(AT.tss + 8, SEL.kernelData, true);
  deliverInterrupt(cpu, 0x40);
  iret(cpu, insn({ operandSize: 32, mode: { bits: 32, stackBits: 32, fpu: 0, cpl3: false } }));
  const { state } = cpu;
  assert.deepEqual([state.rip, state.rsp, state.cpl, state.selector(SEG.CS)], [BigInt(AT.code), BigInt(AT.stack3), 3, SEL.userCode32]);
});

test('a 16-bit gate pushes words', () => {
  const cpu = testCpu();
  enterProtectedMode(cpu);
  setGate32(cpu, 0x40, { offset: 0x2340, type: 6 });
  deliverInterrupt(cpu, 0x40);
  assert.equal(cpu.state.rsp, BigInt(AT.stack0 - 6));
  assert.deepEqual([cpu.ram.getUint16(AT.stack0 - 6, true), cpu.ram.getUint16(AT.stack0 - 4, true)], [AT.code & 0xffff, SEL.code32]);
});

test('an inner stack that is no writable data segment raises #TS with its selector', () => {
  const cpu = testCpu();
  enterProtectedMode(cpu, 3);
  setGate32(cpu, 0x40, { offset: 0x2340, dpl: 3 });
  cpu.ram.setUint32(AT.tss + 8, SEL.code32, true);
  assert.deepEqual(
    raised(() => softwareInterrupt(cpu, 0x40)),
    [VECTOR.TS, SEL.code32],
  );
});

test('real mode pushes FLAGS, CS and IP and jumps through the vector table', () => {
  const cpu = testCpu();
  const { state } = cpu;
  state.setSegment(SEG.CS, { selector: 0x1000, base: 0x1_0000n, limit: 0xffff, attributes: 0x9b });
  state.setSegment(SEG.SS, { selector: 0x2000, base: 0x2_0000n, limit: 0xffff, attributes: 0x93 });
  state.rip = 0x123n;
  state.rsp = 0x100n;
  state.setRflags(FLAG.fixed | FLAG.IF | FLAG.CF);
  cpu.ram.setUint32(0x21 * 4, 0x3000_4000, true);
  softwareInterrupt(cpu, 0x21);
  assert.deepEqual([state.selector(SEG.CS), state.segBase(SEG.CS), state.rip, state.rsp], [0x3000, 0x3_0000n, 0x4000n, 0xfan]);
  const frame = [0, 2, 4].map((i) => cpu.ram.getUint16(0x2_00fa + i, true));
  assert.deepEqual(frame, [0x123, 0x1000, FLAG.fixed | FLAG.IF | FLAG.CF]);
  iret(cpu, insn({ operandSize: 16 }));
  assert.deepEqual([state.selector(SEG.CS), state.rip, state.rsp, state.rflags()], [0x1000, 0x123n, 0x100n, FLAG.fixed | FLAG.IF | FLAG.CF]);
});
