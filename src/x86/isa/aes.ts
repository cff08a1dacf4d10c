import type { Emitter, Operand } from '../ir/emitter.ts';
import { S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import type { Definition } from './definition.ts';
import { passVectors, type Semantics, sse, vectorResult } from './vector.ts';

/** AES-NI: one round of AES at a time, from tables. @spec FIPS-197 §5 */

/** Calls a helper with (dst, src) in S.vector. */
function helped(name: string): Semantics {
  return (b, dst, src) => {
    const c = src!.read();
    passVectors(b, dst!.read(), c);
    b.callHelper(name);
    dst!.write(vectorResult(b));
  };
}

function keyAssist(b: Emitter, dst: Operand, src: Operand, imm: Operand): void {
  passVectors(b, src.read());
  b.setField64(S.temp, imm.read());
  b.callHelper('aesKeyAssist');
  dst.write(vectorResult(b));
}

const SBOX = new Uint8Array(256);
const INVERSE_SBOX = new Uint8Array(256);
/** MixColumns and InvMixColumns of a column whose row 0 is the index, as little-endian columns. */
const MIX = new Int32Array(256);
const INVERSE_MIX = new Int32Array(256);
buildTables();

function buildTables(): void {
  // Powers of the generator 3, and the inverse powers beside them.
  let p = 1;
  let q = 1;
  do {
    p = times(p, 3);
    q = times(q, 0xf6); // the inverse of 3
    SBOX[p] = affine(q);
  } while (p !== 1);
  SBOX[0] = 0x63;
  for (let x = 0; x < 256; x++) {
    INVERSE_SBOX[SBOX[x]!] = x;
    MIX[x] = times(x, 2) | (x << 8) | (x << 16) | (times(x, 3) << 24);
    INVERSE_MIX[x] = times(x, 14) | (times(x, 9) << 8) | (times(x, 13) << 16) | (times(x, 11) << 24);
  }
}

/** Product in the field of AES. @spec FIPS-197 §4.2 */
function times(a: number, factor: number): number {
  let sum = 0;
  for (let bit = 1, power = a; bit <= factor; bit <<= 1) {
    if ((factor & bit) !== 0) sum ^= power;
    power = power & 0x80 ? ((power << 1) ^ 0x11b) & 0xff : power << 1;
  }
  return sum;
}

/** @spec FIPS-197 §5.1.1 */
function affine(x: number): number {
  const twice = x | (x << 8);
  return (x ^ (twice >> 7) ^ (twice >> 6) ^ (twice >> 5) ^ (twice >> 4) ^ 0x63) & 0xff;
}

function rotate(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits));
}

const columns = new Int32Array(4);

/** Byte `row` of the column that (inverse) ShiftRows moves to column j. */
function shifted(j: number, row: number, direction: 1 | -1): number {
  return (columns[(j + direction * row) & 3]! >>> (8 * row)) & 0xff;
}

/** One round: rows shifted, bytes substituted, columns mixed (except in the last round), key added. */
function round(state: CpuState, box: Uint8Array, mix: Int32Array | undefined, direction: 1 | -1): void {
  const at = S.vector >> 2;
  columns.set(state.i32.subarray(at, at + 4));
  for (let j = 0; j < 4; j++) {
    let column = state.i32[at + 4 + j]!;
    for (let row = 0; row < 4; row++) {
      const byte = box[shifted(j, row, direction)]!;
      column ^= mix === undefined ? byte << (8 * row) : rotate(mix[byte]!, 8 * row);
    }
    state.i32[at + j] = column;
  }
}

/** InvMixColumns of the source. */
function inverseMixColumns(state: CpuState): void {
  const at = S.vector >> 2;
  for (let j = 0; j < 4; j++) {
    const column = state.i32[at + 4 + j]!;
    let mixed = 0;
    for (let row = 0; row < 4; row++) mixed ^= rotate(INVERSE_MIX[(column >>> (8 * row)) & 0xff]!, 8 * row);
    state.i32[at + j] = mixed;
  }
}

function substituteWord(word: number): number {
  let out = 0;
  for (let row = 0; row < 4; row++) out |= SBOX[(word >>> (8 * row)) & 0xff]! << (8 * row);
  return out;
}

function keyGenerationAssist(state: CpuState): void {
  const at = S.vector >> 2;
  const roundConstant = state.get32(S.temp) & 0xff;
  const low = substituteWord(state.i32[at + 1]!);
  const high = substituteWord(state.i32[at + 3]!);
  state.i32[at] = low;
  state.i32[at + 1] = rotate(low, 24) ^ roundConstant;
  state.i32[at + 2] = high;
  state.i32[at + 3] = rotate(high, 24) ^ roundConstant;
}

/** For interp/helpers.ts. */
export const AES_HELPERS: Readonly<Record<string, (state: CpuState) => void>> = {
  aesEncrypt: (state) => round(state, SBOX, MIX, 1),
  aesEncryptLast: (state) => round(state, SBOX, undefined, 1),
  aesDecrypt: (state) => round(state, INVERSE_SBOX, INVERSE_MIX, -1),
  aesDecryptLast: (state) => round(state, INVERSE_SBOX, undefined, -1),
  aesInverseMix: inverseMixColumns,
  aesKeyAssist: keyGenerationAssist,
};

export const AES: readonly Definition[] = [
  sse('AESIMC', '66 0F 38 DB', ['Vx', 'Wx'], helped('aesInverseMix')),
  sse('AESENC', '66 0F 38 DC', ['Vx', 'Wx'], helped('aesEncrypt')),
  sse('AESENCLAST', '66 0F 38 DD', ['Vx', 'Wx'], helped('aesEncryptLast')),
  sse('AESDEC', '66 0F 38 DE', ['Vx', 'Wx'], helped('aesDecrypt')),
  sse('AESDECLAST', '66 0F 38 DF', ['Vx', 'Wx'], helped('aesDecryptLast')),
  sse('AESKEYGENASSIST', '66 0F 3A DF', ['Vx', 'Wx', 'Ib'], keyAssist),
];
