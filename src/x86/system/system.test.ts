import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GPR, S, SEG } from '../state/layout.ts';
import { MSR, MSR_SLOT } from '../state/msr.ts';
import { FLAG } from '../state/state.ts';
import { invpcid, lmsw, writeControl, writeCr0, writeCr3 } from './control.ts';
import { CR0, CR4, EFER, SHADOW } from './control-bits.ts';
import { hitsInstructionBreakpoint, needsDebugStepping, readDebug, takesTrap, writeDebug } from './debug.ts';
import { lar, lgdt, lldt, lsl, ltr, sgdt, str, verr, verw } from './descriptor-tables.ts';
import { VECTOR } from './exception.ts';
import { callFar, jumpFar } from './far.ts';
import { cli, popf, pushf, stac, sti } from './flags.ts';
import { clockScale } from './kvm-clock.ts';
import { rdmsr, readMsr, writeMsr, wrmsr } from './msr-access.ts';
import { inPort, inString, outPort, outString } from './port-io.ts';
import { resetToInit, startup, waitForStartup } from './power-on.ts';
import { cpuid, group7Register, hlt, movToSegment, random, rdtsc, segmentBase } from './processor.ts';
import { retFar } from './returns.ts';
import { loadSegment } from './segments.ts';
import { AT, at, enterLongMode, enterProtectedMode, insn, raised, SEL, type TestCpu, testCpu } from './system-harness.ts';

const GP0 = [VECTOR.GP, 0];
const UD = [VECTOR.UD, -1];

function long(cpl: 0 | 3 = 0, options: Parameters<typeof testCpu>[0] = {}): TestCpu {
  const cpu = testCpu(options);
  enterLongMode(cpu, cpl);
  return cpu;
}

function legacy(cpl: 0 | 3 = 0): TestCpu {
  const cpu = testCpu();
  enterProtectedMode(cpu, cpl);
  return cpu;
}

test('a data segment load checks type, privilege and presence', () => {
  const cpu = long(3);
  assert.deepEqual(
    raised(() => loadSegment(cpu, SEG.DS, SEL.kernelData)),
    [VECTOR.GP, SEL.kernelData],
  );
  assert.deepEqual(
    raised(() => loadSegment(cpu, SEG.DS, 0x80)),
    [VECTOR.GP, 0x80],
  ); // beyond the limit
  assert.deepEqual(
    raised(() => loadSegment(cpu, SEG.DS, SEL.tss)),
    [VECTOR.GP, SEL.tss],
  );
  assert.deepEqual(
    raised(() => loadSegment(cpu, SEG.SS, 0)),
    GP0,
  );
  assert.equal(
    raised(() => loadSegment(cpu, SEG.DS, SEL.userData)),
    undefined,
  );
  const kernel = long(0);
  assert.deepEqual(
    raised(() => loadSegment(kernel, SEG.DS, SEL.absent)),
    [VECTOR.NP, SEL.absent],
  );
  assert.equal(
    raised(() => loadSegment(kernel, SEG.SS, 0)),
    undefined,
  ); // null SS is for 64-bit kernels
});

test('a segment load fills base and limit and sets the accessed bit', () => {
  const cpu = legacy();
  cpu.ram.setBigUint64(AT.gdt + 0x78, 0x1240_9234_5678_0fffn, true);
  loadSegment(cpu, SEG.ES, 0x78);
  assert.deepEqual([cpu.state.segBase(SEG.ES), cpu.state.limit(SEG.ES)], [0x1234_5678n, 0xfff]);
  assert.equal(cpu.ram.getUint8(AT.gdt + 0x78 + 5), 0x93);
});

test('a load in real mode sets base and selector and leaves the limit', () => {
  const cpu = testCpu();
  cpu.state.setSegment(SEG.DS, { selector: 0, base: 0n, limit: 0xffff_ffff, attributes: 0x93 });
  loadSegment(cpu, SEG.DS, 0x1234);
  assert.deepEqual([cpu.state.segBase(SEG.DS), cpu.state.limit(SEG.DS)], [0x1_2340n, 0xffff_ffff]);
});

test('MOV to CS raises #UD, and MOV to SS holds interrupts off', () => {
  const cpu = long();
  assert.deepEqual(
    raised(() => movToSegment(cpu, insn({ reg: 1 }))),
    UD,
  );
  cpu.state.setGpr(GPR.RAX, BigInt(SEL.kernelData));
  movToSegment(cpu, insn({ reg: 2 }));
  assert.equal(cpu.state.get32(S.shadow) & SHADOW.interrupts, SHADOW.interrupts);
});

test('CR0 refuses paging without protection and NW without CD', () => {
  const cpu = testCpu();
  assert.deepEqual(
    raised(() => writeCr0(cpu, 0x8000_0010n)),
    GP0,
  );
  assert.deepEqual(
    raised(() => writeCr0(cpu, 0x2000_0011n)),
    GP0,
  );
  assert.deepEqual(
    raised(() => writeCr0(cpu, 0x1_0000_0011n)),
    GP0,
  );
  assert.equal(
    raised(() => writeCr0(cpu, 0x1n)),
    undefined,
  );
  assert.equal(cpu.state.get64(S.cr0), 0x11n); // ET stays
});

test('enabling paging with EFER.LME needs CR4.PAE and sets EFER.LMA', () => {
  const cpu = legacy();
  cpu.state.set64(S.efer, BigInt(EFER.LME));
  assert.deepEqual(
    raised(() => writeCr0(cpu, 0x8000_0011n)),
    GP0,
  );
  cpu.state.set64(S.cr4, BigInt(CR4.PAE));
  writeCr0(cpu, 0x8000_0011n);
  assert.equal(cpu.state.get32(S.efer), EFER.LME | EFER.LMA);
  assert.equal(cpu.mmu.walker.levels, 4);
  writeCr0(cpu, 0x11n); // from compatibility mode
  assert.equal(cpu.state.get32(S.efer), EFER.LME);
});

test('paging cannot be switched off in 64-bit mode', () => {
  const cpu = long();
  assert.deepEqual(
    raised(() => writeCr0(cpu, 0x11n)),
    GP0,
  );
});

test('CR3 refuses bits beyond the physical address', () => {
  const cpu = long();
  assert.deepEqual(
    raised(() => writeCr3(cpu, 1n << 45n)),
    GP0,
  );
  assert.deepEqual(
    raised(() => writeCr3(cpu, 1n << 63n)),
    GP0,
  );
  cpu.state.set32(S.cr4, cpu.state.get32(S.cr4) | CR4.PCIDE);
  assert.equal(
    raised(() => writeCr3(cpu, (1n << 63n) | BigInt(AT.pml4) | 5n)),
    undefined,
  );
  assert.equal(cpu.state.get64(S.cr3), BigInt(AT.pml4) | 5n);
});

test('CR4 refuses bits that CPUID does not claim, and PAE off in IA-32e mode', () => {
  const cpu = long(0, { features: { smap: false } });
  const write = (value: number): unknown => {
    cpu.state.setGpr(GPR.RAX, BigInt(value));
    return raised(() => writeControl(cpu, insn({ reg: 4 })));
  };
  assert.deepEqual(write(CR4.PAE | CR4.SMAP), GP0);
  assert.deepEqual(write(CR4.PGE), GP0);
  assert.equal(write(CR4.PAE | CR4.SMEP), undefined);
});

test('control registers are for CPL 0, and only 0 2 3 4 8 exist', () => {
  assert.deepEqual(
    raised(() => writeControl(long(3), insn({ reg: 3 }))),
    GP0,
  );
  assert.deepEqual(
    raised(() => writeControl(long(), insn({ reg: 5 }))),
    UD,
  );
});

test('LMSW cannot clear PE', () => {
  const cpu = legacy();
  cpu.state.setGpr(GPR.RAX, 0x8n);
  lmsw(cpu, insn());
  assert.equal(cpu.state.get32(S.cr0) & 0xf, CR0.PE | CR0.TS);
});

test('INVPCID refuses types above 3 and foreign PCIDs without CR4.PCIDE', () => {
  const cpu = long();
  const run = (type: bigint, pcid: bigint): unknown => {
    cpu.ram.setBigUint64(0x9000, pcid, true);
    cpu.state.setGpr(GPR.RAX, type);
    return raised(() => invpcid(cpu, insn({ memory: at(0x9000) })));
  };
  assert.deepEqual([run(4n, 0n), run(0n, 1n), run(2n, 0n), run(0n, 0n)], [GP0, GP0, undefined, undefined]);
});

test('PUSHF hides RF and VM, and POPF at CPL 3 keeps IF and IOPL', () => {
  const cpu = long(3);
  const { state } = cpu;
  state.setRflags(FLAG.fixed | FLAG.IF | FLAG.RF | FLAG.CF);
  pushf(cpu, insn());
  assert.equal(cpu.ram.getBigUint64(AT.stack3 - 8, true), BigInt(FLAG.fixed | FLAG.IF | FLAG.CF));
  cpu.ram.setBigUint64(AT.stack3 - 8, BigInt(FLAG.IOPL | FLAG.ZF | FLAG.DF), true);
  popf(cpu, insn());
  assert.deepEqual([state.rflags(), state.rsp], [FLAG.fixed | FLAG.IF | FLAG.ZF | FLAG.DF | FLAG.RF, BigInt(AT.stack3)]);
});

test('a 16-bit POPF changes the low half only', () => {
  const cpu = long();
  cpu.state.setRflags(FLAG.fixed | FLAG.ID);
  cpu.ram.setUint16(AT.stack0, 0x0ed7, true);
  popf(cpu, insn({ operandSize: 16 }));
  assert.deepEqual([cpu.state.rflags(), cpu.state.rsp], [FLAG.ID | 0xed7, BigInt(AT.stack0 + 2)]);
});

test('STI opens interrupts after the next instruction, once', () => {
  const cpu = long();
  cpu.state.setRflags(FLAG.fixed);
  sti(cpu);
  assert.equal(cpu.state.get32(S.shadow), SHADOW.interrupts);
  cpu.state.set32(S.shadow, 0);
  sti(cpu);
  assert.equal(cpu.state.get32(S.shadow), 0);
});

test('CLI above IOPL raises #GP(0)', () => {
  assert.deepEqual(
    raised(() => cli(long(3))),
    GP0,
  );
});

test('STAC is undefined above CPL 0 and without SMAP', () => {
  assert.deepEqual(
    raised(() => stac(long(3))),
    UD,
  );
  assert.deepEqual(
    raised(() => stac(long(0, { features: { smap: false } }))),
    UD,
  );
});

test('HLT is for CPL 0 and marks the CPU halted', () => {
  assert.deepEqual(
    raised(() => hlt(long(3))),
    GP0,
  );
  const cpu = long();
  hlt(cpu);
  assert.equal(cpu.state.get32(S.shadow), SHADOW.halted);
});

test('LTR loads a 16-byte descriptor and makes it busy; a busy one raises #GP', () => {
  const cpu = long();
  cpu.ram.setBigUint64(AT.gdt + SEL.tss + 8, 0xffff_8000n, true);
  cpu.state.setGpr(GPR.RAX, BigInt(SEL.tss));
  ltr(cpu, insn());
  assert.deepEqual([cpu.state.segBase(SEG.TR), cpu.state.limit(SEG.TR)], [0xffff_8000_0000_3000n, 0x67]);
  assert.deepEqual(
    raised(() => ltr(cpu, insn())),
    [VECTOR.GP, SEL.tss],
  );
  str(cpu, insn({ rm: GPR.RCX }));
  assert.equal(cpu.state.gpr(GPR.RCX), BigInt(SEL.tss));
});

test('LLDT accepts a null selector and local descriptors come from it', () => {
  const cpu = legacy();
  cpu.state.setGpr(GPR.RAX, BigInt(SEL.ldt));
  lldt(cpu, insn());
  cpu.ram.setBigUint64(AT.ldt + 8, 0x00cf_9300_0000_ffffn, true);
  assert.equal(
    raised(() => loadSegment(cpu, SEG.ES, 0x0c)),
    undefined,
  );
  cpu.state.setGpr(GPR.RAX, 0n);
  lldt(cpu, insn());
  assert.deepEqual(
    raised(() => loadSegment(cpu, SEG.ES, 0x0c)),
    [VECTOR.GP, 0x0c],
  );
});

test('LGDT and SGDT move ten bytes in 64-bit mode', () => {
  const cpu = long();
  cpu.ram.setUint16(0x9000, 0x7f, true);
  cpu.ram.setBigUint64(0x9002, 0xffff_8000_0000_1000n, true);
  lgdt(cpu, insn({ memory: at(0x9000) }));
  sgdt(cpu, insn({ memory: at(0x9100) }));
  assert.deepEqual([cpu.ram.getUint16(0x9100, true), cpu.ram.getBigUint64(0x9102, true)], [0x7f, 0xffff_8000_0000_1000n]);
});

test('UMIP keeps SGDT from user code', () => {
  const cpu = long(3);
  assert.equal(
    raised(() => sgdt(cpu, insn({ memory: at(0x9000) }))),
    undefined,
  );
  cpu.state.set32(S.cr4, cpu.state.get32(S.cr4) | CR4.UMIP);
  assert.deepEqual(
    raised(() => sgdt(cpu, insn({ memory: at(0x9000) }))),
    GP0,
  );
});

test('LAR, LSL, VERR and VERW tell in ZF what user code may see', () => {
  const cpu = long(3);
  const zero = (): boolean => (cpu.state.rflags() & FLAG.ZF) !== 0;
  const run = (op: typeof lar, selector: number): boolean => {
    cpu.state.setGpr(GPR.RAX, BigInt(selector));
    op(cpu, insn({ reg: GPR.RCX, operandSize: 32 }));
    return zero();
  };
  assert.deepEqual([run(lar, SEL.userData), run(lar, SEL.kernelData), run(lar, 0)], [true, false, false]);
  run(lsl, SEL.userData);
  assert.equal(cpu.state.gpr(GPR.RCX), 0xffff_ffffn);
  assert.deepEqual([run(verr, SEL.userCode), run(verw, SEL.userCode), run(verw, SEL.userData)], [true, false, true]);
});

test('unknown MSRs raise #GP(0) and leave registers alone', () => {
  const cpu = long();
  cpu.state.setGpr(GPR.RCX, 0x1234_5678n);
  assert.deepEqual([raised(() => rdmsr(cpu)), raised(() => wrmsr(cpu))], [GP0, GP0]);
});

test('MSRs above CPL 0 raise #GP(0)', () => {
  const cpu = long(3);
  cpu.state.setGpr(GPR.RCX, BigInt(MSR.IA32_TSC));
  assert.deepEqual(
    raised(() => rdmsr(cpu)),
    GP0,
  );
});

test('address MSRs refuse non-canonical values, PAT refuses reserved types', () => {
  const cpu = long();
  assert.equal(writeMsr(cpu, MSR.IA32_LSTAR, 0x8000_0000_0000n), false);
  assert.equal(writeMsr(cpu, MSR.IA32_PAT, 0x0000_0000_0000_0002n), false);
  assert.equal(writeMsr(cpu, MSR.IA32_PAT, 0x0407_0506_0007_0106n), true);
});

test('WRMSR of FS base and RDFSBASE see the same register', () => {
  const cpu = long();
  writeMsr(cpu, MSR.IA32_FS_BASE, 0x7fff_1234_0000n);
  assert.deepEqual(
    raised(() => segmentBase(cpu, insn({ reg: 0, rm: GPR.RAX }))),
    UD,
  ); // CR4.FSGSBASE is off
  cpu.state.set32(S.cr4, cpu.state.get32(S.cr4) | CR4.FSGSBASE);
  segmentBase(cpu, insn({ reg: 0, rm: GPR.RAX }));
  assert.equal(cpu.state.gpr(GPR.RAX), 0x7fff_1234_0000n);
});

test('EFER.LME cannot change while paging is on, and LMA is read-only', () => {
  const cpu = long();
  assert.equal(writeMsr(cpu, MSR.IA32_EFER, BigInt(EFER.SCE)), false);
  assert.equal(writeMsr(cpu, MSR.IA32_EFER, BigInt(EFER.LME | EFER.SCE)), true);
  assert.equal(cpu.state.get32(S.efer), EFER.LME | EFER.LMA | EFER.SCE);
});

test('writing the TSC moves TSC_ADJUST with it', () => {
  const cpu = long();
  writeMsr(cpu, MSR.IA32_TSC, 5_000_000n);
  assert.deepEqual([readMsr(cpu, MSR.IA32_TSC), readMsr(cpu, MSR.IA32_TSC_ADJUST)], [5_000_000n, 4_000_000n]);
  rdtsc(cpu);
  assert.equal(cpu.state.gpr(GPR.RAX), 5_000_000n);
});

test('RDTSC above CPL 0 obeys CR4.TSD', () => {
  const cpu = long(3);
  cpu.state.set32(S.cr4, cpu.state.get32(S.cr4) | CR4.TSD);
  assert.deepEqual(
    raised(() => rdtsc(cpu)),
    GP0,
  );
});

test('kvmclock publishes TSC, time and scale with an even version', () => {
  const cpu = long(0, { tscHz: 2_000_000_000 });
  assert.equal(writeMsr(cpu, MSR.KVM_SYSTEM_TIME_NEW, 0x9001n), true);
  const { ram } = cpu;
  assert.deepEqual([ram.getUint32(0x9000, true), ram.getBigUint64(0x9008, true), ram.getBigUint64(0x9010, true)], [2, 1_000_000n, 500_000n]);
  assert.deepEqual([ram.getUint32(0x9018, true), ram.getInt8(0x901c), ram.getUint8(0x901d)], [0x8000_0000, 0, 1]);
});

test('the clock scale turns ticks into nanoseconds within a millionth', () => {
  for (const hz of [24_000_000, 999_999_999, 1_000_000_000, 2_600_000_000, 5_123_456_789]) {
    const { mul, shift } = clockScale(hz);
    const second = (BigInt(hz) * BigInt(2 ** Math.max(shift, 0))) / BigInt(2 ** Math.max(-shift, 0));
    const ns = Number((second * BigInt(mul)) >> 32n);
    assert.ok(Math.abs(ns - 1e9) < 1e3, `${hz}: ${ns}`);
    assert.ok(mul >= 0x8000_0000, `${hz}: ${mul}`);
  }
});

test('the KVM wall clock is the time at which system time was zero', () => {
  const cpu = long(0, { tscHz: 1_000_000_000 });
  cpu.tsc = 2_500_000_000n;
  writeMsr(cpu, MSR.KVM_WALL_CLOCK_NEW, 0x9000n);
  assert.deepEqual([cpu.ram.getUint32(0x9004, true), cpu.ram.getUint32(0x9008, true)], [1_699_999_998, 0]);
});

test('a kvmclock address outside RAM is ignored', () => {
  const cpu = long();
  assert.equal(writeMsr(cpu, MSR.KVM_SYSTEM_TIME_NEW, 0xffff_ffff_ffff_f001n), true);
});

test('VMCALL answers "no such hypercall" instead of raising #UD', () => {
  const cpu = long();
  group7Register(cpu, insn({ reg: 0, rm: 1 }));
  assert.equal(BigInt.asIntN(64, cpu.state.gpr(GPR.RAX)), -1000n);
});

test('MONITOR, MWAIT, VMLAUNCH and VMRUN raise #UD', () => {
  const cpu = long();
  for (const [reg, rm] of [
    [1, 0],
    [1, 1],
    [0, 2],
    [3, 0],
  ] as const)
    assert.deepEqual(
      raised(() => group7Register(cpu, insn({ reg, rm }))),
      UD,
    );
});

test('CPUID clears the upper halves and shows OSXSAVE as CR4 has it', () => {
  const cpu = long();
  cpu.state.setGpr(GPR.RAX, 0xffff_ffff_0000_0001n);
  cpu.state.setGpr(GPR.RBX, -1n);
  cpu.state.set32(S.cr4, cpu.state.get32(S.cr4) | CR4.OSXSAVE);
  cpuid(cpu);
  assert.equal(cpu.state.gpr(GPR.RBX) >> 32n, 0n);
  assert.equal((cpu.state.gpr(GPR.RCX) >> 27n) & 1n, 1n);
});

test('RDRAND succeeds: CF is 1 and the other arithmetic flags are 0', () => {
  const cpu = long();
  cpu.state.setRflags(FLAG.fixed | FLAG.ZF | FLAG.OF);
  random('rdrand')(cpu, insn({ operandSize: 32 }));
  assert.deepEqual([cpu.state.gpr(GPR.RAX), cpu.state.rflags()], [0x5a5a_5a5an, FLAG.fixed | FLAG.CF]);
});

test('ports are free at CPL 0', () => {
  const cpu = long();
  cpu.state.setGpr(GPR.RDX, 0x3f8n);
  cpu.state.setGpr(GPR.RAX, 0x1234_5678n);
  outPort(cpu, insn({ opcode: 0xee }));
  inPort(cpu, insn({ opcode: 0xe5, immediate: -1n, operandSize: 32 }));
  assert.deepEqual(cpu.ports, [
    { port: 0x3f8, bytes: 1, value: 0x78 },
    { port: 0xff, bytes: 4 },
  ]);
  assert.equal(cpu.state.gpr(GPR.RAX), 0x55aa_55aan);
});

test('above IOPL the I/O permission bitmap decides', () => {
  const cpu = long(3);
  cpu.state.setSegment(SEG.TR, { selector: SEL.tss, base: BigInt(AT.tss), limit: 0x68 + 0x100, attributes: 0x8b });
  cpu.ram.setUint16(AT.tss + 102, 0x68, true);
  cpu.ram.setUint8(AT.tss + 0x68 + 0x80 / 8, 0b10);
  const out = (port: number, opcode: number): unknown => raised(() => outPort(cpu, insn({ opcode, immediate: BigInt(port), operandSize: 32 })));
  assert.deepEqual([out(0x80, 0xe6), out(0x81, 0xe6), out(0x7e, 0xe7)], [undefined, GP0, GP0]);
});

test('without a bitmap user code has no ports', () => {
  const cpu = long(3);
  cpu.ram.setUint16(AT.tss + 102, 0x8000, true);
  assert.deepEqual(
    raised(() => inPort(cpu, insn({ opcode: 0xec }))),
    GP0,
  );
});

test('REP INSB stores each byte and counts RCX down', () => {
  const cpu = long();
  cpu.state.setGpr(GPR.RDX, 0x10n);
  cpu.state.setGpr(GPR.RCX, 3n);
  cpu.state.setGpr(GPR.RDI, 0x9000n);
  inString(cpu, insn({ opcode: 0x6c, rep: 0xf3 }));
  assert.deepEqual([cpu.state.gpr(GPR.RCX), cpu.state.gpr(GPR.RDI), cpu.ram.getUint32(0x9000, true)], [0n, 0x9003n, 0xaaaaaa]);
});

test('REP INSB into an absent page reads no port', () => {
  const cpu = long();
  cpu.state.setGpr(GPR.RCX, 3n);
  cpu.state.setGpr(GPR.RDI, 0x7000_0000n);
  assert.deepEqual(
    raised(() => inString(cpu, insn({ opcode: 0x6c, rep: 0xf3 }))),
    [VECTOR.PF, 2],
  );
  assert.deepEqual(cpu.ports, []);
});

test('a long REP OUTSB restarts itself so that interrupts get in', () => {
  const cpu = long();
  cpu.state.setGpr(GPR.RCX, 5000n);
  cpu.state.setGpr(GPR.RSI, 0x9000n);
  cpu.state.rip = 0x1_0002n;
  outString(cpu, insn({ opcode: 0x6e, rep: 0xf3, length: 2 }));
  assert.deepEqual([cpu.state.rip, cpu.state.gpr(GPR.RCX)], [0x1_0000n, 5000n - 1024n]);
});

test('a far jump goes from compatibility to 64-bit code', () => {
  const cpu = long();
  cpu.state.setSegment(SEG.CS, { selector: SEL.code32, base: 0n, limit: 0xffff_ffff, attributes: 0xc09b });
  jumpFar(cpu, { selector: SEL.kernelCode, offset: 0x1_2345n, width: 4 });
  assert.deepEqual([cpu.state.rip, cpu.state.selector(SEG.CS), cpu.state.attributes(SEG.CS) & 0x2000], [0x1_2345n, SEL.kernelCode, 0x2000]);
});

test('a far jump to another privilege raises #GP with the selector', () => {
  assert.deepEqual(
    raised(() => jumpFar(long(), { selector: SEL.userCode, offset: 0n, width: 8 })),
    [VECTOR.GP, SEL.userCode & ~3],
  );
});

test('a far call and far return are inverse', () => {
  const cpu = legacy();
  cpu.state.rip = 0x1_0007n;
  callFar(cpu, { selector: SEL.code32, offset: 0x1_1000n, width: 4 });
  assert.deepEqual([cpu.state.rip, cpu.state.rsp], [0x1_1000n, BigInt(AT.stack0 - 8)]);
  retFar(cpu, insn({ operandSize: 32 }), 0);
  assert.deepEqual([cpu.state.rip, cpu.state.rsp], [0x1_0007n, BigInt(AT.stack0)]);
});

test('a 64-bit call gate takes user code to CPL 0 and RETF brings it back', () => {
  const cpu = long(3);
  cpu.ram.setBigUint64(AT.tss + 4, BigInt(AT.stack0), true);
  cpu.ram.setBigUint64(AT.gdt + SEL.gate, 0x0001_ec00_0010_2000n, true);
  cpu.ram.setBigUint64(AT.gdt + SEL.gate + 8, 0n, true);
  cpu.state.rip = 0x1_0007n;
  callFar(cpu, { selector: SEL.gate | 3, offset: 0n, width: 8 });
  assert.deepEqual([cpu.state.rip, cpu.state.cpl, cpu.state.rsp], [0x1_2000n, 0, BigInt(AT.stack0 - 32)]);
  retFar(cpu, insn(), 0);
  assert.deepEqual([cpu.state.rip, cpu.state.cpl, cpu.state.rsp, cpu.state.selector(SEG.SS)], [0x1_0007n, 3, BigInt(AT.stack3), SEL.userData]);
});

test('an instruction breakpoint hits its address once, and RF lets it pass', () => {
  const cpu = long();
  const { state } = cpu;
  state.setGpr(GPR.RAX, 0x1_0000n);
  writeDebug(cpu, insn({ reg: 0 }));
  state.setGpr(GPR.RAX, 1n);
  writeDebug(cpu, insn({ reg: 7 }));
  assert.equal(needsDebugStepping(state), true);
  assert.deepEqual([hitsInstructionBreakpoint(state, 0x1_0001n), hitsInstructionBreakpoint(state, 0x1_0000n)], [false, true]);
  assert.equal(state.get64(S.dr + 48), 0xffff_0ff1n);
  state.set32(S.flags, state.get32(S.flags) | FLAG.RF);
  assert.equal(hitsInstructionBreakpoint(state, 0x1_0000n), false);
});

test('a single step reports BS in DR6', () => {
  const cpu = long();
  assert.equal(takesTrap(cpu.state, false), false);
  assert.equal(takesTrap(cpu.state, true), true);
  assert.equal(cpu.state.get64(S.dr + 48), 0xffff_4ff0n);
});

test('DR4 is DR6 unless CR4.DE is set', () => {
  const cpu = long();
  readDebug(cpu, insn({ reg: 4, rm: GPR.RCX }));
  assert.equal(cpu.state.gpr(GPR.RCX), 0xffff_0ff0n);
  cpu.state.set32(S.cr4, cpu.state.get32(S.cr4) | CR4.DE);
  assert.deepEqual(
    raised(() => readDebug(cpu, insn({ reg: 4 }))),
    UD,
  );
});

test('INIT keeps vectors, and a startup IPI begins in real mode at its page', () => {
  const cpu = long();
  cpu.state.bytes.fill(0x77, S.xmm, S.xmm + 16);
  assert.equal(startup(cpu, 0x9a), false);
  waitForStartup(cpu);
  assert.equal(startup(cpu, 0x9a), true);
  assert.deepEqual([cpu.state.segBase(SEG.CS), cpu.state.rip, cpu.state.get32(S.cr0) & CR0.PE], [0x9_a000n, 0n, 0]);
  assert.equal(cpu.state.bytes[S.xmm], 0x77);
});

test('reset starts at the reset vector in real mode', () => {
  const cpu = long();
  resetToInit(cpu);
  assert.deepEqual([cpu.state.segBase(SEG.CS) + cpu.state.rip, cpu.state.rflags(), cpu.state.gpr(GPR.RDX)], [0xffff_fff0n, 2, 0x606a6n]);
  assert.equal(cpu.state.get64(MSR_SLOT.PAT), 0x0007_0406_0007_0406n);
});
