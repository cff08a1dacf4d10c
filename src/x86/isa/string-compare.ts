import type { Emitter, Operand } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import type { Definition } from './definition.ts';
import { passVectors, sse, vectorResult } from './vector.ts';

/**
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: compare all elements of two strings, then gather the answers into a bit for each
 * element of the second. @spec SDM-2B §4.1
 */

/** In S.temp, next to the immediate: lengths are given instead of found. */
const EXPLICIT = 0x100;
/** Bits of the second result. */
const RESULT = { CF: 1, ZF: 2, SF: 4, OF: 8 } as const;

type Output = 'index' | 'mask';

function compareStrings(explicit: boolean, output: Output): (b: Emitter, first: Operand, second: Operand, imm: Operand) => void {
  return (b, first, second, imm) => {
    const c = second.read();
    passVectors(b, first.read(), c);
    b.setField64(S.temp, explicit ? b.or(imm.read(), b.const(EXPLICIT)) : imm.read());
    if (explicit) {
      b.setField64(S.temp + 8, explicitLength(b, 0));
      b.setField64(S.temp + 16, explicitLength(b, 2));
    }
    b.callHelper('compareStrings');
    if (output === 'index') b.setReg(1, 32, b.zext(b.field64(S.temp), 32));
    else b.setXmm(0, vectorResult(b));
    setFlags(b);
  };
}

/** The magnitude of EAX or EDX (RAX, RDX with REX.W), at most 16. */
function explicitLength(b: Emitter, register: number): ReturnType<Operand['read']> {
  const bits = b.size === 64 ? 64 : 32;
  const signed = b.let(b.sext(b.reg(register, bits), bits));
  const magnitude = b.let(b.select(b.ltS(signed, b.const(0)), b.sub(b.const(0), signed), signed));
  return b.select(b.ltU(magnitude, b.const(16)), magnitude, b.const(16));
}

/** AF and PF become 0. */
function setFlags(b: Emitter): void {
  const flags = b.field64(S.temp + 8);
  const has = (bit: number): ReturnType<Operand['read']> => b.let(b.ne(b.and(flags, b.const(bit)), b.const(0)));
  const notZero = b.bool(b.op('i32_eqz', has(RESULT.ZF)));
  // An odd low byte for PF = 0.
  const signAndParity = b.or(b.shl(b.bool(has(RESULT.SF)), b.const(63)), b.const(1));
  b.setFlagsSplit(notZero, signAndParity, b.carryVector(has(RESULT.CF), has(RESULT.OF)));
}

const first = new Int32Array(16);
const second = new Int32Array(16);

/** Operands in S.vector; immediate and lengths in S.temp. Leaves index and flags in S.temp, the mask in S.vector. */
export function runCompareStrings(state: CpuState): void {
  const control = state.get32(S.temp);
  const words = (control & 1) !== 0;
  const count = words ? 8 : 16;
  const lengths = { first: loadElements(state, 0, control, first), second: loadElements(state, 1, control, second) };
  if ((control & EXPLICIT) !== 0) {
    lengths.first = Math.min(state.get32(S.temp + 8), count);
    lengths.second = Math.min(state.get32(S.temp + 16), count);
  }
  const all = (1 << count) - 1;
  let bits = aggregate(control, count, lengths);
  if ((control & 0x10) !== 0) bits ^= (control & 0x20) !== 0 ? (1 << lengths.second) - 1 : all;
  state.set32(S.temp, indexOf(bits, count, (control & 0x40) !== 0));
  state.set32(
    S.temp + 8,
    (bits !== 0 ? RESULT.CF : 0) | (lengths.second < count ? RESULT.ZF : 0) | (lengths.first < count ? RESULT.SF : 0) | ((bits & 1) !== 0 ? RESULT.OF : 0),
  );
  storeMask(state, bits, (control & 0x40) === 0 ? 0 : 16 / count);
}

/** @returns the number of elements before the first that is 0 */
function loadElements(state: CpuState, operand: 0 | 1, control: number, into: Int32Array): number {
  const words = (control & 1) !== 0;
  const signed = (control & 2) !== 0;
  const count = words ? 8 : 16;
  const at = S.vector + operand * 16;
  let length = count;
  for (let i = count - 1; i >= 0; i--) {
    const raw = words ? state.view.getUint16(at + i * 2, true) : state.bytes[at + i]!;
    into[i] = !signed ? raw : words ? (raw << 16) >> 16 : (raw << 24) >> 24;
    if (raw === 0) length = i;
  }
  return length;
}

interface Lengths {
  readonly first: number;
  readonly second: number;
}

function aggregate(control: number, count: number, lengths: Lengths): number {
  switch ((control >> 2) & 3) {
    case 0:
      return equalAny(lengths);
    case 1:
      return ranges(lengths);
    case 2:
      return equalEach(count, lengths);
    default:
      return equalOrdered(count, lengths);
  }
}

/** Elements that occur in the first string. */
function equalAny(lengths: Lengths): number {
  let bits = 0;
  for (let j = 0; j < lengths.second; j++) {
    for (let i = 0; i < lengths.first; i++) if (first[i] === second[j]) bits |= 1 << j;
  }
  return bits;
}

/** Elements within one of the ranges whose ends are the pairs of the first string. */
function ranges(lengths: Lengths): number {
  let bits = 0;
  for (let j = 0; j < lengths.second; j++) {
    const element = second[j]!;
    for (let i = 0; i + 1 < lengths.first; i += 2) {
      if (element >= first[i]! && element <= first[i + 1]!) bits |= 1 << j;
    }
  }
  return bits;
}

/** Places where both are the same, which they are after the end of both. */
function equalEach(count: number, lengths: Lengths): number {
  let bits = 0;
  for (let i = 0; i < count; i++) {
    const inFirst = i < lengths.first;
    const inSecond = i < lengths.second;
    if (inFirst && inSecond ? first[i] === second[i] : inFirst === inSecond) bits |= 1 << i;
  }
  return bits;
}

/** Places where the first string begins, as far as the register goes. */
function equalOrdered(count: number, lengths: Lengths): number {
  let bits = 0;
  for (let j = 0; j < count; j++) {
    const length = Math.min(lengths.first, count - j);
    let i = 0;
    while (i < length && i + j < lengths.second && first[i] === second[i + j]) i++;
    if (i === length) bits |= 1 << j;
  }
  return bits;
}

/** The lowest or highest bit that is set, or the number of elements. */
function indexOf(bits: number, count: number, highest: boolean): number {
  if (bits === 0) return count;
  return highest ? 31 - Math.clz32(bits) : 31 - Math.clz32(bits & -bits);
}

/** The bits themselves (`bytes` 0), or an element of ones for each. */
function storeMask(state: CpuState, bits: number, bytes: number): void {
  const mask = state.bytes.subarray(S.vector, S.vector + 16);
  if (bytes === 0) {
    mask.fill(0);
    mask[0] = bits;
    mask[1] = bits >> 8;
    return;
  }
  for (let i = 0; i < 16; i++) mask[i] = (bits >> Math.floor(i / bytes)) & 1 ? 0xff : 0;
}

const FORMS = [
  ['PCMPESTRM', '60', true, 'mask'],
  ['PCMPESTRI', '61', true, 'index'],
  ['PCMPISTRM', '62', false, 'mask'],
  ['PCMPISTRI', '63', false, 'index'],
] as const;

export const STRING_COMPARE: readonly Definition[] = FORMS.map(([name, opcode, explicit, output]) =>
  sse(name, `66 0F 3A ${opcode}`, ['Vx', 'Wx', 'Ib'], compareStrings(explicit, output), {
    unaligned: true,
    ...(explicit ? { sized: true } : {}),
  }),
);
