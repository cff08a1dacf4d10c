import { linearAddressOf } from './addressing.ts';
import type { Instruction } from '../decode/instruction.ts';
import { ACCESS } from '../mmu/access.ts';
import { Mmu } from '../mmu/mmu.ts';
import { type CpuModel, cpuModel } from '../state/cpuid.ts';
import { S, SEG } from '../state/layout.ts';
import { CpuState, FLAG } from '../state/state.ts';
import { CR0, CR4, EFER } from './control-bits.ts';
import { GuestException } from './exception.ts';
import { powerOn } from './power-on.ts';
import type { CpuIo, SystemCpu } from './system-cpu.ts';

/** For tests: a CPU without an interpreter, in little memory. System functions are called on it directly. */
export interface TestCpu extends SystemCpu {
  /** Guest RAM. */
  readonly ram: DataView;
  readonly mmio: { gpa: number; size: number; value?: number }[];
  readonly ports: { port: number; bytes: number; value?: number }[];
  /** What io.tsc() answers. */
  tsc: bigint;
  modeChanges: number;
}

const RAM_BASE = 0x20_0000;
export const RAM_BYTES = 0x40_0000;

export function testCpu(options: Partial<Omit<CpuModel, 'features'>> & { features?: Partial<CpuModel['features']> } = {}): TestCpu {
  const buffer = new ArrayBuffer(RAM_BASE + RAM_BYTES);
  const state = new CpuState(buffer);
  const mmio: TestCpu['mmio'] = [];
  const ports: TestCpu['ports'] = [];
  const bus = {
    mmioRead: (gpa: number, size: 1 | 2 | 4) => {
      mmio.push({ gpa, size });
      return 0x1122_3344 >>> (32 - size * 8);
    },
    mmioWrite: (gpa: number, size: 1 | 2 | 4, value: number) => void mmio.push({ gpa, size, value }),
  };
  const mmu = new Mmu({ buffer, state, ramBytes: RAM_BYTES, ramBase: RAM_BASE, mmio: bus });
  const cpu: TestCpu = {
    state,
    mmu,
    mmio,
    ports,
    tsc: 1_000_000n,
    modeChanges: 0,
    io: testIo(ports, () => cpu.tsc),
    model: cpuModel(options as Parameters<typeof cpuModel>[0]),
    ram: new DataView(buffer, RAM_BASE, RAM_BYTES),
    instructionRip: 0n,
    address: (insn) => linearAddressOf(cpu, insn),
    read: (linear, bytes) => read(cpu, linear, bytes, mmu.privilege()),
    write: (linear, bytes, value) => write(cpu, linear, bytes, value, mmu.privilege()),
    readSystem: (linear, bytes) => read(cpu, linear, bytes, ACCESS.implicit),
    writeSystem: (linear, bytes, value) => write(cpu, linear, bytes, value, ACCESS.implicit),
    requestExit: () => {},
    modeChanged: () => {
      cpu.modeChanges++;
      mmu.selectView();
    },
  };
  powerOn(cpu);
  return cpu;
}

function testIo(ports: TestCpu['ports'], tsc: () => bigint): CpuIo {
  return {
    portRead: (port, bytes) => {
      ports.push({ port, bytes });
      return 0x55aa_55aa & (2 ** (bytes * 8) - 1);
    },
    portWrite: (port, bytes, value) => void ports.push({ port, bytes, value }),
    tsc,
    wallClockNs: () => 1_700_000_000_500_000_000n,
    readApicMsr: (index) => (index === 0x1b ? 0xfee0_0900n : undefined),
    writeApicMsr: () => true,
    hasInterrupt: () => false,
    readTpr: () => 3,
    writeTpr() {},
    random: (into) => void into.fill(0x5a),
  };
}

function read({ mmu }: SystemCpu, linear: bigint, bytes: number, access: number): bigint {
  const [low, high] = halves(linear);
  return bytes === 8 ? mmu.read64(low, high, access) : BigInt(mmu.read(low, high, bytes as 1 | 2 | 4, access));
}

function write({ mmu }: SystemCpu, linear: bigint, bytes: number, value: bigint, access: number): void {
  const [low, high] = halves(linear);
  if (bytes === 8) mmu.write64(low, high, access, value);
  else mmu.write(low, high, bytes as 1 | 2 | 4, access, Number(BigInt.asUintN(32, value)));
}

export function halves(value: bigint): [low: number, high: number] {
  return [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))];
}

/** Where the tests keep their tables, guest-physical. */
export const AT = {
  gdt: 0x1000,
  idt: 0x2000,
  tss: 0x3000,
  ldt: 0x3800,
  pml4: 0x4000,
  pdpt: 0x5000,
  pd: 0x6000,
  pt: 0x7000,
  code: 0x1_0000,
  stack0: 0x2_0000,
  stack3: 0x3_0000,
  ist1: 0x4_0000,
} as const;

/** Selectors of the test GDT, laid out as Linux does it. */
export const SEL = {
  code32: 0x08,
  kernelCode: 0x10,
  kernelData: 0x18,
  userCode32: 0x23,
  userData: 0x2b,
  userCode: 0x33,
  tss: 0x40,
  ldt: 0x50,
  gate: 0x60,
  absent: 0x70,
} as const;

const GDT: readonly (readonly [index: number, value: bigint])[] = [
  [1, 0x00cf_9b00_0000_ffffn],
  [2, 0x00af_9b00_0000_ffffn],
  [3, 0x00cf_9300_0000_ffffn],
  [4, 0x00cf_fb00_0000_ffffn],
  [5, 0x00cf_f300_0000_ffffn],
  [6, 0x00af_fb00_0000_ffffn],
  [14, 0x00af_1b00_0000_ffffn],
];

/** Identity-mapped 4 MiB for all, tables, and CPL 0 in 64-bit mode. */
export function enterLongMode(cpu: TestCpu, cpl: 0 | 3 = 0): void {
  const { ram, state } = cpu;
  ram.setBigUint64(AT.pml4, BigInt(AT.pdpt | 7), true);
  ram.setBigUint64(AT.pdpt, BigInt(AT.pd | 7), true);
  for (let i = 0; i < 2; i++) ram.setBigUint64(AT.pd + i * 8, BigInt((i * 0x20_0000) | 0xe7), true);
  writeTables(cpu);
  state.set64(S.cr3, BigInt(AT.pml4));
  state.set64(S.cr4, BigInt(CR4.PAE | CR4.OSFXSR | CR4.PGE));
  state.set64(S.efer, BigInt(EFER.LME | EFER.LMA | EFER.SCE | EFER.NXE));
  state.set64(S.cr0, BigInt((CR0.PE | CR0.PG | CR0.WP | CR0.ET) >>> 0));
  const dpl = cpl << 5;
  state.setSegment(SEG.CS, {
    selector: cpl === 3 ? SEL.userCode : SEL.kernelCode,
    base: 0n,
    limit: 0xffff_ffff,
    attributes: 0xa09b | dpl,
  });
  state.setSegment(SEG.SS, {
    selector: cpl === 3 ? SEL.userData : SEL.kernelData,
    base: 0n,
    limit: 0xffff_ffff,
    attributes: 0xc093 | dpl,
  });
  finish(cpu, cpl, 0x89);
}

/** 32-bit protected mode without paging. */
export function enterProtectedMode(cpu: TestCpu, cpl: 0 | 3 = 0): void {
  const { state } = cpu;
  writeTables(cpu);
  state.set64(S.cr0, BigInt(CR0.PE | CR0.ET));
  const dpl = cpl << 5;
  state.setSegment(SEG.CS, {
    selector: cpl === 3 ? SEL.userCode32 : SEL.code32,
    base: 0n,
    limit: 0xffff_ffff,
    attributes: 0xc09b | dpl,
  });
  for (const seg of [SEG.SS, SEG.DS, SEG.ES]) {
    state.setSegment(seg, {
      selector: cpl === 3 ? SEL.userData : SEL.kernelData,
      base: 0n,
      limit: 0xffff_ffff,
      attributes: 0xc093 | dpl,
    });
  }
  finish(cpu, cpl, 0x89);
}

function finish(cpu: TestCpu, cpl: number, tssType: number): void {
  const { state } = cpu;
  state.set32(S.cpl, cpl);
  state.setSegment(SEG.TR, { selector: SEL.tss, base: BigInt(AT.tss), limit: 0x67, attributes: tssType | 2 });
  state.set64(S.gdtBase, BigInt(AT.gdt));
  state.set32(S.gdtLimit, 0x7f);
  state.set64(S.idtBase, BigInt(AT.idt));
  state.set32(S.idtLimit, 0xfff);
  state.rip = BigInt(AT.code);
  state.rsp = BigInt(cpl === 3 ? AT.stack3 : AT.stack0);
  state.setRflags(FLAG.fixed | FLAG.IF);
  cpu.mmu.updateMode();
  cpu.mmu.flushAll();
}

function writeTables({ ram }: TestCpu): void {
  for (const [index, value] of GDT) ram.setBigUint64(AT.gdt + index * 8, value, true);
  ram.setBigUint64(AT.gdt + SEL.tss, 0x0000_8900_0000_0067n | (BigInt(AT.tss) << 16n), true);
  ram.setBigUint64(AT.gdt + SEL.ldt, 0x0000_8200_0000_003fn | (BigInt(AT.ldt) << 16n), true);
}

/** A 64-bit gate. */
export function setGate64(cpu: TestCpu, vector: number, gate: { offset: bigint; selector?: number; type?: number; ist?: number; dpl?: number }): void {
  const { offset, selector = SEL.kernelCode, type = 0xe, ist = 0, dpl = 0 } = gate;
  const low =
    (offset & 0xffffn) | (BigInt(selector) << 16n) | (BigInt(ist) << 32n) | (BigInt(0x80 | type | (dpl << 5)) << 40n) | (((offset >> 16n) & 0xffffn) << 48n);
  cpu.ram.setBigUint64(AT.idt + vector * 16, low, true);
  cpu.ram.setBigUint64(AT.idt + vector * 16 + 8, offset >> 32n, true);
}

/** A 16- or 32-bit gate. */
export function setGate32(cpu: TestCpu, vector: number, gate: { offset: number; selector?: number; type?: number; dpl?: number }): void {
  const { offset, selector = SEL.code32, type = 0xe, dpl = 0 } = gate;
  cpu.ram.setUint32(AT.idt + vector * 8, ((offset & 0xffff) | (selector << 16)) >>> 0, true);
  cpu.ram.setUint32(AT.idt + vector * 8 + 4, ((offset & 0xffff_0000) | ((0x80 | type | (dpl << 5)) << 8)) >>> 0, true);
}

/** The quadwords from an address upwards. */
export function quads(cpu: TestCpu, at: number, count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => cpu.ram.getBigUint64(at + i * 8, true));
}

/** What a call raises, as [vector, error code]; undefined when it raises nothing. */
export function raised(call: () => void): [number, number] | undefined {
  try {
    call();
  } catch (error) {
    if (error instanceof GuestException) return [error.vector, error.errorCode];
    throw error;
  }
  return undefined;
}

/** A decoded instruction with only the fields a test cares about. */
export function insn(fields: Partial<Instruction> = {}): Instruction {
  const mode = { bits: 64, stackBits: 64, fpu: 0, cpl3: false } as const;
  return {
    def: { name: 'test', opcode: '90' },
    length: 2,
    mode,
    operandSize: 64,
    addressSize: 64,
    rep: 0,
    lock: false,
    prefix66: false,
    rex: 0,
    segment: -1,
    mod: 3,
    reg: 0,
    rm: 0,
    opcodeReg: 0,
    opcode: 0,
    memory: undefined,
    immediate: 0n,
    immediate2: 0,
    vvvv: 0,
    vexL: 0,
    ...fields,
  };
}

/** A memory operand at a fixed address. */
export function at(displacement: bigint | number): NonNullable<Instruction['memory']> {
  return { base: -1, index: -1, scale: 0, displacement: BigInt(displacement), ripRelative: false, segment: SEG.DS };
}
