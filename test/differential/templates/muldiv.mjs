import { AF, ARITHMETIC, PF, putGpr, putRm, rmValue, SF, ZF } from '../build-case.mjs';
import { BITS, gpr, immediateZ, RAX, RDX, regAndMem, sized, V } from './forms.mjs';

const MULTIPLY = { undefinedFlags: SF | ZF | AF | PF };

/** MUL, IMUL (all forms), DIV and IDIV. */
export function muldiv() {
  return [
    ...[1, ...V].flatMap((size) => [
      ...regAndMem({ ...group(size, 4), ...MULTIPLY, name: `MUL E ${BITS[size]}` }, size),
      ...regAndMem({ ...group(size, 5), ...MULTIPLY, name: `IMUL E ${BITS[size]}` }, size),
      ...regAndMem(divide(size, 6, 'DIV', false), size),
      ...regAndMem(divide(size, 7, 'IDIV', true), size),
    ]),
    ...V.flatMap((size) => {
      const common = { ...sized(size), ...MULTIPLY, reg: gpr(size) };
      return [
        ...regAndMem({ ...common, name: `IMUL Gv,Ev ${BITS[size]}`, opcode: [0x0f, 0xaf] }, size),
        ...regAndMem(
          { ...common, name: `IMUL Gv,Ev,Iz ${BITS[size]}`, opcode: [0x69], immediate: immediateZ(size) },
          size,
        ),
        ...regAndMem({ ...common, name: `IMUL Gv,Ev,Ib ${BITS[size]}`, opcode: [0x6b], immediate: 1 }, size),
      ];
    }),
  ];
}

function group(size, digit) {
  const uses = size === 1 ? { [RAX]: 2 } : { [RAX]: size, [RDX]: size };
  return { ...sized(size), opcode: [size === 1 ? 0xf6 : 0xf7], digit, uses };
}

function divide(size, digit, name, signed) {
  const prepare = (g) => {
    if (g.random.percent(75)) makeQuotientFit(g, size, signed);
  };
  return { ...group(size, digit), name: `${name} E ${BITS[size]}`, undefinedFlags: ARITHMETIC, prepare };
}

/**
 * Random dividends overflow nearly always, so most are built as quotient * divisor + remainder, with the quotient at
 * or just beyond the border now and then.
 */
function makeQuotientFit(g, size, signed) {
  const bits = BITS[size];
  const { random } = g;
  const as = signed ? BigInt.asIntN : BigInt.asUintN;
  if (rmValue(g, size) === 0n) putRm(g, size, random.u64() | 1n);
  const divisor = as(bits, rmValue(g, size));
  const border = 1n << BigInt(signed ? bits - 1 : bits);
  const near = random.pick([border - 1n, border, border - 2n, -border, -border - 1n, -border + 1n, 0n, 1n]);
  const quotient = random.percent(25) ? near : as(bits, random.u64() >> BigInt(random.below(64)));
  const magnitude = divisor < 0n ? -divisor : divisor;
  const sign = quotient * divisor < 0n ? -1n : 1n;
  const remainder = sign * (magnitude === 0n ? 0n : random.u64() % magnitude);
  putDividend(g, size, quotient * divisor + remainder);
}

function putDividend(g, size, value) {
  if (size === 1) {
    g.state.gpr[RAX] = (g.state.gpr[RAX] & ~0xffffn) | BigInt.asUintN(16, value);
    return;
  }
  const bits = BigInt(BITS[size]);
  putGpr(g, RAX, size, BigInt.asUintN(BITS[size], value));
  putGpr(g, RDX, size, BigInt.asUintN(BITS[size], value >> bits));
}
