import { AF, OF, putRm, SF } from '../build-case.mjs';
import { data } from '../values.mjs';
import { mem, RAX } from './forms.mjs';

const C0 = 0x100;
const C1 = 0x200;
const C2 = 0x400;
const C3 = 0x4000;
/** What most x87 instructions leave undefined. */
const OPEN = { setup: chooseX87, undefinedFsw: C0 | C2 | C3 };
const ALL_OPEN = { setup: chooseX87, undefinedFsw: C0 | C1 | C2 | C3 };
/** Instructions that define every condition code. */
const DEFINED = { setup: chooseX87 };

const ARITHMETIC = ['FADD', 'FMUL', 'FCOM', 'FCOMP', 'FSUB', 'FSUBR', 'FDIV', 'FDIVR'];

/** x87 without transcendental functions. */
export function x87() {
  return [
    ...arithmetic(),
    ...loadsAndStores(),
    ...registerForms(),
    ...comparisons(),
    ...constants(),
    ...unary(),
    ...control(),
  ];
}

/**
 * Registers full or not, any TOP, all rounding and precision controls, mostly masked exceptions. A pending unmasked
 * exception (1 in 40) makes the instruction #MF before it does anything.
 */
export function chooseX87(g) {
  const { random, state } = g;
  const pending = random.percent(2.5);
  const masks = pending ? random.below(63) : random.percent(88) ? 0x3f : random.below(64);
  const precision = random.percent(70) ? 3 : random.pick([0, 2, 3]);
  const rounding = random.percent(60) ? 0 : random.below(4);
  state.fcw = 0x40 | masks | (precision << 8) | (rounding << 10);
  state.ftw = random.percent(75) ? 0xff : random.below(256);
  state.fsw = (random.below(8) << 11) | (random.u32() & (C0 | C1 | C2 | C3));
  if (random.percent(10)) state.fsw |= random.below(64) & masks;
  if (pending) state.fsw |= 0x8080 | (~masks & 0x3f);
  state.st.set(data(random, 'f80', 10), 0);
  state.st.set(data(random, 'f80', 10), 10);
}

/** A register form: escape byte and second byte, with ST(i) in its low bits. */
function withSt(t, first, second) {
  return {
    ...t,
    opcode: [first, second],
    low3: { file: 'st' },
    prepare: (g) => {
      if (g.numbers.low3 > 1) g.state.st.set(data(g.random, 'f80', 10), 10 * g.numbers.low3);
    },
  };
}

function arithmetic() {
  const memory = [
    ['m32', 0xd8, 4, 'f32'],
    ['m64', 0xdc, 8, 'f64'],
    ['i32', 0xda, 4, 'i32'],
    ['i16', 0xde, 2, 'i16'],
  ];
  return ARITHMETIC.flatMap((name, digit) => {
    const kind = name.startsWith('FCOM') ? DEFINED : OPEN;
    const out = memory.map(([label, opcode, size, domain]) => {
      const mnemonic = label[0] === 'i' ? name.replace('F', 'FI') : name;
      return { ...kind, name: `${mnemonic} ${label}`, opcode: [opcode], digit, rm: mem(size, { domain }) };
    });
    out.push(withSt({ ...kind, name: `${name} ST,STi`, count: 48 }, 0xd8, 0xc0 + 8 * digit));
    if (name.startsWith('FCOM')) return out;
    // In the forms that store to ST(i), /4 and /5, /6 and /7 change places. @spec SDM-2A "FSUB", "FSUBR"
    const second = 0xc0 + 8 * (digit < 4 ? digit : digit ^ 1);
    out.push(withSt({ ...kind, name: `${name} STi,ST` }, 0xdc, second));
    out.push(withSt({ ...kind, name: `${name}P STi,ST` }, 0xde, second));
    return out;
  });
}

function loadsAndStores() {
  const list = [
    ['FLD m32', 0xd9, 0, 4, 'f32'],
    ['FST m32', 0xd9, 2, 4],
    ['FSTP m32', 0xd9, 3, 4],
    ['FLD m64', 0xdd, 0, 8, 'f64'],
    ['FST m64', 0xdd, 2, 8],
    ['FSTP m64', 0xdd, 3, 8],
    ['FLD m80', 0xdb, 5, 10, 'f80'],
    ['FSTP m80', 0xdb, 7, 10],
    ['FILD i16', 0xdf, 0, 2, 'i16'],
    ['FISTTP i16', 0xdf, 1, 2],
    ['FIST i16', 0xdf, 2, 2],
    ['FISTP i16', 0xdf, 3, 2],
    ['FILD i32', 0xdb, 0, 4, 'i32'],
    ['FISTTP i32', 0xdb, 1, 4],
    ['FIST i32', 0xdb, 2, 4],
    ['FISTP i32', 0xdb, 3, 4],
    ['FILD i64', 0xdf, 5, 8, 'i64'],
    ['FISTTP i64', 0xdd, 1, 8],
    ['FISTP i64', 0xdf, 7, 8],
    ['FBLD', 0xdf, 4, 10, 'bcd'],
    ['FBSTP', 0xdf, 6, 10],
  ];
  return list.map(([name, opcode, digit, size, domain = 'int']) => ({
    ...OPEN,
    name,
    opcode: [opcode],
    digit,
    rm: mem(size, { domain }),
    count: 48,
  }));
}

function registerForms() {
  const list = [
    ['FLD STi', 0xd9, 0xc0],
    ['FXCH STi', 0xd9, 0xc8],
    ['FST STi', 0xdd, 0xd0],
    ['FSTP STi', 0xdd, 0xd8],
    ['FCMOVB', 0xda, 0xc0],
    ['FCMOVE', 0xda, 0xc8],
    ['FCMOVBE', 0xda, 0xd0],
    ['FCMOVU', 0xda, 0xd8],
    ['FCMOVNB', 0xdb, 0xc0],
    ['FCMOVNE', 0xdb, 0xc8],
    ['FCMOVNBE', 0xdb, 0xd0],
    ['FCMOVNU', 0xdb, 0xd8],
  ].map(([name, first, second]) => withSt({ ...OPEN, name }, first, second));
  return [...list, withSt({ ...ALL_OPEN, name: 'FFREE STi', count: 16 }, 0xdd, 0xc0)];
}

function comparisons() {
  const toFlags = { ...DEFINED, undefinedFsw: C0 | C2 | C3, undefinedFlags: OF | SF | AF };
  return [
    withSt({ ...DEFINED, name: 'FUCOM STi' }, 0xdd, 0xe0),
    withSt({ ...DEFINED, name: 'FUCOMP STi' }, 0xdd, 0xe8),
    { ...DEFINED, name: 'FUCOMPP', opcode: [0xda, 0xe9] },
    { ...DEFINED, name: 'FCOMPP', opcode: [0xde, 0xd9] },
    withSt({ ...toFlags, name: 'FUCOMI STi' }, 0xdb, 0xe8),
    withSt({ ...toFlags, name: 'FCOMI STi' }, 0xdb, 0xf0),
    withSt({ ...toFlags, name: 'FUCOMIP STi' }, 0xdf, 0xe8),
    withSt({ ...toFlags, name: 'FCOMIP STi' }, 0xdf, 0xf0),
    { ...DEFINED, name: 'FTST', opcode: [0xd9, 0xe4] },
    { ...DEFINED, name: 'FXAM', opcode: [0xd9, 0xe5], count: 64 },
  ];
}

function constants() {
  return ['FLD1', 'FLDL2T', 'FLDL2E', 'FLDPI', 'FLDLG2', 'FLDLN2', 'FLDZ'].map((name, i) => ({
    ...OPEN,
    name,
    opcode: [0xd9, 0xe8 + i],
    count: 24,
  }));
}

function unary() {
  const list = [
    ['FCHS', 0xe0],
    ['FABS', 0xe1],
    ['FXTRACT', 0xf4],
    ['FDECSTP', 0xf6],
    ['FINCSTP', 0xf7],
    ['FSQRT', 0xfa],
    ['FRNDINT', 0xfc],
    ['FSCALE', 0xfd],
  ].map(([name, second]) => ({ ...OPEN, name, opcode: [0xd9, second], count: 48 }));
  const remainder = [
    ['FPREM1', 0xf5],
    ['FPREM', 0xf8],
  ].map(([name, second]) => ({ ...DEFINED, name, opcode: [0xd9, second], count: 64 }));
  return [...list, ...remainder];
}

function control() {
  return [
    { ...ALL_OPEN, name: 'FNOP', opcode: [0xd9, 0xd0], few: true },
    { ...ALL_OPEN, name: 'FWAIT', opcode: [0x9b], count: 12 },
    { ...ALL_OPEN, name: 'FNCLEX', opcode: [0xdb, 0xe2], count: 12 },
    { ...DEFINED, name: 'FNINIT', opcode: [0xdb, 0xe3], count: 12 },
    { ...ALL_OPEN, name: 'FNSTSW AX', opcode: [0xdf, 0xe0], uses: { [RAX]: 2 }, count: 12 },
    { ...ALL_OPEN, name: 'FNSTSW m16', opcode: [0xdd], digit: 7, rm: mem(2), count: 16 },
    { ...ALL_OPEN, name: 'FNSTCW m16', opcode: [0xd9], digit: 7, rm: mem(2), count: 16 },
    { ...ALL_OPEN, name: 'FLDCW m16', opcode: [0xd9], digit: 5, rm: mem(2), count: 24, prepare: chooseControlWord },
  ];
}

/** Reserved bits stay as every implementation keeps them: bit 6 set, bits 7 and 13 to 15 clear. */
function chooseControlWord(g) {
  const precision = g.random.pick([0, 2, 3]);
  putRm(g, 2, 0x40 | (g.random.u32() & 0x1c3f) | (precision << 8));
}

/** Transcendental functions: only the distance to the exact result is architectural. */
export function x87Transcendental() {
  const list = [
    ['F2XM1', 0xf0, C0 | C2 | C3],
    ['FYL2X', 0xf1, C0 | C2 | C3],
    ['FPTAN', 0xf2, C0 | C3],
    ['FPATAN', 0xf3, C0 | C2 | C3],
    ['FYL2XP1', 0xf9, C0 | C2 | C3],
    ['FSINCOS', 0xfb, C0 | C3],
    ['FSIN', 0xfe, C0 | C3],
    ['FCOS', 0xff, C0 | C3],
  ];
  return list.map(([name, second, open]) => ({
    name,
    opcode: [0xd9, second],
    setup: chooseX87,
    // C1 tells whether the last bit was rounded up, which two good approximations need not agree on.
    undefinedFsw: open | C1,
    toleranceUlps: 2,
    count: 64,
    prepare: (g) => restrictDomain(g, name),
  }));
}

/** Outside these ranges F2XM1 and FYL2XP1 leave the result undefined. @spec SDM-2A "F2XM1", "FYL2XP1" */
function restrictDomain(g, name) {
  const { state } = g;
  const limit = { F2XM1: 0x3ffe, FYL2XP1: 0x3ffc }[name];
  const exponent = (state.st[8] | (state.st[9] << 8)) & 0x7fff;
  if (limit === undefined || exponent < limit) return;
  const small = limit - g.random.between(1, 20);
  state.st[8] = small & 255;
  state.st[9] = (state.st[9] & 0x80) | (small >> 8);
  state.st[7] |= 0x80;
}
