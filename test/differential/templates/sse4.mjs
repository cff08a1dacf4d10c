import { gpr, mem, RAX, RDX, xmm } from './forms.mjs';
import { aligned, chooseMxcsr, xmmPair } from './sse-float.mjs';

const X66 = { prefixes: [0x66] };

/** SSE4.1 and SSE4.2. */
export function sse4() {
  return [...packed(), ...widening(), ...floating(), ...elements(), ...strings()];
}

/** "66 0F 38 xx" of two XMM operands. */
const PACKED = {
  PBLENDVB: 0x10,
  BLENDVPS: 0x14,
  BLENDVPD: 0x15,
  PTEST: 0x17,
  PMULDQ: 0x28,
  PCMPEQQ: 0x29,
  PACKUSDW: 0x2b,
  PCMPGTQ: 0x37,
  PMINSB: 0x38,
  PMINSD: 0x39,
  PMINUW: 0x3a,
  PMINUD: 0x3b,
  PMAXSB: 0x3c,
  PMAXSD: 0x3d,
  PMAXUW: 0x3e,
  PMAXUD: 0x3f,
  PMULLD: 0x40,
  PHMINPOSUW: 0x41,
};

function packed() {
  return Object.entries(PACKED).flatMap(([name, opcode]) => {
    const t = {
      ...X66,
      name,
      feature: name === 'PCMPGTQ' ? 'sse4_2' : 'sse4_1',
      opcode: [0x0f, 0x38, opcode],
      count: 20,
    };
    if (name !== 'PTEST') return xmmPair(t, 16, 'int');
    return xmmPair({ ...t, prepare: sparse }, 16, 'int');
  });
}

/** Disjoint or covering bits, so that ZF and CF get set. */
function sparse(g) {
  const { random, state, numbers } = g;
  const from = 16 * numbers.reg;
  if (random.percent(30)) state.xmm.fill(random.pick([0, 255]), from, from + 16);
  if (numbers.rm !== undefined && random.percent(30)) {
    for (let i = 0; i < 16; i++) state.xmm[16 * numbers.rm + i] = state.xmm[from + i] ^ (random.percent(50) ? 255 : 0);
  }
}

function widening() {
  const sizes = [8, 4, 2, 8, 4, 8];
  const kinds = ['BW', 'BD', 'BQ', 'WD', 'WQ', 'DQ'];
  return ['SX', 'ZX'].flatMap((sign, s) =>
    kinds.flatMap((kind, i) =>
      xmmPair(
        { ...X66, name: `PMOV${sign}${kind}`, feature: 'sse4_1', opcode: [0x0f, 0x38, 0x20 + 16 * s + i], count: 12 },
        sizes[i],
        'int',
        mem(sizes[i]),
      ),
    ),
  );
}

/** "66 0F 3A xx Ib". */
function floating() {
  const list = [
    ['ROUNDPS', 0x08, 'f32', 16],
    ['ROUNDPD', 0x09, 'f64', 16],
    ['ROUNDSS', 0x0a, 'f32', 4],
    ['ROUNDSD', 0x0b, 'f64', 8],
    ['BLENDPS', 0x0c, 'int', 16],
    ['BLENDPD', 0x0d, 'int', 16],
    ['PBLENDW', 0x0e, 'int', 16],
    ['DPPS', 0x40, 'f32', 16],
    ['DPPD', 0x41, 'f64', 16],
    ['MPSADBW', 0x42, 'int', 16],
    ['INSERTPS', 0x21, 'int', 4],
  ];
  return list.flatMap(([name, opcode, domain, size]) => {
    const t = { ...X66, name, feature: 'sse4_1', opcode: [0x0f, 0x3a, opcode], immediate: 1 };
    const rounding = { immediateValue: (random) => random.below(16) };
    return xmmPair(
      { ...t, ...(domain === 'int' ? {} : { setup: chooseMxcsr }), ...(name[0] === 'R' ? rounding : {}) },
      size,
      domain,
    );
  });
}

function elements() {
  const t = { ...X66, feature: 'sse4_1', immediate: 1, reg: xmm(), count: 16 };
  const pair = (name, opcode, size, more = {}) => [
    { ...t, ...more, name: `${name} reg`, opcode: [0x0f, 0x3a, opcode], rm: gpr(Math.max(size, 4)) },
    { ...t, ...more, name: `${name} mem`, opcode: [0x0f, 0x3a, opcode], rm: mem(size) },
  ];
  return [
    ...pair('PEXTRB', 0x14, 1),
    ...pair('PEXTRW E,V', 0x15, 2),
    ...pair('PEXTRD', 0x16, 4),
    ...pair('PEXTRQ', 0x16, 8, { rexW: true }),
    ...pair('EXTRACTPS', 0x17, 4),
    ...pair('PINSRB', 0x20, 1),
    ...pair('PINSRD', 0x22, 4),
    ...pair('PINSRQ', 0x22, 8, { rexW: true }),
  ];
}

/** The flags CF, ZF, SF and OF are results, AF and PF are cleared. @spec SDM-2B "PCMPISTRI" */
function strings() {
  const list = [
    ['PCMPESTRM', 0x60],
    ['PCMPESTRI', 0x61],
    ['PCMPISTRM', 0x62],
    ['PCMPISTRI', 0x63],
  ];
  return list.flatMap(([name, opcode]) =>
    ['text', 'text16'].flatMap((domain) => {
      const explicit = name[4] === 'E';
      const t = {
        ...X66,
        name: `${name} ${domain === 'text' ? 'bytes' : 'words'}`,
        feature: 'sse4_2',
        opcode: [0x0f, 0x3a, opcode],
        immediate: 1,
        immediateValue: (random) => (random.below(64) << 1) | (domain === 'text' ? 0 : 1),
        count: 64,
        ...(explicit ? { uses: { [RAX]: 4, [RDX]: 4 }, prepare: chooseLengths } : {}),
      };
      return xmmPair(t, 16, domain, mem(16, { domain }));
    }),
  );
}

/** Lengths saturate; their magnitude counts. */
function chooseLengths(g) {
  const { random, state } = g;
  for (const n of [RAX, RDX]) {
    if (random.percent(75)) state.gpr[n] = (random.u64() << 32n) | BigInt.asUintN(32, BigInt(random.between(-18, 18)));
  }
}

/** AES-NI, PCLMULQDQ and SHA. */
export function crypto() {
  const pair = (name, feature, prefixes, opcode, immediate) =>
    xmmPair({ name, feature, prefixes, opcode, ...(immediate ? { immediate: 1 } : {}) }, 16, 'raw', aligned(16, 'raw'));
  const sha = (name, opcode) => pair(name, 'sha_ni', [], [0x0f, 0x38, opcode]);
  return [
    ...pair('AESIMC', 'aes', [0x66], [0x0f, 0x38, 0xdb]),
    ...pair('AESENC', 'aes', [0x66], [0x0f, 0x38, 0xdc]),
    ...pair('AESENCLAST', 'aes', [0x66], [0x0f, 0x38, 0xdd]),
    ...pair('AESDEC', 'aes', [0x66], [0x0f, 0x38, 0xde]),
    ...pair('AESDECLAST', 'aes', [0x66], [0x0f, 0x38, 0xdf]),
    ...pair('AESKEYGENASSIST', 'aes', [0x66], [0x0f, 0x3a, 0xdf], true),
    ...pair('PCLMULQDQ', 'pclmulqdq', [0x66], [0x0f, 0x3a, 0x44], true),
    ...sha('SHA1NEXTE', 0xc8),
    ...sha('SHA1MSG1', 0xc9),
    ...sha('SHA1MSG2', 0xca),
    ...sha('SHA256RNDS2', 0xcb),
    ...sha('SHA256MSG1', 0xcc),
    ...sha('SHA256MSG2', 0xcd),
    ...pair('SHA1RNDS4', 'sha_ni', [], [0x0f, 0x3a, 0xcc], true),
  ].map((t) => ({ ...t, count: 16 }));
}
