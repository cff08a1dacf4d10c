import { SHADOW } from './control-bits.ts';
import { GPR, S, SEG } from '../state/layout.ts';
import { MSR_SLOT } from '../state/msr.ts';
import { FLAG } from '../state/state.ts';
import type { SystemCpu } from './system-cpu.ts';
import { initX87 } from './xsave-image.ts';

/** Present, writable data / readable code, accessed. */
const REAL_DATA = 0x93;
const REAL_CODE = 0x9b;
const PAT_RESET = 0x0007_0406_0007_0406n;
/** Fast string operations; no branch trace store and no precise event sampling. */
const MISC_ENABLE_RESET = 0x1801n;
/** MTRRs enabled, default type write-back. Nothing else plays firmware here, and Linux would complain about MTRRs that are off. */
const MTRR_BY_FIRMWARE = 0x806n;

/** The state after power-on, before a loader's registers. @spec SDM-3A §9.1.1 table 9-1 */
export function powerOn(cpu: SystemCpu): void {
  const { state } = cpu;
  state.bytes.fill(0, S.gpr, S.ea);
  state.bytes.fill(0, S.segBase, S.pc);
  state.bytes.fill(0, S.xmm, S.scratch);
  initX87(state);
  state.set32(S.fcw, 0x40);
  state.set32(S.mxcsr, 0x1f80);
  state.set64(S.xcr0, 1n);
  state.set64(MSR_SLOT.PAT, PAT_RESET);
  state.set64(MSR_SLOT.MISC_ENABLE, MISC_ENABLE_RESET);
  state.set64(MSR_SLOT.FEATURE_CONTROL, 1n);
  state.set64(MSR_SLOT.MTRR_DEF_TYPE, MTRR_BY_FIRMWARE);
  resetToInit(cpu);
  state.set64(S.cr0, 0x6000_0010n);
  cpu.mmu.updateMode();
  cpu.modeChanged();
}

/**
 * What INIT does: x87, SSE, XCR0, most MSRs and the TSC stay. CR0.CD and NW keep their values.
 * @spec SDM-3A §9.1.1 table 9-1, column INIT
 */
export function resetToInit(cpu: SystemCpu): void {
  const { state } = cpu;
  state.bytes.fill(0, S.gpr, S.rip);
  state.setGpr(GPR.RDX, BigInt(signatureOf(cpu)));
  state.setRflags(FLAG.fixed);
  state.rip = 0xfff0n;
  state.setSegment(SEG.CS, { selector: 0xf000, base: 0xffff_0000n, limit: 0xffff, attributes: REAL_CODE });
  for (const seg of [SEG.ES, SEG.SS, SEG.DS, SEG.FS, SEG.GS]) {
    state.setSegment(seg, { selector: 0, base: 0n, limit: 0xffff, attributes: REAL_DATA });
  }
  state.setSegment(SEG.LDTR, { selector: 0, base: 0n, limit: 0xffff, attributes: 0x82 });
  state.setSegment(SEG.TR, { selector: 0, base: 0n, limit: 0xffff, attributes: 0x8b });
  for (const table of [S.gdtBase, S.idtBase]) state.set64(table, 0n);
  for (const limit of [S.gdtLimit, S.idtLimit]) state.set32(limit, 0xffff);
  state.set64(S.cr0, (state.get64(S.cr0) & 0x6000_0000n) | 0x10n);
  for (const register of [S.cr2, S.cr3, S.cr4, S.cr8, S.efer]) state.set64(register, 0n);
  for (let i = 0; i < 4; i++) state.set64(S.dr + i * 8, 0n);
  state.set64(S.dr + 6 * 8, 0xffff_0ff0n);
  state.set64(S.dr + 7 * 8, 0x400n);
  state.set32(S.cpl, 0);
  state.set32(S.shadow, 0);
  cpu.mmu.updateMode();
  cpu.mmu.flushAll();
  cpu.modeChanged();
}

/** A second CPU waits for SIPI after INIT. */
export function waitForStartup(cpu: SystemCpu): void {
  resetToInit(cpu);
  cpu.state.set32(S.shadow, SHADOW.waitForSipi);
}

/** A startup IPI: real mode at vector * 4 KiB. @returns false when the CPU does not wait for one @spec SDM-3A §8.4.3 */
export function startup(cpu: SystemCpu, vector: number): boolean {
  const { state } = cpu;
  if ((state.get32(S.shadow) & SHADOW.waitForSipi) === 0) return false;
  state.set32(S.shadow, 0);
  state.setSegment(SEG.CS, { selector: vector << 8, base: BigInt(vector << 12), limit: 0xffff, attributes: REAL_CODE });
  state.rip = 0n;
  cpu.modeChanged();
  return true;
}

function signatureOf({ model: { family, model, stepping } }: SystemCpu): number {
  return (Math.min(family, 15) << 8) | ((model >> 4) << 16) | ((model & 15) << 4) | stepping;
}
