import { FloatEnvironment, fromMxcsr } from '../softfloat/environment.ts';
import * as sse from '../softfloat/sse.ts';
import type { Width } from '../softfloat/sse.ts';
import { S } from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';

/**
 * SSE floating point with every setting of MXCSR and every exception flag: where the host's arithmetic cannot tell what an
 * instruction raises, its semantics leave the operands in the state and call the helper `sseFloat`.
 */
export type ExactOperation = keyof typeof OPERATIONS;

interface Lanes {
  readonly state: CpuState;
  /** Of the source elements. */
  readonly width: Width;
  readonly count: number;
  readonly immediate: number;
}

const XM = 19;
const UD = 6;
const CR4_OSXMMEXCPT = 1 << 10;
const env = new FloatEnvironment();

/** Number for S.sseOperation. */
export function encodeOperation(operation: ExactOperation, width: Width, count: number): number {
  return NAMES.indexOf(operation) | (count << 8) | (width === 64 ? 0x1000 : 0);
}

/**
 * Runs S.sseOperation on S.sseA and S.sseB: the result is in S.sseResult, MXCSR is updated, and S.sseFault says whether an
 * exception is due, in which case no register may be written. @spec SDM-1 §11.5
 */
export function runExact(state: CpuState): void {
  const what = state.get32(S.sseOperation);
  const mxcsr = state.get32(S.mxcsr);
  fromMxcsr(env, mxcsr);
  state.set64(S.sseResult, 0n);
  state.set64(S.sseResult + 8, 0n);
  const width = (what & 0x1000) !== 0 ? 64 : 32;
  LIST[what & 0xff]!({ state, width, count: (what >> 8) & 15, immediate: state.get32(S.sseImmediate) });
  state.set32(S.mxcsr, sse.finish(env, mxcsr));
  const reported = (state.get32(S.cr4) & CR4_OSXMMEXCPT) !== 0 ? XM : UD;
  state.set32(S.sseFault, sse.raisesXm(env) ? reported : 0);
}

function get(state: CpuState, slot: number, width: Width, lane: number): bigint {
  return width === 64 ? state.get64(slot + lane * 8) : BigInt(state.get32(slot + lane * 4) >>> 0);
}

function set(state: CpuState, width: Width, lane: number, value: bigint): void {
  if (width === 64) state.set64(S.sseResult + lane * 8, value);
  else state.set32(S.sseResult + lane * 4, Number(BigInt.asIntN(32, value)));
}

type Operation = (lanes: Lanes) => void;

function binary(apply: sse.SseBinary, odd = apply): Operation {
  return ({ state, width, count }) => {
    for (let lane = 0; lane < count; lane++) {
      const a = get(state, S.sseA, width, lane);
      const b = get(state, S.sseB, width, lane);
      set(state, width, lane, ((lane & 1) === 1 ? odd : apply)(env, width, a, b));
    }
  };
}

function unary(apply: (width: Width, a: bigint, immediate: number) => bigint, to: (width: Width) => Width = (w) => w): Operation {
  return ({ state, width, count, immediate }) => {
    for (let lane = 0; lane < count; lane++) set(state, to(width), lane, apply(width, get(state, S.sseA, width, lane), immediate));
  };
}

const OTHER = (width: Width): Width => (width === 64 ? 32 : 64);

/** Names are what sse-float*.ts ask for; conversions to integers take immediate 1 for truncation. */
const OPERATIONS = {
  add: binary(sse.sseAdd),
  sub: binary(sse.sseSub),
  mul: binary(sse.sseMul),
  div: binary(sse.sseDiv),
  min: binary(sse.sseMin),
  max: binary(sse.sseMax),
  addsub: binary(sse.sseSub, sse.sseAdd),
  sqrt: unary((width, a) => sse.sseSqrt(env, width, a)),
  round: unary((width, a, immediate) => sse.sseRound(env, width, a, immediate)),
  convert: unary((width, a) => sse.sseConvert(env, width, a), OTHER),
  toInt32: unary(
    (width, a, immediate) => sse.sseToInteger(env, width, a, { bits: 32, truncate: immediate === 1 }),
    () => 32,
  ),
  toInt64: unary(
    (width, a, immediate) => sse.sseToInteger(env, width, a, { bits: 64, truncate: immediate === 1 }),
    () => 64,
  ),
  /** From a signed integer of the given width to a single or (immediate 64) a double. */
  fromInteger: (({ state, width, count, immediate }) => {
    const to = immediate === 64 ? 64 : 32;
    for (let lane = 0; lane < count; lane++) {
      set(state, to, lane, sse.sseFromInteger(env, to, BigInt.asIntN(width, get(state, S.sseA, width, lane))));
    }
  }) as Operation,
  compare: (({ state, width, count, immediate }) => {
    for (let lane = 0; lane < count; lane++) {
      const holds = sse.sseCompare(env, width, immediate & 7, get(state, S.sseA, width, lane), get(state, S.sseB, width, lane));
      set(state, width, lane, holds ? -1n : 0n);
    }
  }) as Operation,
  /** -1, 0, 1 or 2 (unordered); immediate 1 for quiet. */
  order: (({ state, width, immediate }) => {
    const relation = sse.sseOrder(env, width, get(state, S.sseA, width, 0), get(state, S.sseB, width, 0), immediate === 1);
    state.set32(S.sseResult, relation);
  }) as Operation,
  dot: dotProduct as Operation,
} as const;

const NAMES = Object.keys(OPERATIONS) as readonly ExactOperation[];
const LIST: readonly Operation[] = Object.values(OPERATIONS);

/**
 * DPPS and DPPD: products that bits 7:4 of the immediate choose, summed in pairs, into the lanes of bits 3:0. Each step
 * reports its unmasked exceptions before the next one runs. @spec SDM-2A "DPPS"
 */
function dotProduct({ state, width, count, immediate }: Lanes): void {
  const terms: bigint[] = [];
  for (let lane = 0; lane < count; lane++) {
    const chosen = ((immediate >> (4 + lane)) & 1) === 1;
    terms.push(chosen ? sse.sseMul(env, width, get(state, S.sseA, width, lane), get(state, S.sseB, width, lane)) : 0n);
  }
  let sums: readonly bigint[] = terms;
  while (sums.length > 1 && !sse.raisesXm(env)) {
    const previous = sums;
    sums = Array.from({ length: previous.length / 2 }, (_, i) => sse.sseAdd(env, width, previous[2 * i]!, previous[2 * i + 1]!));
  }
  for (let lane = 0; lane < count; lane++) {
    if (((immediate >> lane) & 1) === 1) set(state, width, lane, sums[0]!);
  }
}
