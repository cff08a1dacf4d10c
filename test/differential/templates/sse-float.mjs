import { putRm } from '../build-case.mjs';
import { integer } from '../values.mjs';
import { BITS, gpr, mem, xmm } from './forms.mjs';

/** SSE, SSE2 and SSE3 floating point: arithmetic, comparison, conversion, shuffles, moves, MXCSR. */
export function sseFloat() {
  return [
    ...arithmetic(),
    ...bitwise(),
    ...comparisons(),
    ...horizontal(),
    ...conversions(),
    ...shuffles(),
    ...control(),
  ];
}

/** The four element types of one opcode: suffix, mandatory prefix, domain, bytes in memory. */
const TYPES = [
  ['PS', [], 'f32', 16],
  ['PD', [0x66], 'f64', 16],
  ['SS', [0xf3], 'f32', 4],
  ['SD', [0xf2], 'f64', 8],
];

/** Rounding modes, flush-to-zero, denormals-are-zero, sticky flags, and now and then an unmasked exception. */
export function chooseMxcsr(g) {
  const { random, state } = g;
  let mxcsr = 0x1f80;
  if (random.percent(35)) mxcsr |= random.below(4) << 13;
  if (random.percent(12)) mxcsr |= 0x8000;
  if (random.percent(12)) mxcsr |= 0x40;
  if (random.percent(20)) mxcsr |= random.below(64);
  if (random.percent(10)) mxcsr &= ~(random.below(64) << 7);
  state.mxcsr = mxcsr;
}

const FLOAT = { setup: chooseMxcsr };

/** Memory operands of 16 bytes must be aligned. */
export const aligned = (size, domain) => mem(size, { domain, align: size === 16 ? 16 : 1 });

/** Register and memory form of `op xmm, xmm/m`. */
export function xmmPair(t, size, domain, memory = aligned(size, domain)) {
  return [
    { ...t, name: `${t.name} reg`, reg: xmm(domain), rm: xmm(domain) },
    { ...t, name: `${t.name} mem`, reg: xmm(domain), rm: memory },
  ];
}

function arithmetic() {
  const list = [
    ['SQRT', 0x51],
    ['ADD', 0x58],
    ['MUL', 0x59],
    ['SUB', 0x5c],
    ['MIN', 0x5d],
    ['DIV', 0x5e],
    ['MAX', 0x5f],
  ];
  return list.flatMap(([name, opcode]) =>
    TYPES.flatMap(([suffix, prefixes, domain, size]) =>
      xmmPair(
        { ...FLOAT, name: `${name}${suffix}`, prefixes, opcode: [0x0f, opcode], prepare: alike(domain) },
        size,
        domain,
      ),
    ),
  );
}

/** Equal or opposite operands now and then: exact zeroes, cancellation, MIN and MAX of equal numbers. */
function alike(domain) {
  const width = domain === 'f32' ? 4 : 8;
  return (g) => {
    const { reg, rm } = g.numbers;
    if (rm === undefined || !g.random.percent(12)) return;
    g.state.xmm.copyWithin(16 * rm, 16 * reg, 16 * reg + 16);
    if (reg !== rm && g.random.percent(50)) g.state.xmm[16 * rm + width - 1] ^= 0x80;
  };
}

function bitwise() {
  const list = ['AND', 'ANDN', 'OR', 'XOR'].flatMap((name, i) =>
    TYPES.slice(0, 2).map(([suffix, prefixes]) => ({ name: `${name}${suffix}`, prefixes, opcode: [0x0f, 0x54 + i] })),
  );
  return list.flatMap((t) => xmmPair({ ...t, count: 12 }, 16, 'int'));
}

function comparisons() {
  const packed = TYPES.flatMap(([suffix, prefixes, domain, size]) =>
    xmmPair(
      {
        ...FLOAT,
        name: `CMP${suffix} Ib`,
        prefixes,
        opcode: [0x0f, 0xc2],
        immediate: 1,
        immediateValue: (random) => random.below(8),
        prepare: alike(domain),
        count: 48,
      },
      size,
      domain,
    ),
  );
  const toFlags = ['UCOMI', 'COMI'].flatMap((name, i) =>
    [TYPES[0], TYPES[1]].flatMap(([, prefixes, domain]) => {
      const suffix = domain === 'f32' ? 'SS' : 'SD';
      const t = { ...FLOAT, name: `${name}${suffix}`, prefixes, opcode: [0x0f, 0x2e + i], prepare: alike(domain) };
      return xmmPair(t, domain === 'f32' ? 4 : 8, domain);
    }),
  );
  return [...packed, ...toFlags];
}

function horizontal() {
  const list = [
    ['HADDPD', [0x66], 0x7c, 'f64'],
    ['HADDPS', [0xf2], 0x7c, 'f32'],
    ['HSUBPD', [0x66], 0x7d, 'f64'],
    ['HSUBPS', [0xf2], 0x7d, 'f32'],
    ['ADDSUBPD', [0x66], 0xd0, 'f64'],
    ['ADDSUBPS', [0xf2], 0xd0, 'f32'],
  ];
  return list.flatMap(([name, prefixes, opcode, domain]) =>
    xmmPair({ ...FLOAT, name, feature: 'pni', prefixes, opcode: [0x0f, opcode] }, 16, domain),
  );
}

function conversions() {
  // name, prefix, opcode, domain of the source, bytes of a memory source
  const vectors = [
    ['CVTPS2PD', [], 0x5a, 'f32', 8],
    ['CVTPD2PS', [0x66], 0x5a, 'f64', 16],
    ['CVTSS2SD', [0xf3], 0x5a, 'f32', 4],
    ['CVTSD2SS', [0xf2], 0x5a, 'f64', 8],
    ['CVTDQ2PS', [], 0x5b, 'i32', 16],
    ['CVTPS2DQ', [0x66], 0x5b, 'f32', 16],
    ['CVTTPS2DQ', [0xf3], 0x5b, 'f32', 16],
    ['CVTTPD2DQ', [0x66], 0xe6, 'f64', 16],
    ['CVTDQ2PD', [0xf3], 0xe6, 'i32', 8],
    ['CVTPD2DQ', [0xf2], 0xe6, 'f64', 16],
  ].flatMap(([name, prefixes, opcode, domain, size]) =>
    xmmPair({ ...FLOAT, name, prefixes, opcode: [0x0f, opcode] }, size, domain),
  );
  const scalars = [TYPES[2], TYPES[3]].flatMap(([suffix, prefixes, domain, size]) =>
    [4, 8].flatMap((wide) => {
      const t = { ...FLOAT, prefixes, rexW: wide === 8 };
      const from = { ...t, name: `CVTSI2${suffix} ${BITS[wide]}`, opcode: [0x0f, 0x2a], reg: xmm(domain) };
      const to = (name, opcode) => ({ ...t, name: `${name} ${BITS[wide]}`, opcode: [0x0f, opcode], reg: gpr(wide) });
      return [
        { ...from, name: `${from.name} reg`, rm: gpr(wide) },
        { ...from, name: `${from.name} mem`, rm: mem(wide) },
        ...[to(`CVTT${suffix}2SI`, 0x2c), to(`CVT${suffix}2SI`, 0x2d)].flatMap((c) => [
          { ...c, name: `${c.name} reg`, rm: xmm(domain) },
          { ...c, name: `${c.name} mem`, rm: mem(size, { domain }) },
        ]),
      ];
    }),
  );
  return [...vectors, ...scalars];
}

function shuffles() {
  const list = [
    ['UNPCKLPS', [], 0x14, 16],
    ['UNPCKLPD', [0x66], 0x14, 16],
    ['UNPCKHPS', [], 0x15, 16],
    ['UNPCKHPD', [0x66], 0x15, 16],
    ['SHUFPS', [], 0xc6, 16, 1],
    ['SHUFPD', [0x66], 0xc6, 16, 1],
    ['MOVSLDUP', [0xf3], 0x12, 16],
    ['MOVDDUP', [0xf2], 0x12, 8],
    ['MOVSHDUP', [0xf3], 0x16, 16],
  ];
  return list.flatMap(([name, prefixes, opcode, size, immediate]) =>
    xmmPair({ name, prefixes, opcode: [0x0f, opcode], ...(immediate ? { immediate } : {}), count: 16 }, size, 'int'),
  );
}

function control() {
  const load = (g) => {
    const value = g.random.percent(80) ? g.random.below(0x10000) : Number(integer(g.random, 32));
    putRm(g, 4, value);
  };
  return [
    { name: 'LDMXCSR', opcode: [0x0f, 0xae], digit: 2, rm: mem(4), setup: chooseMxcsr, prepare: load },
    { name: 'STMXCSR', opcode: [0x0f, 0xae], digit: 3, rm: mem(4), setup: chooseMxcsr },
  ];
}

/** RCP and RSQRT, whose results processors may choose within a relative error of 1.5 * 2**-12. */
export function sseApproximate() {
  const list = [
    ['RSQRT', 0x52],
    ['RCP', 0x53],
  ];
  // Twice the allowed error, in units of the last place at the lower end of a binade.
  const toleranceUlps = 2 * 2 * 1.5 * 2 ** 11;
  return list.flatMap(([name, opcode]) =>
    [TYPES[0], TYPES[2]].flatMap(([suffix, prefixes, domain, size]) =>
      xmmPair({ ...FLOAT, name: `${name}${suffix}`, toleranceUlps, prefixes, opcode: [0x0f, opcode] }, size, domain),
    ),
  );
}
