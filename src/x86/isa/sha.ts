import { S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import type { Definition } from './definition.ts';
import { passVectors, type Semantics, sse, vectorResult } from './vector.ts';

/** SHA extensions: rounds and message schedules of SHA-1 and SHA-256. @spec FIPS-180-4 §6 */

/** 32-bit words of the helpers' operands and result: destination, source, XMM0. */
const DST = S.vector >> 2;
const SRC = DST + 4;
const ROUND_INPUT = DST + 8;

/** Calls a helper with (dst, src, XMM0) in S.vector and the immediate in S.temp. */
function helped(name: string): Semantics {
  return (b, dst, src, imm) => {
    const c = src!.read();
    passVectors(b, dst!.read(), c, b.xmm(0));
    if (imm !== undefined) b.setField64(S.temp, imm.read());
    b.callHelper(name);
    dst!.write(vectorResult(b));
  };
}

function rotateLeft(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits));
}

function rotateRight(x: number, bits: number): number {
  return rotateLeft(x, 32 - bits);
}

/** The four words of a value, the highest first, as the manual counts SHA-1 words. */
function descending(words: Int32Array, at: number): [number, number, number, number] {
  return [words[at + 3]!, words[at + 2]!, words[at + 1]!, words[at]!];
}

function store(words: Int32Array, d0: number, d1: number, d2: number, d3: number): void {
  words[DST] = d0;
  words[DST + 1] = d1;
  words[DST + 2] = d2;
  words[DST + 3] = d3;
}

const SHA1_CONSTANTS = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6] as const;

const choose = (x: number, y: number, z: number): number => (x & y) ^ (~x & z);
const majority = (x: number, y: number, z: number): number => (x & y) ^ (x & z) ^ (y & z);
const parity = (x: number, y: number, z: number): number => x ^ y ^ z;
const SHA1_FUNCTIONS = [choose, parity, majority, parity] as const;

/** Four rounds; the first word of the source already contains E. */
function sha1Rounds({ i32: w }: CpuState, control: number): void {
  const f = SHA1_FUNCTIONS[control]!;
  const k = SHA1_CONSTANTS[control]!;
  let [a, b, c, d] = descending(w, DST);
  let e = 0;
  for (const word of descending(w, SRC)) {
    const next = (rotateLeft(a, 5) + f(b, c, d) + e + word + k) | 0;
    e = d;
    d = c;
    c = rotateLeft(b, 30);
    b = a;
    a = next;
  }
  store(w, d, c, b, a);
}

/** E of four rounds later, added to the words to come. */
function sha1NextE({ i32: w }: CpuState): void {
  store(w, w[SRC]!, w[SRC + 1]!, w[SRC + 2]!, (w[SRC + 3]! + rotateLeft(w[DST + 3]!, 30)) | 0);
}

function sha1Message1({ i32: w }: CpuState): void {
  const [w0, w1, w2, w3] = descending(w, DST);
  const [w4, w5] = descending(w, SRC);
  store(w, w5 ^ w3, w4 ^ w2, w3 ^ w1, w2 ^ w0);
}

function sha1Message2({ i32: w }: CpuState): void {
  const [x0, x1, x2, x3] = descending(w, DST);
  const [, w13, w14, w15] = descending(w, SRC);
  const w16 = rotateLeft(x0 ^ w13, 1);
  const w17 = rotateLeft(x1 ^ w14, 1);
  const w18 = rotateLeft(x2 ^ w15, 1);
  store(w, rotateLeft(x3 ^ w16, 1), w18, w17, w16);
}

/** Two rounds. The operands hold F E B A (source) and H G D C (destination), lowest first. */
function sha256Rounds({ i32: w }: CpuState): void {
  let [a, b, e, f] = descending(w, SRC);
  let [c, d, g, h] = descending(w, DST);
  for (let i = 0; i < 2; i++) {
    const sum1 = rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25);
    const sum0 = rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22);
    const first = (h + sum1 + choose(e, f, g) + w[ROUND_INPUT + i]!) | 0;
    const second = (sum0 + majority(a, b, c)) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  store(w, f, e, b, a);
}

function sigma0(x: number): number {
  return rotateRight(x, 7) ^ rotateRight(x, 18) ^ (x >>> 3);
}

function sigma1(x: number): number {
  return rotateRight(x, 17) ^ rotateRight(x, 19) ^ (x >>> 10);
}

function sha256Message1({ i32: w }: CpuState): void {
  const next = [w[DST + 1]!, w[DST + 2]!, w[DST + 3]!, w[SRC]!];
  for (let i = 0; i < 4; i++) w[DST + i] = w[DST + i]! + sigma0(next[i]!);
}

function sha256Message2({ i32: w }: CpuState): void {
  const w16 = (w[DST]! + sigma1(w[SRC + 2]!)) | 0;
  const w17 = (w[DST + 1]! + sigma1(w[SRC + 3]!)) | 0;
  store(w, w16, w17, w[DST + 2]! + sigma1(w16), w[DST + 3]! + sigma1(w17));
}

/** For interp/helpers.ts. */
export const SHA_HELPERS: Readonly<Record<string, (state: CpuState) => void>> = {
  sha1Rounds: (state) => sha1Rounds(state, state.get32(S.temp) & 3),
  sha1NextE,
  sha1Message1,
  sha1Message2,
  sha256Rounds,
  sha256Message1,
  sha256Message2,
};

/** The recorded processor (AMD Zen) accepts memory operands that are not aligned; the manual asks for alignment. */
function sha(name: string, opcode: string, operands: readonly string[], helper: string): Definition {
  return sse(name, opcode, operands, helped(helper), { unaligned: true });
}

export const SHA: readonly Definition[] = [
  sha('SHA1RNDS4', 'NP 0F 3A CC', ['Vx', 'Wx', 'Ib'], 'sha1Rounds'),
  sha('SHA1NEXTE', 'NP 0F 38 C8', ['Vx', 'Wx'], 'sha1NextE'),
  sha('SHA1MSG1', 'NP 0F 38 C9', ['Vx', 'Wx'], 'sha1Message1'),
  sha('SHA1MSG2', 'NP 0F 38 CA', ['Vx', 'Wx'], 'sha1Message2'),
  sha('SHA256RNDS2', 'NP 0F 38 CB', ['Vx', 'Wx'], 'sha256Rounds'),
  sha('SHA256MSG1', 'NP 0F 38 CC', ['Vx', 'Wx'], 'sha256Message1'),
  sha('SHA256MSG2', 'NP 0F 38 CD', ['Vx', 'Wx'], 'sha256Message2'),
];
