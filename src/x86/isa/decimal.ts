import { GPR } from '../state/layout.ts';
import { type CpuState, FLAG } from '../state/state.ts';
import { GuestException, VECTOR } from '../system/exception.ts';
import { type Definition, instruction } from './definition.ts';

/** AL and AH; the rest of RAX stays. */
function setAx(state: CpuState, ax: number): void {
  state.setGpr(GPR.RAX, (state.gpr(GPR.RAX) & ~0xffffn) | BigInt(ax & 0xffff));
}

function ax(state: CpuState): number {
  return Number(state.gpr(GPR.RAX) & 0xffffn);
}

/** SF ZF PF from a byte; CF and AF as given; OF cleared (undefined). */
function setFlags(state: CpuState, byte: number, carry: boolean, adjust: boolean): void {
  let parity = byte ^ (byte >> 4);
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  const kept = state.rflags() & ~(FLAG.CF | FLAG.PF | FLAG.AF | FLAG.ZF | FLAG.SF | FLAG.OF);
  state.setRflags(
    kept | (carry ? FLAG.CF : 0) | (adjust ? FLAG.AF : 0) | (byte === 0 ? FLAG.ZF : 0) | (byte & 0x80 ? FLAG.SF : 0) | (parity & 1 ? 0 : FLAG.PF),
  );
}

/** DAA and DAS. @spec SDM-2A "DAA" */
function decimalAdjust(state: CpuState, sign: 1 | -1): void {
  const flags = state.rflags();
  const old = ax(state) & 0xff;
  let al = old;
  let carry = (flags & FLAG.CF) !== 0;
  const adjust = (al & 15) > 9 || (flags & FLAG.AF) !== 0;
  const high = old > 0x99 || carry;
  if (adjust) {
    if (sign < 0 && al < 6) carry = true;
    al += 6 * sign;
  }
  if (high) {
    al += 0x60 * sign;
    carry = true;
  } else if (sign > 0) carry = false;
  setAx(state, (ax(state) & 0xff00) | (al & 0xff));
  setFlags(state, al & 0xff, carry, adjust);
}

/** AAA and AAS. @spec SDM-2A "AAA" */
function asciiAdjust(state: CpuState, sign: 1 | -1): void {
  const value = ax(state);
  const adjust = (value & 15) > 9 || (state.rflags() & FLAG.AF) !== 0;
  const result = adjust ? value + 0x106 * sign : value;
  setAx(state, (result & 0xff00) | (result & 15));
  setFlags(state, result & 15, adjust, adjust);
}

export const DECIMAL: readonly Definition[] = [
  instruction({ name: 'DAA', opcode: '27', mode: 'legacy', undefinedFlags: ['OF'], system: ({ state }) => decimalAdjust(state, 1) }),
  instruction({ name: 'DAS', opcode: '2F', mode: 'legacy', undefinedFlags: ['OF'], system: ({ state }) => decimalAdjust(state, -1) }),
  instruction({ name: 'AAA', opcode: '37', mode: 'legacy', undefinedFlags: ['OF', 'SF', 'ZF', 'PF'], system: ({ state }) => asciiAdjust(state, 1) }),
  instruction({ name: 'AAS', opcode: '3F', mode: 'legacy', undefinedFlags: ['OF', 'SF', 'ZF', 'PF'], system: ({ state }) => asciiAdjust(state, -1) }),
  instruction({
    name: 'AAM',
    opcode: 'D4',
    operands: ['Ib'],
    mode: 'legacy',
    undefinedFlags: ['OF', 'AF', 'CF'],
    system: ({ state }, insn) => {
      const base = Number(insn.immediate & 0xffn);
      if (base === 0) throw new GuestException(VECTOR.DE);
      const al = ax(state) & 0xff;
      setAx(state, (Math.floor(al / base) << 8) | (al % base));
      setFlags(state, al % base, false, false);
    },
  }),
  instruction({
    name: 'AAD',
    opcode: 'D5',
    operands: ['Ib'],
    mode: 'legacy',
    undefinedFlags: ['OF', 'AF', 'CF'],
    system: ({ state }, insn) => {
      const al = (ax(state) + (ax(state) >> 8) * Number(insn.immediate & 0xffn)) & 0xff;
      setAx(state, al);
      setFlags(state, al, false, false);
    },
  }),
  instruction({
    name: 'SALC',
    opcode: 'D6',
    mode: 'legacy',
    system: ({ state }) => setAx(state, (ax(state) & 0xff00) | (state.rflags() & FLAG.CF ? 0xff : 0)),
  }),
];
