import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GPR, S, SEG } from '../state/layout.ts';
import { MSR_SLOT } from '../state/msr.ts';
import { FLAG } from '../state/state.ts';
import { EFER } from './control-bits.ts';
import { VECTOR } from './exception.ts';
import { swapgs } from './processor.ts';
import { syscall, sysenter, sysexit, sysret } from './syscall.ts';
import { AT, enterLongMode, enterProtectedMode, insn, raised, SEL, type TestCpu, testCpu } from './system-harness.ts';

const ENTRY = 0xffff_ffff_8100_0000n;

function withSyscall(cpl: 0 | 3, vendor: 'GenuineIntel' | 'AuthenticAMD' = 'GenuineIntel'): TestCpu {
  const cpu = testCpu({ vendor });
  enterLongMode(cpu, cpl);
  cpu.state.set64(MSR_SLOT.STAR, (0x23n << 48n) | (0x10n << 32n));
  cpu.state.set64(MSR_SLOT.LSTAR, ENTRY);
  cpu.state.set64(MSR_SLOT.SFMASK, BigInt(FLAG.IF | FLAG.TF | FLAG.AC | FLAG.DF));
  return cpu;
}

test('SYSCALL saves RIP and RFLAGS in RCX and R11, masks flags and enters CPL 0', () => {
  const cpu = withSyscall(3);
  const { state } = cpu;
  state.rip = 0x7fff_8000_0002n;
  state.setRflags(FLAG.fixed | FLAG.IF | FLAG.DF | FLAG.CF | FLAG.RF);
  syscall(cpu);
  assert.deepEqual([state.rip, state.gpr(GPR.RCX), state.gpr(11)], [ENTRY, 0x7fff_8000_0002n, BigInt(FLAG.fixed | FLAG.IF | FLAG.DF | FLAG.CF)]);
  assert.deepEqual([state.cpl, state.selector(SEG.CS), state.selector(SEG.SS), state.rflags()], [0, 0x10, 0x18, FLAG.fixed | FLAG.CF]);
  assert.equal(state.attributes(SEG.CS) & 0x2000, 0x2000);
});

test('SYSRETQ goes back to 64-bit user code', () => {
  const cpu = withSyscall(0);
  const { state } = cpu;
  state.setGpr(GPR.RCX, 0x7fff_8000_0002n);
  state.setGpr(11, BigInt(FLAG.IF | FLAG.ZF | FLAG.RF | FLAG.VM));
  sysret(cpu, insn());
  assert.deepEqual([state.rip, state.cpl, state.selector(SEG.CS), state.selector(SEG.SS)], [0x7fff_8000_0002n, 3, 0x33, 0x2b]);
  assert.equal(state.rflags(), FLAG.fixed | FLAG.IF | FLAG.ZF);
});

test('SYSRETL goes back to 32-bit code with a 32-bit RIP', () => {
  const cpu = withSyscall(0);
  cpu.state.setGpr(GPR.RCX, 0xffff_ffff_1234_5678n);
  sysret(cpu, insn({ operandSize: 32 }));
  assert.deepEqual([cpu.state.rip, cpu.state.selector(SEG.CS), cpu.state.attributes(SEG.CS) & 0x6000], [0x1234_5678n, 0x23, 0x4000]);
});

test('SYSRETQ to a non-canonical address raises #GP(0) while still at CPL 0', () => {
  const cpu = withSyscall(0);
  cpu.state.setGpr(GPR.RCX, 0x8000_0000_0000n);
  assert.deepEqual(
    raised(() => sysret(cpu, insn())),
    [VECTOR.GP, 0],
  );
  assert.equal(cpu.state.cpl, 0);
});

test('SYSRET in user code raises #GP(0)', () => {
  const cpu = withSyscall(3);
  assert.deepEqual(
    raised(() => sysret(cpu, insn())),
    [VECTOR.GP, 0],
  );
});

test('SYSCALL without EFER.SCE raises #UD', () => {
  const cpu = withSyscall(3);
  cpu.state.set32(S.efer, EFER.LME | EFER.LMA);
  assert.deepEqual(
    raised(() => syscall(cpu)),
    [VECTOR.UD, -1],
  );
});

test('SYSCALL in compatibility mode exists on AMD parts only', () => {
  for (const [vendor, expected] of [
    ['GenuineIntel', [VECTOR.UD, -1]],
    ['AuthenticAMD', undefined],
  ] as const) {
    const cpu = withSyscall(3, vendor);
    cpu.state.set64(MSR_SLOT.CSTAR, ENTRY + 64n);
    cpu.state.setSegment(SEG.CS, { selector: SEL.userCode32, base: 0n, limit: 0xffff_ffff, attributes: 0xc0fb });
    assert.deepEqual(
      raised(() => syscall(cpu)),
      expected,
    );
    assert.equal(cpu.state.rip, vendor === 'AuthenticAMD' ? ENTRY + 64n : BigInt(AT.code));
  }
});

test('SYSENTER and SYSEXIT use the SYSENTER MSRs, RCX and RDX', () => {
  const cpu = testCpu();
  enterProtectedMode(cpu, 3);
  const { state } = cpu;
  state.set64(MSR_SLOT.SYSENTER_CS, 0x08n);
  state.set64(MSR_SLOT.SYSENTER_ESP, 0x5000n);
  state.set64(MSR_SLOT.SYSENTER_EIP, 0x6000n);
  sysenter(cpu);
  assert.deepEqual([state.rip, state.rsp, state.cpl, state.selector(SEG.CS), state.selector(SEG.SS)], [0x6000n, 0x5000n, 0, 0x08, 0x10]);
  assert.equal(state.get32(S.flags) & FLAG.IF, 0);
  state.setGpr(GPR.RCX, 0x7000n);
  state.setGpr(GPR.RDX, 0x8000n);
  sysexit(cpu, insn({ operandSize: 32 }));
  assert.deepEqual([state.rip, state.rsp, state.cpl, state.selector(SEG.CS), state.selector(SEG.SS)], [0x8000n, 0x7000n, 3, 0x1b, 0x23]);
});

test('SYSENTER with a null CS MSR raises #GP(0)', () => {
  const cpu = testCpu();
  enterProtectedMode(cpu, 3);
  assert.deepEqual(
    raised(() => sysenter(cpu)),
    [VECTOR.GP, 0],
  );
});

test('SWAPGS exchanges GS.base with its MSR at CPL 0 only', () => {
  const cpu = withSyscall(0);
  const { state } = cpu;
  state.set64(S.segBase + 40, 0x7fff_0000_1000n);
  state.set64(MSR_SLOT.KERNEL_GS_BASE, 0xffff_8880_0000_0000n);
  swapgs(cpu);
  assert.deepEqual([state.segBase(SEG.GS), state.get64(MSR_SLOT.KERNEL_GS_BASE)], [0xffff_8880_0000_0000n, 0x7fff_0000_1000n]);
  const user = withSyscall(3);
  assert.deepEqual(
    raised(() => swapgs(user)),
    [VECTOR.GP, 0],
  );
});
