import type { Instruction } from '../decode/instruction.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import { cpuid as cpuidLeaf } from '../state/cpuid.ts';
import { MSR_SLOT } from '../state/msr.ts';
import { FLAG } from '../state/state.ts';
import { isNonCanonical } from './canonical.ts';
import { CR4, SHADOW } from './control-bits.ts';
import { SOURCE, softwareInterrupt } from './delivery.ts';
import { gp, ud, VECTOR } from './exception.ts';
import { checkUmip, clac, requireCpl0, stac } from './flags.ts';
import { guestTsc, hypercallResult } from './kvm-clock.ts';
import { memoryAddress, writeGpr, writeHalves } from './operands.ts';
import { is64, isProtected, loadSegment } from './segments.ts';
import { currentStack } from './stack.ts';
import type { SystemCpu } from './system-cpu.ts';
import { checkV86Iopl } from './v86.ts';
import { xgetbv, xsetbv } from './xsave.ts';

export function undefinedInstruction(): never {
  throw ud();
}

/** @spec SDM-2A "CPUID" */
export function cpuid(cpu: SystemCpu): void {
  const { state } = cpu;
  const osxsave = (state.get32(S.cr4) & CR4.OSXSAVE) !== 0;
  const xsaveBytes = state.get32(S.xcr0) & 4 ? 832 : 576;
  const leaf = state.get32(S.gpr + GPR.RAX * 8) >>> 0;
  const [eax, ebx, ecx, edx] = cpuidLeaf(cpu.model, { osxsave, xsaveBytes }, leaf, state.get32(S.gpr + GPR.RCX * 8) >>> 0);
  writeHalves(state, GPR.RAX, eax, 0);
  writeHalves(state, GPR.RBX, ebx, 0);
  writeHalves(state, GPR.RCX, ecx, 0);
  writeHalves(state, GPR.RDX, edx, 0);
}

/** @spec SDM-2B "RDTSC" */
export function rdtsc(cpu: SystemCpu): void {
  const { state } = cpu;
  if ((state.get32(S.cr4) & CR4.TSD) !== 0 && state.cpl !== 0) throw gp(0);
  const now = guestTsc(cpu);
  writeHalves(state, GPR.RAX, Number(BigInt.asIntN(32, now)), 0);
  writeHalves(state, GPR.RDX, Number(BigInt.asIntN(32, now >> 32n)), 0);
}

export function rdtscp(cpu: SystemCpu): void {
  if (!cpu.model.features.rdtscp) throw ud();
  rdtsc(cpu);
  writeHalves(cpu.state, GPR.RCX, cpu.state.get32(MSR_SLOT.TSC_AUX), 0);
}

/** There are no performance counters. */
export function rdpmc(): void {
  throw gp(0);
}

export function rdpid(cpu: SystemCpu, insn: Instruction): void {
  if (!cpu.model.features.rdpid) throw ud();
  writeHalves(cpu.state, insn.rm, cpu.state.get32(MSR_SLOT.TSC_AUX), 0);
}

/** The run loop sees the bit and waits for an interrupt. */
export function hlt(cpu: SystemCpu): void {
  requireCpl0(cpu.state);
  cpu.state.set32(S.shadow, cpu.state.get32(S.shadow) | SHADOW.halted);
}

/** INVD, WBINVD: there are no caches to write back. */
export function flushCaches(cpu: SystemCpu): void {
  requireCpl0(cpu.state);
}

/** CLFLUSH, CLFLUSHOPT, CLWB fault as a load of one byte does. */
export function flushLine(cpu: SystemCpu, insn: Instruction): void {
  cpu.read(memoryAddress(cpu, insn), 1);
}

/** On the way into and out of every system call: halves. */
export function swapgs(cpu: SystemCpu): void {
  const { state } = cpu;
  if (!is64(state)) throw ud();
  if (state.cpl !== 0) throw gp(0);
  const base = S.segBase + SEG.GS * 8;
  const low = state.get32(base);
  const high = state.get32(base + 4);
  state.set32(base, state.get32(MSR_SLOT.KERNEL_GS_BASE));
  state.set32(base + 4, state.get32(MSR_SLOT.KERNEL_GS_BASE + 4));
  state.set32(MSR_SLOT.KERNEL_GS_BASE, low);
  state.set32(MSR_SLOT.KERNEL_GS_BASE + 4, high);
}

/** RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE: ModRM.reg 0 to 3. @spec SDM-2B "RDFSBASE" */
export function segmentBase(cpu: SystemCpu, insn: Instruction): void {
  const { state } = cpu;
  if (!is64(state) || (state.get32(S.cr4) & CR4.FSGSBASE) === 0) throw ud();
  const seg = insn.reg & 1 ? SEG.GS : SEG.FS;
  const slot = S.segBase + seg * 8;
  const bytes = insn.operandSize === 64 ? 8 : 4;
  if ((insn.reg & 2) === 0) {
    writeGpr(state, insn.rm, bytes, state.get64(slot));
    return;
  }
  const value = BigInt.asUintN(bytes * 8, state.gpr(insn.rm));
  if (isNonCanonical(value)) throw gp(0);
  state.set64(slot, value);
}

/** 0F 01 with a register in ModRM.rm: ModRM is a third opcode byte. @spec SDM-2D table A-6 group 7 */
export function group7Register(cpu: SystemCpu, insn: Instruction): void {
  const known = GROUP7.get(0xc0 | ((insn.reg & 7) << 3) | (insn.rm & 7));
  if (known === undefined) throw ud();
  known(cpu);
}

/** VMCALL and VMMCALL exist under the KVM interface; all other virtualisation instructions do not. */
function hypercall(cpu: SystemCpu): void {
  if (!cpu.model.features.hypervisor) throw ud();
  cpu.state.setGpr(GPR.RAX, hypercallResult(cpu));
}

/** SERIALIZE: code that was written takes effect at once here anyway. @spec SDM-2B "SERIALIZE" */
function serialize(cpu: SystemCpu): void {
  if (!cpu.model.features.serialize) throw ud();
}

/** By the third opcode byte. */
const GROUP7: ReadonlyMap<number, (cpu: SystemCpu) => void> = new Map([
  [0xc1, hypercall], // VMCALL
  [0xca, clac],
  [0xcb, stac],
  [0xd0, xgetbv],
  [0xd1, xsetbv],
  [0xd9, hypercall], // VMMCALL
  [0xe8, serialize],
  [0xf8, swapgs],
  [0xf9, rdtscp],
]);

/** CR4.UMIP guards an instruction that user code could run otherwise. */
export function withUmip(run: (cpu: SystemCpu, insn: Instruction) => void): (cpu: SystemCpu, insn: Instruction) => void {
  return (cpu, insn) => {
    checkUmip(cpu.state);
    run(cpu, insn);
  };
}

/** INT n. */
export function intN(cpu: SystemCpu, insn: Instruction): void {
  checkV86Iopl(cpu.state);
  softwareInterrupt(cpu, Number(insn.immediate & 0xffn));
}

export function int3(cpu: SystemCpu): void {
  softwareInterrupt(cpu, VECTOR.BP);
}

/** INT1 passes the gate's privilege check like a hardware event. Breakpoints that a MOV SS before it met are not reported again. */
export function int1(cpu: SystemCpu): void {
  cpu.state.set32(S.breaks, 0);
  softwareInterrupt(cpu, VECTOR.DB, SOURCE.external);
}

export function into(cpu: SystemCpu): void {
  if ((cpu.state.rflags() & FLAG.OF) !== 0) softwareInterrupt(cpu, VECTOR.OF);
}

/** MOV Sreg, r/m16. Loading SS keeps interrupts away for one instruction. @spec SDM-2B "MOV" */
export function movToSegment(cpu: SystemCpu, insn: Instruction): void {
  const seg = insn.reg & 7;
  if (seg === SEG.CS || seg > SEG.GS) throw ud();
  const selector = insn.memory !== undefined ? Number(cpu.read(cpu.address(insn), 2)) : cpu.state.get32(insn.rm * 8) & 0xffff;
  loadSegment(cpu, seg, selector);
  afterSegmentLoad(cpu, seg);
}

/** MOV r/m, Sreg: zero-extended into a register, 16 bits into memory. */
export function movFromSegment(cpu: SystemCpu, insn: Instruction): void {
  const seg = insn.reg & 7;
  if (seg > SEG.GS) throw ud();
  const selector = BigInt(cpu.state.selector(seg));
  if (insn.memory !== undefined) cpu.write(cpu.address(insn), 2, selector);
  else writeGpr(cpu.state, insn.rm, (insn.operandSize / 8) as 2 | 4 | 8, selector);
}

export function popSegment(seg: number): (cpu: SystemCpu, insn: Instruction) => void {
  return (cpu, insn) => {
    const stack = currentStack(cpu);
    const selector = Number(stack.pop(insn.operandSize / 8) & 0xffffn);
    loadSegment(cpu, seg, selector);
    stack.store();
    afterSegmentLoad(cpu, seg);
  };
}

export function pushSegment(seg: number): (cpu: SystemCpu, insn: Instruction) => void {
  return (cpu, insn) => {
    const stack = currentStack(cpu);
    stack.push(BigInt(cpu.state.selector(seg)), insn.operandSize / 8);
    stack.store();
  };
}

/** LDS and its kin: offset into a register, selector into a segment. @spec SDM-2A "LDS/LES/LFS/LGS/LSS" */
export function loadFar(seg: number): (cpu: SystemCpu, insn: Instruction) => void {
  return (cpu, insn) => {
    const at = memoryAddress(cpu, insn);
    const bytes = (insn.operandSize / 8) as 2 | 4 | 8;
    const offset = cpu.read(at, bytes);
    const selector = Number(cpu.read(at + BigInt(bytes), 2));
    loadSegment(cpu, seg, selector);
    writeGpr(cpu.state, insn.reg, bytes, offset);
    afterSegmentLoad(cpu, seg);
  };
}

function afterSegmentLoad(cpu: SystemCpu, seg: number): void {
  if (seg !== SEG.SS) return;
  cpu.state.set32(S.shadow, cpu.state.get32(S.shadow) | SHADOW.interrupts | SHADOW.debug);
  if (!is64(cpu.state) || !isProtected(cpu.state)) cpu.modeChanged();
}

const randomBytes = new Uint8Array(8);

/** RDRAND, RDSEED: always succeed, so CF is 1 and the other arithmetic flags are 0. @spec SDM-2B "RDRAND" */
export function random(feature: 'rdrand' | 'rdseed'): (cpu: SystemCpu, insn: Instruction) => void {
  return (cpu, insn) => {
    if (!cpu.model.features[feature]) throw ud();
    const { state } = cpu;
    cpu.io.random(randomBytes);
    const value = new DataView(randomBytes.buffer).getBigUint64(0, true);
    writeGpr(state, insn.rm, (insn.operandSize / 8) as 2 | 4 | 8, value);
    state.setRflags(state.get32(S.flags) | FLAG.CF);
  };
}
