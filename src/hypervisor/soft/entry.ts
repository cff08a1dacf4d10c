import type { Cpu } from '../../x86/interp/cpu.ts';
import { GPR, S, SEG } from '../../x86/state/layout.ts';
import type { EntryState, SegmentState } from '../contract.ts';

/** Puts a CPU that was reset into the state in which a loader hands over to its kernel. */
export function applyEntryState(cpu: Cpu, entry: EntryState): void {
  const { state } = cpu;
  const registers = [
    [GPR.RSP, entry.rsp],
    [GPR.RBP, entry.rbp],
    [GPR.RSI, entry.rsi],
    [GPR.RBX, entry.rbx],
  ] as const;
  for (const [index, value] of registers) state.setGpr(index, BigInt(value));
  state.rip = BigInt(entry.rip);
  state.setRflags(2);
  state.set64(S.cr0, BigInt(entry.cr0));
  state.set64(S.cr3, BigInt(entry.cr3));
  state.set64(S.cr4, BigInt(entry.cr4));
  state.set64(S.efer, BigInt(entry.efer));
  state.set64(S.gdtBase, BigInt(entry.gdt.base));
  state.set32(S.gdtLimit, entry.gdt.limit);
  state.set64(S.idtBase, BigInt(entry.idt.base));
  state.set32(S.idtLimit, entry.idt.limit);
  state.set32(S.cpl, 0);
  state.set32(S.shadow, 0);
  setSegment(cpu, SEG.CS, entry.cs);
  for (const seg of [SEG.DS, SEG.ES, SEG.FS, SEG.GS, SEG.SS]) setSegment(cpu, seg, entry.data);
  setSegment(cpu, SEG.TR, entry.tr);
  cpu.mmu.updateMode();
  cpu.mmu.flushAll();
  cpu.modeChanged();
}

function setSegment(cpu: Cpu, seg: number, value: SegmentState): void {
  cpu.state.setSegment(seg, { ...value, base: BigInt(value.base) });
}
