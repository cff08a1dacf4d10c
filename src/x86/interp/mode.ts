import type { CodeMode } from '../decode/instruction.ts';
import { S, SEG } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';

const CR0_EM_TS = 0xc;
const CR4_OSFXSR = 0x200;
const ATTR_L = 0x2000;
const ATTR_DB = 0x4000;
const EFER_LMA = 0x400;

/** Everything that decoding depends on, as a number below 64. */
export function modeIndexOf(state: CpuState): number {
  const long = (state.get32(S.efer) & EFER_LMA) !== 0;
  const code = state.attributes(SEG.CS);
  const bits = long && (code & ATTR_L) !== 0 ? 2 : code & ATTR_DB ? 1 : 0;
  const stack = bits === 2 ? 0 : state.attributes(SEG.SS) & ATTR_DB ? 4 : 0;
  const cr0 = (state.get32(S.cr0) & CR0_EM_TS) << 1; // EM -> 8, TS -> 16
  const sse = state.get32(S.cr4) & CR4_OSFXSR ? 0 : 32;
  return bits | stack | cr0 | sse;
}

const MODES = new Map<number, CodeMode>();

export function codeMode(index: number): CodeMode {
  const known = MODES.get(index);
  if (known !== undefined) return known;
  const bits = ([16, 32, 64] as const)[index & 3] ?? 64;
  const emulate = (index & 8) !== 0;
  const switched = (index & 16) !== 0;
  const fpu = (emulate || switched ? 1 : 0) | (switched ? 2 : 0) | (emulate || (index & 32) !== 0 ? 4 : 0) | (emulate ? 8 : 0);
  const mode: CodeMode = { bits, stackBits: bits === 64 ? 64 : (index & 4) !== 0 ? 32 : 16, fpu, cpl3: false };
  MODES.set(index, mode);
  return mode;
}
