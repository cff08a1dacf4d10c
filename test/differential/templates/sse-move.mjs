import { LAYOUT, MEMORY_WINDOWS } from '../../../dist/testing/layout.js';
import { BITS, gpr, mem, RDI, xmm } from './forms.mjs';
import { xmmPair } from './sse-float.mjs';

const SPAN = MEMORY_WINDOWS[0];

/** Moves between XMM registers, memory and general registers. */
export function sseMove() {
  return [...loadsAndStores(), ...halves(), ...scalars(), ...masks(), maskedStore()].map((t) => ({ count: 16, ...t }));
}

/** name, prefix, load opcode, store opcode, needs alignment */
const FULL = [
  ['MOVUPS', [], 0x10, 0x11, false],
  ['MOVUPD', [0x66], 0x10, 0x11, false],
  ['MOVAPS', [], 0x28, 0x29, true],
  ['MOVAPD', [0x66], 0x28, 0x29, true],
  ['MOVDQA', [0x66], 0x6f, 0x7f, true],
  ['MOVDQU', [0xf3], 0x6f, 0x7f, false],
];

function loadsAndStores() {
  const full = FULL.flatMap(([name, prefixes, load, store, strict]) => {
    const memory = mem(16, { align: strict ? 16 : 1 });
    return [
      ...xmmPair({ name: `${name} V,W`, prefixes, opcode: [0x0f, load] }, 16, 'int', memory),
      ...xmmPair({ name: `${name} W,V`, prefixes, opcode: [0x0f, store] }, 16, 'int', memory),
    ];
  });
  const oneWay = [
    ['MOVNTPS', [], [0x0f, 0x2b], 16],
    ['MOVNTPD', [0x66], [0x0f, 0x2b], 16],
    ['MOVNTDQ', [0x66], [0x0f, 0xe7], 16],
    ['MOVNTDQA', [0x66], [0x0f, 0x38, 0x2a], 16],
    ['LDDQU', [0xf2], [0x0f, 0xf0], 1],
  ];
  return [
    ...full,
    ...oneWay.map(([name, prefixes, opcode, align]) => ({
      name,
      prefixes,
      opcode,
      reg: xmm(),
      rm: mem(16, { align }),
    })),
  ];
}

function halves() {
  const memoryOnly = [
    ['MOVLPS V,M', [], 0x12],
    ['MOVLPS M,V', [], 0x13],
    ['MOVLPD V,M', [0x66], 0x12],
    ['MOVLPD M,V', [0x66], 0x13],
    ['MOVHPS V,M', [], 0x16],
    ['MOVHPS M,V', [], 0x17],
    ['MOVHPD V,M', [0x66], 0x16],
    ['MOVHPD M,V', [0x66], 0x17],
  ].map(([name, prefixes, opcode]) => ({ name, prefixes, opcode: [0x0f, opcode], reg: xmm(), rm: mem(8) }));
  return [
    ...memoryOnly,
    { name: 'MOVHLPS', opcode: [0x0f, 0x12], reg: xmm(), rm: xmm() },
    { name: 'MOVLHPS', opcode: [0x0f, 0x16], reg: xmm(), rm: xmm() },
  ];
}

function scalars() {
  const out = [
    ['MOVSS V,W', [0xf3], 0x10, 4],
    ['MOVSS W,V', [0xf3], 0x11, 4],
    ['MOVSD V,W', [0xf2], 0x10, 8],
    ['MOVSD W,V', [0xf2], 0x11, 8],
    ['MOVQ V,W', [0xf3], 0x7e, 8],
    ['MOVQ W,V', [0x66], 0xd6, 8],
  ].flatMap(([name, prefixes, opcode, size]) =>
    xmmPair({ name, prefixes, opcode: [0x0f, opcode] }, size, 'int', mem(size)),
  );
  for (const size of [4, 8]) {
    const name = size === 4 ? 'MOVD' : 'MOVQ';
    const t = { prefixes: [0x66], rexW: size === 8, reg: xmm() };
    for (const [label, opcode] of [
      ['V,E', 0x6e],
      ['E,V', 0x7e],
    ]) {
      out.push({ ...t, name: `${name} ${label} ${BITS[size]} reg`, opcode: [0x0f, opcode], rm: gpr(size) });
      out.push({ ...t, name: `${name} ${label} ${BITS[size]} mem`, opcode: [0x0f, opcode], rm: mem(size) });
    }
  }
  return out;
}

function masks() {
  return [
    { name: 'MOVMSKPS', opcode: [0x0f, 0x50], reg: gpr(4), rm: xmm() },
    { name: 'MOVMSKPD', prefixes: [0x66], opcode: [0x0f, 0x50], reg: gpr(4), rm: xmm() },
    { name: 'PMOVMSKB', prefixes: [0x66], opcode: [0x0f, 0xd7], reg: gpr(4), rm: xmm() },
  ];
}

/** Faults with an all-zero mask are left to the implementation, so the target is always accessible. */
function maskedStore() {
  return { name: 'MASKMOVDQU', prefixes: [0x66], opcode: [0x0f, 0xf7], reg: xmm(), rm: xmm(), prepare: pointRdi };
}

export function pointRdi(g) {
  const at = g.random.percent(25)
    ? LAYOUT.highPage - g.random.below(16)
    : SPAN.address + g.random.below(SPAN.length - 16);
  g.state.gpr[RDI] = BigInt(at);
}
