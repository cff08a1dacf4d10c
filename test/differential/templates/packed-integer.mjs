import { littleEndian, poke, setMmx } from '../build-case.mjs';
import { gpr, mem, mmx, xmm } from './forms.mjs';
import { aligned, xmmPair } from './sse-float.mjs';

/** Second opcode byte of "0F xx" forms that exist for MMX (no prefix) and XMM (66). */
const BOTH = {
  PUNPCKLBW: 0x60,
  PUNPCKLWD: 0x61,
  PUNPCKLDQ: 0x62,
  PACKSSWB: 0x63,
  PCMPGTB: 0x64,
  PCMPGTW: 0x65,
  PCMPGTD: 0x66,
  PACKUSWB: 0x67,
  PUNPCKHBW: 0x68,
  PUNPCKHWD: 0x69,
  PUNPCKHDQ: 0x6a,
  PACKSSDW: 0x6b,
  PCMPEQB: 0x74,
  PCMPEQW: 0x75,
  PCMPEQD: 0x76,
  PADDQ: 0xd4,
  PMULLW: 0xd5,
  PSUBUSB: 0xd8,
  PSUBUSW: 0xd9,
  PMINUB: 0xda,
  PAND: 0xdb,
  PADDUSB: 0xdc,
  PADDUSW: 0xdd,
  PMAXUB: 0xde,
  PANDN: 0xdf,
  PAVGB: 0xe0,
  PAVGW: 0xe3,
  PMULHUW: 0xe4,
  PMULHW: 0xe5,
  PSUBSB: 0xe8,
  PSUBSW: 0xe9,
  PMINSW: 0xea,
  POR: 0xeb,
  PADDSB: 0xec,
  PADDSW: 0xed,
  PMAXSW: 0xee,
  PXOR: 0xef,
  PMULUDQ: 0xf4,
  PMADDWD: 0xf5,
  PSADBW: 0xf6,
  PSUBB: 0xf8,
  PSUBW: 0xf9,
  PSUBD: 0xfa,
  PSUBQ: 0xfb,
  PADDB: 0xfc,
  PADDW: 0xfd,
  PADDD: 0xfe,
};

/** Shifts whose count is the second operand; digit and opcode of the immediate form. */
const SHIFTS = [
  ['PSRLW', 0xd1, 0x71, 2],
  ['PSRLD', 0xd2, 0x72, 2],
  ['PSRLQ', 0xd3, 0x73, 2],
  ['PSRAW', 0xe1, 0x71, 4],
  ['PSRAD', 0xe2, 0x72, 4],
  ['PSLLW', 0xf1, 0x71, 6],
  ['PSLLD', 0xf2, 0x72, 6],
  ['PSLLQ', 0xf3, 0x73, 6],
];

/** Third opcode byte of SSSE3 "0F 38 xx" forms, MMX and XMM. */
const SSSE3 = {
  PSHUFB: 0x00,
  PHADDW: 0x01,
  PHADDD: 0x02,
  PHADDSW: 0x03,
  PMADDUBSW: 0x04,
  PHSUBW: 0x05,
  PHSUBD: 0x06,
  PHSUBSW: 0x07,
  PSIGNB: 0x08,
  PSIGNW: 0x09,
  PSIGND: 0x0a,
  PMULHRSW: 0x0b,
  PABSB: 0x1c,
  PABSW: 0x1d,
  PABSD: 0x1e,
};

/** XMM integer instructions of SSE2 and SSSE3. */
export function sseInteger() {
  const x66 = { prefixes: [0x66] };
  return [
    ...Object.entries(BOTH).flatMap(([name, opcode]) => xmmPair({ ...x66, name, opcode: [0x0f, opcode] }, 16, 'int')),
    ...Object.entries({ PUNPCKLQDQ: 0x6c, PUNPCKHQDQ: 0x6d }).flatMap(([name, opcode]) =>
      xmmPair({ ...x66, name, opcode: [0x0f, opcode] }, 16, 'int'),
    ),
    ...Object.entries(SSSE3).flatMap(([name, opcode]) =>
      xmmPair({ ...x66, name, feature: 'ssse3', opcode: [0x0f, 0x38, opcode] }, 16, 'int'),
    ),
    ...SHIFTS.flatMap(([name, opcode]) =>
      xmmPair({ ...x66, name, opcode: [0x0f, opcode], prepare: smallCount }, 16, 'int'),
    ),
    ...SHIFTS.map(([name, , opcode, digit]) => immediateShift(name, opcode, digit, xmm())),
    immediateShift('PSRLDQ', 0x73, 3, xmm()),
    immediateShift('PSLLDQ', 0x73, 7, xmm()),
    ...[
      ['PSHUFD', 0x66],
      ['PSHUFHW', 0xf3],
      ['PSHUFLW', 0xf2],
    ].flatMap(([name, prefix]) => xmmPair({ name, prefixes: [prefix], opcode: [0x0f, 0x70], immediate: 1 }, 16, 'int')),
    ...xmmPair({ ...x66, name: 'PALIGNR', feature: 'ssse3', opcode: [0x0f, 0x3a, 0x0f], ...around(32) }, 16, 'int'),
    ...insertAndExtractWord(x66, xmm()),
  ].map((t) => ({ count: 20, ...t }));
}

/** Half of the immediates stay below the number where the result becomes zero. */
function around(limit) {
  return { immediate: 1, immediateValue: (random) => random.below(random.percent(70) ? limit + 2 : 256) };
}

function immediateShift(name, opcode, digit, rm) {
  const prefixes = rm.file === 'xmm' ? [0x66] : [];
  return { name: `${name} Ib`, prefixes, opcode: [0x0f, opcode], digit, rm, ...around(name.endsWith('DQ') ? 16 : 64) };
}

/** All 64 bits of the count operand count. */
function smallCount(g) {
  const { random, numbers, state } = g;
  if (random.percent(15)) return;
  const count = littleEndian(random.below(70), 8);
  if (g.memory) poke(g, g.target, count);
  else if (g.template.rm.file === 'xmm') state.xmm.set(count, 16 * numbers.rm);
  else setMmx(g, numbers.rm, count);
}

function insertAndExtractWord(t, register) {
  const word = { immediate: 1 };
  return [
    { ...t, ...word, name: 'PINSRW reg', opcode: [0x0f, 0xc4], reg: register, rm: gpr(4) },
    { ...t, ...word, name: 'PINSRW mem', opcode: [0x0f, 0xc4], reg: register, rm: mem(2) },
    { ...t, ...word, name: 'PEXTRW', opcode: [0x0f, 0xc5], reg: gpr(4), rm: register },
  ];
}

/** MMX instructions, with their effect on the x87 tag word and TOP. */
export function mmxInteger() {
  const t = { setup: chooseX87ForMmx, count: 16 };
  return [
    ...Object.entries(BOTH).flatMap(([name, opcode]) => mmxPair({ ...t, name, opcode: [0x0f, opcode] }, name)),
    ...Object.entries(SSSE3).flatMap(([name, opcode]) =>
      mmxPair({ ...t, name, feature: 'ssse3', opcode: [0x0f, 0x38, opcode] }, name),
    ),
    ...SHIFTS.flatMap(([name, opcode]) => mmxPair({ ...t, name, opcode: [0x0f, opcode], prepare: smallCount }, name)),
    ...SHIFTS.map(([name, , opcode, digit]) => ({ ...t, ...immediateShift(name, opcode, digit, mmx()) })),
    ...mmxPair({ ...t, name: 'PSHUFW', opcode: [0x0f, 0x70], immediate: 1 }, ''),
    ...mmxPair({ ...t, name: 'PALIGNR', feature: 'ssse3', opcode: [0x0f, 0x3a, 0x0f], ...around(16) }, ''),
    ...insertAndExtractWord(t, mmx()),
    { ...t, name: 'PMOVMSKB', opcode: [0x0f, 0xd7], reg: gpr(4), rm: mmx() },
    ...mmxMoves(t),
    ...mmxConversions(t),
    { ...t, name: 'EMMS', opcode: [0x0f, 0x77] },
  ];
}

/** Only the low half of the source is used, and only 4 bytes of a memory source are read. */
function mmxPair(t, name) {
  const size = name.startsWith('PUNPCKL') ? 4 : 8;
  return [
    { ...t, name: `${t.name} reg`, reg: mmx(), rm: mmx() },
    { ...t, name: `${t.name} mem`, reg: mmx(), rm: mem(size) },
  ];
}

function mmxMoves(t) {
  const out = [
    ...mmxPair({ ...t, name: 'MOVQ P,Q', opcode: [0x0f, 0x6f] }, ''),
    ...mmxPair({ ...t, name: 'MOVQ Q,P', opcode: [0x0f, 0x7f] }, ''),
    { ...t, name: 'MOVNTQ', opcode: [0x0f, 0xe7], reg: mmx(), rm: mem(8) },
    { ...t, name: 'MOVQ2DQ', prefixes: [0xf3], opcode: [0x0f, 0xd6], reg: xmm(), rm: mmx() },
    { ...t, name: 'MOVDQ2Q', prefixes: [0xf2], opcode: [0x0f, 0xd6], reg: mmx(), rm: xmm() },
  ];
  for (const size of [4, 8]) {
    const name = size === 4 ? 'MOVD' : 'MOVQ';
    for (const [label, opcode] of [
      ['P,E', 0x6e],
      ['E,P', 0x7e],
    ]) {
      const move = { ...t, rexW: size === 8, opcode: [0x0f, opcode], reg: mmx() };
      out.push({ ...move, name: `${name} ${label} ${8 * size} reg`, rm: gpr(size) });
      out.push({ ...move, name: `${name} ${label} ${8 * size} mem`, rm: mem(size) });
    }
  }
  return out;
}

function mmxConversions(t) {
  const both = (name, prefixes, opcode, reg, rm, memory) => [
    { ...t, name: `${name} reg`, prefixes, opcode: [0x0f, opcode], reg, rm },
    { ...t, name: `${name} mem`, prefixes, opcode: [0x0f, opcode], reg, rm: memory },
  ];
  return [
    ...both('CVTPI2PS', [], 0x2a, xmm('f32'), mmx('i32'), mem(8, { domain: 'i32' })),
    ...both('CVTPI2PD', [0x66], 0x2a, xmm('f64'), mmx('i32'), mem(8, { domain: 'i32' })),
    ...both('CVTTPS2PI', [], 0x2c, mmx(), xmm('f32'), mem(8, { domain: 'f32' })),
    ...both('CVTPS2PI', [], 0x2d, mmx(), xmm('f32'), mem(8, { domain: 'f32' })),
    ...both('CVTTPD2PI', [0x66], 0x2c, mmx(), xmm('f64'), aligned(16, 'f64')),
    ...both('CVTPD2PI', [0x66], 0x2d, mmx(), xmm('f64'), aligned(16, 'f64')),
  ];
}

/** Mostly what MMX code sees: TOP 0; sometimes left-over x87 contents, seldom a pending exception. */
function chooseX87ForMmx(g) {
  const { random, state } = g;
  const top = random.percent(75) ? 0 : random.below(8);
  state.fsw = (top << 11) | (random.percent(20) ? random.pick([0x100, 0x200, 0x400, 0x4000]) : 0);
  state.ftw = random.percent(60) ? 0xff : random.below(256);
  if (random.percent(2)) {
    state.fcw = 0x37e;
    state.fsw |= 0x8081;
  }
}
