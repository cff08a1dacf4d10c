import type { Emitter, Operand } from '../ir/emitter.ts';
import { type Definition, instruction } from './definition.ts';
import { mmx, onMmx } from './mmx-unit.ts';
import { integersToSingles, vectorToIntegers } from './sse-float-convert.ts';
import { type Lanes, PD, PS, readLanes, writeLanes } from './sse-float-lanes.ts';
import type { Semantics } from './vector.ts';

// CR4.OSFXSR is needed for these, unlike other MMX instructions.
const SSE = { unit: 'sse' } as const;

/** CVTPS2PI, CVTPD2PI and truncating: two integers into an MMX register. */
function toMmx(lanes: Lanes, truncate: boolean): Definition {
  const opcode = `${lanes.prefix} 0F ${truncate ? '2C' : '2D'}`;
  const source = lanes === PS ? 'Wq' : 'Wx';
  return mmx(
    `CVT${truncate ? 'T' : ''}${lanes.suffix}2PI`,
    opcode,
    ['Pq', source],
    (b, dst, src) => {
      const integers = vectorToIntegers(b, lanes, readLanes(b, src!), { count: 2, truncate });
      dst!.write(b.let(b.lane('i64x2_extract_lane', 0, integers)));
    },
    SSE,
  );
}

function singlesFromMmx(b: Emitter, dst: Operand, src: Operand): void {
  const singles = integersToSingles(b, readLanes(b, src), 2);
  dst.write(b.let(b.lane('i64x2_extract_lane', 0, singles)));
}

function doublesFromMmx(b: Emitter, dst: Operand, src: Operand): void {
  writeLanes(b, dst, b.let(b.simd('f64x2_convert_low_i32x4_s', readLanes(b, src))));
}

/** Only a register source takes the unit to MMX; processors differ for CVTPI2PS, these are as recorded. @spec SDM-2A "CVTPI2PD" */
function fromMmx(semantics: (b: Emitter, dst: Operand, src: Operand) => void): Semantics {
  const onRegister = onMmx((b, dst, src) => semantics(b, dst!, src!));
  return (b, dst, src) => (src!.kind === 'mmx' ? onRegister(b, dst!, src!) : semantics(b, dst!, src!));
}

/** Conversions between XMM and MMX registers. */
export const SSE_FLOAT_MMX: readonly Definition[] = [
  instruction({
    name: 'CVTPI2PS',
    opcode: 'NP 0F 2A',
    operands: ['Vq', 'Qq'],
    ...SSE,
    semantics: fromMmx(singlesFromMmx),
  }),
  instruction({
    name: 'CVTPI2PD',
    opcode: '66 0F 2A',
    operands: ['Vx', 'Qq'],
    ...SSE,
    semantics: fromMmx(doublesFromMmx),
  }),
  ...[PS, PD].flatMap((lanes) => [toMmx(lanes, true), toMmx(lanes, false)]),
];
