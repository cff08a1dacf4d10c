import type { EntryState, SegmentState } from '../contract.ts';
import { kvm_dtable, kvm_regs, kvm_segment, kvm_sregs } from './structs.ts';
import type { KvmVcpuDescriptor } from './vcpu.ts';
import { struct } from './struct.ts';

const DATA_SEGMENTS = ['ds', 'es', 'fs', 'gs', 'ss'] as const;
const NAMES = 'rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags'.split(' ');

/** Puts a processor into the state in which a loader hands over to its kernel. */
export function applyEntryState(vcpu: KvmVcpuDescriptor, entry: EntryState): void {
  const sregs = vcpu.getSregs();
  for (const name of ['cr0', 'cr3', 'cr4', 'efer'] as const) {
    sregs.setBigUint64(kvm_sregs[name], BigInt(entry[name]), true);
  }
  setSegment(sregs, kvm_sregs.cs, entry.cs);
  for (const name of DATA_SEGMENTS) setSegment(sregs, kvm_sregs[name], entry.data);
  setSegment(sregs, kvm_sregs.tr, entry.tr);
  setTable(sregs, kvm_sregs.gdt, entry.gdt);
  setTable(sregs, kvm_sregs.idt, entry.idt);
  vcpu.setSregs(sregs);

  const regs = struct(kvm_regs.size);
  for (const name of ['rip', 'rsp', 'rbp', 'rsi', 'rbx'] as const) {
    regs.setBigUint64(kvm_regs[name], BigInt(entry[name]), true);
  }
  regs.setBigUint64(kvm_regs.rflags, 2n, true);
  vcpu.setRegs(regs);
}

/** Registers in lines of four, then what says in which mode it is. */
export function describeRegisters(vcpu: KvmVcpuDescriptor): string {
  const regs = vcpu.getRegs();
  const sregs = vcpu.getSregs();
  const general = NAMES.map((name) => field(name, regs, kvm_regs[name as keyof typeof kvm_regs]));
  const control = (['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const).map((name) => field(name, sregs, kvm_sregs[name]));
  const cs = sregs.getUint16(kvm_sregs.cs + kvm_segment.selector, true);
  const lines: string[] = [];
  for (let i = 0; i < general.length; i += 4) lines.push(general.slice(i, i + 4).join(' '));
  return [...lines, control.join(' '), `cs 0x${cs.toString(16)}`].join('\n');
}

/** `attributes` has the bits where a descriptor has them; KVM has one field each. */
function setSegment(sregs: DataView, at: number, { selector, base, limit, attributes }: SegmentState): void {
  const bit = (index: number): number => (attributes >> index) & 1;
  sregs.setBigUint64(at + kvm_segment.base, BigInt(base), true);
  sregs.setUint32(at + kvm_segment.limit, limit, true);
  sregs.setUint16(at + kvm_segment.selector, selector, true);
  sregs.setUint8(at + kvm_segment.type, attributes & 15);
  sregs.setUint8(at + kvm_segment.s, bit(4));
  sregs.setUint8(at + kvm_segment.dpl, (attributes >> 5) & 3);
  sregs.setUint8(at + kvm_segment.present, bit(7));
  sregs.setUint8(at + kvm_segment.avl, bit(12));
  sregs.setUint8(at + kvm_segment.l, bit(13));
  sregs.setUint8(at + kvm_segment.db, bit(14));
  sregs.setUint8(at + kvm_segment.g, bit(15));
  sregs.setUint8(at + kvm_segment.unusable, 1 - bit(7));
}

function setTable(sregs: DataView, at: number, { base, limit }: EntryState['gdt']): void {
  sregs.setBigUint64(at + kvm_dtable.base, BigInt(base), true);
  sregs.setUint16(at + kvm_dtable.limit, limit, true);
}

function field(name: string, state: DataView, at: number): string {
  return `${name} ${state.getBigUint64(at, true).toString(16).padStart(16, '0')}`;
}
