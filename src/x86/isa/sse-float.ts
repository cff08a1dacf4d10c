import type { Emitter, Operand, Value } from '../ir/emitter.ts';
import { type Definition, instruction } from './definition.ts';
import {
  every,
  IS_EXACT,
  IS_PLAIN,
  IS_PLAINLY_EXACT,
  isDefaultAnd,
  notDenormal,
  RAISES_ONLY_PE,
  SAYS_ENOUGH,
  unchanged,
  ZERO_SAYS_ENOUGH,
} from './sse-float-guard.ts';
import { all, ALL_LANES, guarded, type Lanes, PD, PS, readLanes, writeLanes } from './sse-float-lanes.ts';

type Arithmetic = 'add' | 'sub' | 'mul' | 'div' | 'sqrt';

/** Rounded arithmetic of whole vectors: on the host where that is exact to the flag, else in TypeScript. */
function compute(b: Emitter, lanes: Lanes, name: Arithmetic, a: Value, c: Value): Value {
  const fast = b.let(name === 'sqrt' ? b.simd(`${lanes.shape}_sqrt`, c) : b.simd(`${lanes.shape}_${name}`, a, c));
  // A difference is the sum with the negated second operand.
  const guard = name === 'sub' ? 'add' : name;
  const [x, y] = name === 'sqrt' ? [c, c] : [a, name === 'sub' ? b.let(b.simd(`${lanes.shape}_neg`, c)) : c];
  const call = { operation: name, ...element(lanes), a: name === 'sqrt' ? c : a, c } as const;
  if (b.fastFloat) {
    const zeros = guard === 'mul' || guard === 'div' ? () => isDefaultAnd(b, lanes, ZERO_SAYS_ENOUGH[guard](b, lanes, x, y, fast)) : undefined;
    return guarded(b, fast, isDefaultAnd(b, lanes, SAYS_ENOUGH[guard](b, lanes, fast)), call, zeros);
  }
  const plain = every(b, lanes, IS_PLAIN[guard](b, lanes, x, y, fast));
  const good = unchanged(b, plain, () => IS_PLAINLY_EXACT[guard](b, lanes, x, y, fast), 'mxcsr');
  const thorough = (): Value => {
    const clean = every(b, lanes, RAISES_ONLY_PE[guard](b, lanes, x, y, fast));
    return unchanged(b, clean, () => every(b, lanes, IS_EXACT[guard](b, lanes, x, y, fast)), 'mxcsr');
  };
  return guarded(b, fast, good, call, thorough);
}

function element({ width, count }: Lanes): Pick<Lanes, 'width' | 'count'> {
  return { width, count };
}

function arithmetic(name: Arithmetic, opcode: string): Definition[] {
  return binaryForms(name.toUpperCase(), opcode, (b, lanes, dst, src) => {
    const c = readLanes(b, src);
    writeLanes(b, dst, compute(b, lanes, name, name === 'sqrt' ? c : readLanes(b, dst), c));
  });
}

/** MIN, MAX: the second operand for NaNs and for two zeros. They raise nothing for numbers that are not denormal. */
function extreme(name: 'min' | 'max', opcode: string): Definition[] {
  return binaryForms(name.toUpperCase(), opcode, (b, lanes, dst, src) => {
    const c = readLanes(b, src);
    const a = readLanes(b, dst);
    const fast = b.let(b.simd(`${lanes.shape}_p${name}`, c, a));
    writeLanes(b, dst, guarded(b, fast, ordinary(b, lanes, a, c), { operation: name, ...element(lanes), a, c }));
  });
}

/** i32 condition: no operand is a NaN or denormal (for `fastFloat`: a NaN, and MXCSR is at its default). */
export function ordinary(b: Emitter, lanes: Lanes, ...operands: Value[]): Value {
  if (b.fastFloat)
    return isDefaultAnd(
      b,
      lanes,
      operands.map((a) => b.simd(`${lanes.shape}_eq`, a, a)).reduce((x, y) => b.simd('v128_and', x, y)),
    );
  return every(
    b,
    lanes,
    operands.map((a) => notDenormal(b, lanes, a)).reduce((x, y) => b.simd('v128_and', x, y)),
  );
}

type LaneSemantics = (b: Emitter, lanes: Lanes, dst: Operand, src: Operand) => void;

function binaryForms(name: string, opcode: string, semantics: LaneSemantics): Definition[] {
  return ALL_LANES.map((lanes) => form(lanes, name + lanes.suffix, `${lanes.prefix} 0F ${opcode}`, semantics));
}

function form(lanes: Lanes, name: string, opcode: string, semantics: LaneSemantics): Definition {
  return instruction({
    name,
    opcode,
    operands: [`V${lanes.size}`, `W${lanes.size}`],
    unit: 'sse',
    semantics: (b, dst, src) => semantics(b, lanes, dst!, src!),
  });
}

/** HADD, HSUB: neighbours of the first operand, then of the second. @spec SDM-2A "HADDPS" */
function horizontal(name: 'add' | 'sub', opcode: string): Definition[] {
  return [PD, PS].map((lanes) =>
    form(lanes, `H${name.toUpperCase()}${lanes.suffix}`, `${lanes === PD ? '66' : 'F2'} 0F ${opcode}`, (b, _, dst, src) => {
      const c = readLanes(b, src);
      const a = readLanes(b, dst);
      const even = b.let(b.shuffle(everySecond(lanes, 0), a, c));
      const odd = b.let(b.shuffle(everySecond(lanes, 1), a, c));
      writeLanes(b, dst, compute(b, lanes, name, even, odd));
    }),
  );
}

/** Bytes of the even or odd elements of two vectors. */
function everySecond(lanes: Lanes, which: 0 | 1): number[] {
  const bytes = lanes.width / 8;
  return Array.from({ length: 16 }, (_, i) => (Math.floor(i / bytes) * 2 + which) * bytes + (i % bytes));
}

/** ADDSUB: difference in even lanes, sum in odd ones. @spec SDM-2A "ADDSUBPS" */
function addSub(lanes: Lanes): Definition {
  return form(lanes, `ADDSUB${lanes.suffix}`, `${lanes === PD ? '66' : 'F2'} 0F D0`, (b, _, dst, src) => {
    const c = readLanes(b, src);
    const a = readLanes(b, dst);
    const signs = lanes === PD ? b.v128([0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0]) : all(b, 64, 0x8000_0000n);
    const signed = b.let(b.simd('v128_xor', c, signs));
    const fast = b.let(b.simd(`${lanes.shape}_add`, a, signed));
    const clean = every(b, lanes, RAISES_ONLY_PE.add(b, lanes, a, signed, fast));
    const good = unchanged(b, clean, () => every(b, lanes, IS_EXACT.add(b, lanes, a, signed, fast)), 'mxcsr');
    writeLanes(b, dst, guarded(b, fast, good, { operation: 'addsub', ...element(lanes), a, c }));
  });
}

/** Floating-point arithmetic of SSE, SSE2 and SSE3. */
export const SSE_FLOAT: readonly Definition[] = [
  ...arithmetic('sqrt', '51'),
  ...arithmetic('add', '58'),
  ...arithmetic('mul', '59'),
  ...arithmetic('sub', '5C'),
  ...arithmetic('div', '5E'),
  ...extreme('min', '5D'),
  ...extreme('max', '5F'),
  ...horizontal('add', '7C'),
  ...horizontal('sub', '7D'),
  addSub(PD),
  addSub(PS),
];
