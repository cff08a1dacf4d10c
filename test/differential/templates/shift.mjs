import { AF, ARITHMETIC, CF, OF, putGpr } from '../build-case.mjs';
import { BITS, gpr, RCX, regAndMem, sized, V } from './forms.mjs';

const NAMES = ['ROL', 'ROR', 'RCL', 'RCR', 'SHL', 'SHR', 'SAL', 'SAR'];

/** Shifts, rotates and double shifts. */
export function shift() {
  return [...[1, ...V].flatMap((size) => NAMES.flatMap((name, digit) => forms(name, digit, size))), ...doubleShifts()];
}

function forms(name, digit, size) {
  const wide = size === 1 ? 0 : 1;
  const common = { ...sized(size), digit };
  const by = (count) => undefinedAfter(name, size, count);
  const cl = { ...common, opcode: [0xd2 + wide], uses: { [RCX]: 1 }, avoid: [RCX], prepare: chooseCl };
  return [
    ...regAndMem({ ...common, name: `${name} E,1 ${BITS[size]}`, opcode: [0xd0 + wide], undefinedFlags: by(1) }, size),
    ...regAndMem(
      {
        ...common,
        name: `${name} E,Ib ${BITS[size]}`,
        opcode: [0xc0 + wide],
        immediate: 1,
        immediateValue: (random) => chooseCount(random, size),
        undefinedFlags: (g) => undefinedAfter(name, size, Number(g.immediate)),
      },
      size,
    ),
    ...regAndMem(
      { ...cl, name: `${name} E,CL ${BITS[size]}`, undefinedFlags: (g) => undefinedAfter(name, size, countIn(g)) },
      size,
    ),
  ];
}

/** Around 0, 1, the operand width, and the widths at which the count is masked. */
function chooseCount(random, size) {
  const bits = BITS[size];
  const borders = [0, 1, 2, bits - 1, bits, bits + 1, 31, 32, 33, 63, 64, 65, 255];
  return random.percent(40) ? random.pick(borders) : random.percent(70) ? random.below(bits) : random.below(256);
}

/** Byte operands can be CH, so that CL is set last and only its own bits. */
function chooseCl(g) {
  const size = g.template.rm.size ?? 4;
  g.state.gpr[RCX] = (g.state.gpr[RCX] & ~0xffn) | BigInt(chooseCount(g.random, size));
}

function countIn(g) {
  return Number(g.state.gpr[RCX] & 0xffn);
}

/** @spec SDM-2B "RCL/RCR/ROL/ROR", "SAL/SAR/SHL/SHR", Flags Affected */
function undefinedAfter(name, size, rawCount) {
  const count = rawCount & (size === 8 ? 63 : 31);
  if (count === 0) return 0;
  const overflow = count === 1 ? 0 : OF;
  if (name.startsWith('R')) return overflow;
  const carry = name !== 'SAR' && count >= BITS[size] ? CF : 0;
  return AF | overflow | carry;
}

function doubleShifts() {
  return V.flatMap((size) =>
    [
      ['SHLD', 0xa4],
      ['SHRD', 0xac],
    ].flatMap(([name, opcode]) => {
      const common = { ...sized(size), reg: gpr(size) };
      return [
        ...regAndMem(
          {
            ...common,
            name: `${name} Ev,Gv,Ib ${BITS[size]}`,
            opcode: [0x0f, opcode],
            immediate: 1,
            immediateValue: (random) => definedCount(random, size),
            undefinedFlags: (g) => undefinedDouble(size, Number(g.immediate)),
          },
          size,
        ),
        ...regAndMem(
          {
            ...common,
            name: `${name} Ev,Gv,CL ${BITS[size]}`,
            opcode: [0x0f, opcode + 1],
            uses: { [RCX]: 1 },
            prepare: (g) => putGpr(g, RCX, 1, BigInt(definedCount(g.random, size))),
            undefinedFlags: (g) => undefinedDouble(size, countIn(g)),
          },
          size,
        ),
      ];
    }),
  );
}

/** A masked count above the operand width (16 bits only) leaves even the result undefined: no such case. */
function definedCount(random, size) {
  for (;;) {
    const count = chooseCount(random, size);
    if ((count & (size === 8 ? 63 : 31)) <= BITS[size]) return count;
  }
}

function undefinedDouble(size, rawCount) {
  const count = rawCount & (size === 8 ? 63 : 31);
  if (count === 0) return 0;
  if (count > BITS[size]) return ARITHMETIC;
  return count === 1 ? AF : AF | OF;
}
