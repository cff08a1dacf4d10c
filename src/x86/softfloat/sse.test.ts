import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { UNORDERED } from './arithmetic.ts';
import { FloatEnvironment, fromMxcsr } from './environment.ts';
import {
  finish,
  raisesXm,
  type SseBinary,
  sseAdd,
  sseCompare,
  sseConvert,
  sseDiv,
  sseFma,
  sseFromInteger,
  sseMax,
  sseMin,
  sseMul,
  sseOrder,
  sseRound,
  sseSqrt,
  sseSub,
  sseToInteger,
  type Width,
} from './sse.ts';

// Recorded on an AMD Zen 3 processor by test/differential/x87: see record.mjs there.
const FILE = new URL('../../../test/vectors/fpu/sse-zen3.bin.gz', import.meta.url);
const RECORD_BYTES = 40;

interface Vector {
  op: number;
  imm: number;
  trap: number;
  width: Width;
  mxcsr: number;
  mxcsrAfter: number;
  a: bigint;
  b: bigint;
  c: bigint;
  result: bigint;
}

const vectors = read(gunzipSync(readFileSync(FILE)));
const env = new FloatEnvironment();

type Run = (vector: Vector) => bigint;

const binary =
  (operation: SseBinary): Run =>
  ({ width, a, b }) =>
    operation(env, width, a, b);
const toInteger =
  (bits: 32 | 64, truncate: boolean): Run =>
  ({ width, b }) =>
    BigInt.asUintN(bits, sseToInteger(env, width, b, { bits, truncate }));
const fma =
  (negateProduct: boolean, negateAddend: boolean): Run =>
  ({ width, a, b, c }) =>
    sseFma(env, width, { a: b, b: a, c, negateProduct, negateAddend });
// ZF, PF, CF as COMISD sets them, for -1, 0, 1, UNORDERED.
const order =
  (quiet: boolean): Run =>
  ({ width, a, b }) => {
    const relation = sseOrder(env, width, a, b, quiet);
    return relation === UNORDERED ? 0x45n : [0x01n, 0x40n, 0x00n][relation + 1]!;
  };

/** In the order of sse.c. The 213 forms are written second operand times first, plus third. */
const OPERATIONS: readonly { name: string; run: Run }[] = [
  { name: 'ADD', run: binary(sseAdd) },
  { name: 'SUB', run: binary(sseSub) },
  { name: 'MUL', run: binary(sseMul) },
  { name: 'DIV', run: binary(sseDiv) },
  { name: 'MIN', run: binary(sseMin) },
  { name: 'MAX', run: binary(sseMax) },
  { name: 'SQRT', run: ({ width, b }) => sseSqrt(env, width, b) },
  {
    name: 'CMP',
    run: ({ width, imm, a, b }) => (sseCompare(env, width, imm, a, b) ? BigInt.asUintN(width, -1n) : 0n),
  },
  { name: 'COMI', run: order(false) },
  { name: 'UCOMI', run: order(true) },
  { name: 'conversion to the other width', run: ({ width, b }) => sseConvert(env, width, b) },
  { name: 'conversion to a 32-bit integer', run: toInteger(32, false) },
  { name: 'truncation to a 32-bit integer', run: toInteger(32, true) },
  { name: 'conversion to a 64-bit integer', run: toInteger(64, false) },
  { name: 'truncation to a 64-bit integer', run: toInteger(64, true) },
  { name: 'conversion of a 32-bit integer', run: ({ width, a }) => sseFromInteger(env, width, BigInt.asIntN(32, a)) },
  { name: 'conversion of a 64-bit integer', run: ({ width, a }) => sseFromInteger(env, width, BigInt.asIntN(64, a)) },
  { name: 'ROUND', run: ({ width, b, imm }) => sseRound(env, width, b, imm) },
  { name: 'FMADD', run: fma(false, false) },
  { name: 'FMSUB', run: fma(false, true) },
  { name: 'FNMADD', run: fma(true, false) },
  { name: 'FNMSUB', run: fma(true, true) },
];

OPERATIONS.forEach(({ name, run }, op) => {
  test(`every recorded ${name} gives the result and the MXCSR the processor gave`, () => {
    const chosen = vectors.filter((vector) => vector.op === op);
    assert.ok(chosen.length > 300);
    for (const vector of chosen) {
      fromMxcsr(env, vector.mxcsr);
      const result = run(vector);
      const trap = raisesXm(env) ? 19 : 0;
      const got = { trap, mxcsrAfter: finish(env, vector.mxcsr), result: trap === 0 ? result : 0n };
      const want = { trap: vector.trap, mxcsrAfter: vector.mxcsrAfter, result: resultBits(vector) };
      assert.deepEqual(got, want, describe(vector));
    }
  });
});

/** The part of the result register the operation wrote. */
function resultBits({ op, width, result }: Vector): bigint {
  if (op === 10) return BigInt.asUintN(width === 64 ? 32 : 64, result);
  if (op === 11 || op === 12) return BigInt.asUintN(32, result);
  if (op === 13 || op === 14) return result;
  return BigInt.asUintN(width, result);
}

function read(bytes: Uint8Array): Vector[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / RECORD_BYTES }, (_, n) => {
    const at = n * RECORD_BYTES;
    return {
      op: bytes[at]!,
      imm: bytes[at + 1]!,
      trap: bytes[at + 2]!,
      width: bytes[at + 3] === 8 ? 64 : 32,
      mxcsr: view.getUint16(at + 4, true),
      mxcsrAfter: view.getUint16(at + 6, true),
      a: view.getBigUint64(at + 8, true),
      b: view.getBigUint64(at + 16, true),
      c: view.getBigUint64(at + 24, true),
      result: view.getBigUint64(at + 32, true),
    };
  });
}

function describe({ width, imm, mxcsr, a, b, c }: Vector): string {
  const [p, q, s] = [a, b, c].map((value) => value.toString(16));
  return `width ${width} imm ${imm} mxcsr ${mxcsr.toString(16)} a ${p} b ${q} c ${s}`;
}
