import { S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { gp } from './exception.ts';

/** State components. @spec SDM-1 §13.1 */
export const XSTATE = { x87: 1, sse: 2, avx: 4 } as const;
export const MXCSR_MASK = 0xffff;
export const MXCSR_INIT = 0x1f80;
const FCW_INIT = 0x37f;
/** Layout of the XSAVE area. @spec SDM-1 §13.4 */
export const AREA = {
  fcw: 0,
  fsw: 2,
  ftw: 4,
  fop: 6,
  fip: 8,
  fdp: 16,
  mxcsr: 24,
  mxcsrMask: 28,
  st: 32,
  xmm: 160,
  header: 512,
  ymm: 576,
  end: 832,
} as const;

/** The area as it is built before it goes to guest memory, or as it came from there. Used within one instruction. */
export const image = new Uint8Array(AREA.end);
export const words = new DataView(image.buffer);
const image32 = new Int32Array(image.buffer);

/** Where the low or the high half of each vector register is. */
export interface VectorHalf {
  readonly inState: number;
  readonly inArea: number;
}

export const XMM: VectorHalf = { inState: 0, inArea: AREA.xmm };
export const YMM_HIGH: VectorHalf = { inState: 16, inArea: AREA.ymm };

/** XINUSE: components that are not in their initial state. @spec SDM-1 §13.6 */
export function inUse(state: CpuState): number {
  return (isX87Initial(state) ? 0 : XSTATE.x87) | (anyVector(state, 0) ? XSTATE.sse : 0) | (anyVector(state, 16) ? XSTATE.avx : 0);
}

function isX87Initial(state: CpuState): boolean {
  const control = state.get32(S.fcw) === FCW_INIT && state.get32(S.fsw) === 0 && state.get32(S.ftw) === 0 && state.get32(S.fop) === 0;
  if (!control || state.get64(S.fip) !== 0n || state.get64(S.fdp) !== 0n) return false;
  for (let i = S.st; i < S.st + 128; i += 4) if (state.get32(i) !== 0) return false;
  return true;
}

function anyVector(state: CpuState, half: number): boolean {
  for (let i = 0; i < 16; i++) {
    const at = S.xmm + i * 32 + half;
    if ((state.get32(at) | state.get32(at + 4) | state.get32(at + 8) | state.get32(at + 12)) !== 0) return true;
  }
  return false;
}

/** @param wide REX.W: 64-bit FIP and FDP, else 32 bits and (deprecated, zero) selectors */
export function saveX87(state: CpuState, wide: boolean): void {
  words.setUint16(AREA.fcw, state.get32(S.fcw), true);
  words.setUint16(AREA.fsw, state.get32(S.fsw), true);
  words.setUint16(AREA.ftw, state.get32(S.ftw) & 0xff, true);
  words.setUint16(AREA.fop, state.get32(S.fop), true);
  words.setInt32(AREA.fip, state.get32(S.fip), true);
  words.setInt32(AREA.fip + 4, wide ? state.get32(S.fip + 4) : 0, true);
  words.setInt32(AREA.fdp, state.get32(S.fdp), true);
  words.setInt32(AREA.fdp + 4, wide ? state.get32(S.fdp + 4) : 0, true);
  const top = (state.get32(S.fsw) >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    const from = S.st + ((top + i) & 7) * 16;
    const to = AREA.st + i * 16;
    for (let b = 0; b < 16; b++) image[to + b] = b < 10 ? state.bytes[from + b]! : 0;
  }
}

export function loadX87(state: CpuState, wide: boolean): void {
  state.set32(S.fcw, words.getUint16(AREA.fcw, true) | 0x40);
  state.set32(S.fsw, words.getUint16(AREA.fsw, true));
  state.set32(S.ftw, image[AREA.ftw]!);
  state.set32(S.fop, words.getUint16(AREA.fop, true) & 0x7ff);
  state.set32(S.fip, words.getInt32(AREA.fip, true));
  state.set32(S.fip + 4, wide ? words.getInt32(AREA.fip + 4, true) : 0);
  state.set32(S.fdp, words.getInt32(AREA.fdp, true));
  state.set32(S.fdp + 4, wide ? words.getInt32(AREA.fdp + 4, true) : 0);
  const top = (state.get32(S.fsw) >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    const to = S.st + ((top + i) & 7) * 16;
    const from = AREA.st + i * 16;
    for (let b = 0; b < 16; b++) state.bytes[to + b] = b < 10 ? image[from + b]! : 0;
  }
}

export function initX87(state: CpuState): void {
  state.set32(S.fcw, FCW_INIT);
  for (const slot of [S.fsw, S.ftw, S.fop]) state.set32(slot, 0);
  state.set64(S.fip, 0n);
  state.set64(S.fdp, 0n);
  state.bytes.fill(0, S.st, S.st + 128);
}

export function saveMxcsr(state: CpuState): void {
  words.setInt32(AREA.mxcsr, state.get32(S.mxcsr), true);
  words.setInt32(AREA.mxcsrMask, MXCSR_MASK, true);
}

export function checkMxcsr(): void {
  if ((words.getUint32(AREA.mxcsr, true) & ~MXCSR_MASK) !== 0) throw gp(0);
}

/** Registers lie 32 bytes apart in the state, XMM first; in the area all XMM halves precede all upper halves. */
export function saveVectors(state: CpuState, count: number, half: VectorHalf): void {
  for (let i = 0; i < count; i++) {
    const from = (S.xmm + i * 32 + half.inState) >> 2;
    const to = (half.inArea + i * 16) >> 2;
    for (let word = 0; word < 4; word++) image32[to + word] = state.i32[from + word]!;
  }
}

export function loadVectors(state: CpuState, count: number, half: VectorHalf): void {
  for (let i = 0; i < count; i++) {
    const to = (S.xmm + i * 32 + half.inState) >> 2;
    const from = (half.inArea + i * 16) >> 2;
    for (let word = 0; word < 4; word++) state.i32[to + word] = image32[from + word]!;
  }
}

export function clearVectors(state: CpuState, count: number, half: VectorHalf): void {
  for (let i = 0; i < count; i++) state.i32.fill(0, (S.xmm + i * 32 + half.inState) >> 2, (S.xmm + i * 32 + half.inState + 16) >> 2);
}
