import { getGpr, littleEndian, poke, putGpr, putRm, rmValue, setGpr } from '../build-case.mjs';
import { chooseTarget } from '../address.mjs';
import { integer } from '../values.mjs';
import { BITS, gpr, immediateZ, locked, mem, RAX, RBX, RCX, RDX, regAndMem, sized, V } from './forms.mjs';

export const CONDITIONS = ['O', 'NO', 'B', 'NB', 'Z', 'NZ', 'BE', 'NBE', 'S', 'NS', 'P', 'NP', 'L', 'NL', 'LE', 'NLE'];

/** Data movement, conversions between widths, exchanges, flag bits, LEA, CMOV, SETcc. */
export function move() {
  return [
    ...[1, ...V].flatMap(moves),
    ...[1, ...V].flatMap(exchanges),
    ...widening(),
    ...byteOrder(),
    ...conditional(),
    ...wideExchange(),
    ...withoutOperands(),
    ...hints(),
    ...segmentBases(),
  ];
}

function moves(size) {
  const wide = size === 1 ? 0 : 1;
  const bits = BITS[size];
  const s = sized(size);
  return [
    ...regAndMem({ ...s, name: `MOV E,G ${bits}`, opcode: [0x88 + wide], reg: gpr(size) }, size),
    ...regAndMem({ ...s, name: `MOV G,E ${bits}`, opcode: [0x8a + wide], reg: gpr(size) }, size),
    ...regAndMem({ ...s, name: `MOV E,I ${bits}`, opcode: [0xc6 + wide], digit: 0, immediate: immediateZ(size) }, size),
    { ...s, name: `MOV r,I ${bits}`, opcode: [0xb0 + 8 * wide], low3: gpr(size), immediate: size },
    ...offsetMoves(size, [0xa0 + wide, 0xa2 + wide]),
    ...(wide ? [{ ...s, name: `LEA Gv,M ${bits}`, opcode: [0x8d], reg: gpr(size), rm: mem(8) }] : []),
    ...(size >= 4 ? [{ ...s, name: `MOVNTI M,G ${bits}`, opcode: [0x0f, 0xc3], reg: gpr(size), rm: mem(size) }] : []),
  ];
}

/** MOV rAX,moffs and back: the address is in the instruction, 8 bytes or 4 with an address-size prefix. */
function offsetMoves(size, [load, store]) {
  const make = (name, opcode, narrow) => ({
    name: `${name} ${BITS[size]}${narrow ? ' addr32' : ''}`,
    opcode: [opcode],
    uses: { [RAX]: size },
    few: narrow,
    prepare: (g) => {
      const target = chooseTarget(g.random, size);
      poke(g, target, littleEndian(integer(g.random, size * 8), size));
      const { prefixes, rexW } = sized(size);
      const address = littleEndian(target, narrow ? 4 : 8);
      g.bytes = Uint8Array.from([...(narrow ? [0x67] : []), ...prefixes, ...(rexW ? [0x48] : []), opcode, ...address]);
    },
  });
  return [false, true].flatMap((narrow) => [make('MOV rAX,O', load, narrow), make('MOV O,rAX', store, narrow)]);
}

function exchanges(size) {
  const wide = size === 1 ? 0 : 1;
  const bits = BITS[size];
  const s = sized(size);
  const xchg = { ...s, name: `XCHG E,G ${bits}`, opcode: [0x86 + wide], reg: gpr(size) };
  const xadd = { ...s, name: `XADD E,G ${bits}`, opcode: [0x0f, 0xc0 + wide], reg: gpr(size) };
  const cmpxchg = {
    ...s,
    name: `CMPXCHG E,G ${bits}`,
    opcode: [0x0f, 0xb0 + wide],
    reg: gpr(size),
    uses: { [RAX]: size },
    prepare: (g) => {
      if (g.random.percent(50)) putGpr(g, RAX, size, rmValue(g, size));
    },
  };
  return [
    ...[xchg, xadd, cmpxchg].flatMap((t) => regAndMem(t, size)),
    ...[xchg, xadd, cmpxchg].flatMap((t) => locked(t, size)),
    ...(wide ? [{ ...s, name: `XCHG rAX,r ${bits}`, opcode: [0x90], low3: gpr(size), uses: { [RAX]: size } }] : []),
  ];
}

function widening() {
  const list = [
    ['MOVZX', 0xb6, 1],
    ['MOVZX', 0xb7, 2],
    ['MOVSX', 0xbe, 1],
    ['MOVSX', 0xbf, 2],
  ];
  return V.flatMap((size) => [
    ...list.flatMap(([name, opcode, from]) =>
      regAndMem(
        { ...sized(size), name: `${name} G,E ${BITS[from]} to ${BITS[size]}`, opcode: [0x0f, opcode], reg: gpr(size) },
        from,
      ),
    ),
    ...regAndMem(
      { ...sized(size), name: `MOVSXD G,E ${BITS[size]}`, opcode: [0x63], reg: gpr(size) },
      Math.min(size, 4),
    ),
    { ...sized(size), name: `CBW ${BITS[size]}`, opcode: [0x98], uses: { [RAX]: size / 2 } },
    { ...sized(size), name: `CWD ${BITS[size]}`, opcode: [0x99], uses: { [RAX]: size, [RDX]: size } },
  ]);
}

function byteOrder() {
  const movbe = V.flatMap((size) => [
    {
      ...sized(size),
      name: `MOVBE G,M ${BITS[size]}`,
      feature: 'movbe',
      opcode: [0x0f, 0x38, 0xf0],
      reg: gpr(size),
      rm: mem(size),
    },
    {
      ...sized(size),
      name: `MOVBE M,G ${BITS[size]}`,
      feature: 'movbe',
      opcode: [0x0f, 0x38, 0xf1],
      reg: gpr(size),
      rm: mem(size),
    },
  ]);
  const bswap = [4, 8].map((size) => ({
    ...sized(size),
    name: `BSWAP ${BITS[size]}`,
    opcode: [0x0f, 0xc8],
    low3: gpr(size),
  }));
  const crc = [1, ...V].flatMap((size) =>
    [4, 8]
      .filter((to) => (to === 8) === (size === 8) || (size === 1 && to === 8))
      .flatMap((to) =>
        regAndMem(
          {
            name: `CRC32 G,E ${BITS[size]} in ${BITS[to]}`,
            feature: 'sse4_2',
            prefixes: [...(size === 2 ? [0x66] : []), 0xf2],
            rexW: to === 8,
            opcode: [0x0f, 0x38, size === 1 ? 0xf0 : 0xf1],
            reg: gpr(to),
          },
          size,
        ),
      ),
  );
  return [...movbe, ...bswap, ...crc];
}

function conditional() {
  return CONDITIONS.flatMap((name, i) => [
    ...V.flatMap((size) =>
      regAndMem(
        {
          ...sized(size),
          name: `CMOV${name} Gv,Ev ${BITS[size]}`,
          opcode: [0x0f, 0x40 + i],
          reg: gpr(size),
          count: 12,
        },
        size,
      ),
    ),
    ...regAndMem({ name: `SET${name} Eb`, prefixes: [], opcode: [0x0f, 0x90 + i], digit: i & 7, count: 12 }, 1),
  ]);
}

function wideExchange() {
  const make = (bytes, half) => ({
    name: `CMPXCHG${bytes}B M`,
    feature: bytes === 16 ? 'cx16' : '',
    rexW: bytes === 16,
    opcode: [0x0f, 0xc7],
    digit: 1,
    uses: { [RAX]: half, [RDX]: half, [RCX]: half, [RBX]: half },
    rm: mem(bytes, { align: bytes === 16 ? 16 : 1 }),
    prepare: (g) => {
      if (g.random.percent(40)) return;
      const value = rmValue(g, bytes);
      putGpr(g, RAX, half, value & ((1n << BigInt(half * 8)) - 1n));
      putGpr(g, RDX, half, value >> BigInt(half * 8));
    },
  });
  return [make(8, 4), make(16, 8)].flatMap((t) => [t, { ...t, name: `LOCK ${t.name}`, prefixes: [0xf0] }]);
}

function withoutOperands() {
  const flags = [
    ['CMC', 0xf5],
    ['CLC', 0xf8],
    ['STC', 0xf9],
    ['CLD', 0xfc],
    ['STD', 0xfd],
  ];
  return [
    ...flags.map(([name, opcode]) => ({ name, opcode: [opcode], few: true })),
    { name: 'LAHF', opcode: [0x9f], uses: { [RAX]: 2 } },
    { name: 'SAHF', opcode: [0x9e], uses: { [RAX]: 2 } },
    { name: 'XLAT', opcode: [0xd7], prepare: prepareXlat },
    { name: 'XLAT fs', prefixes: [0x64], opcode: [0xd7], few: true, prepare: prepareXlatFs },
  ];
}

function prepareXlat(g) {
  setGpr(g, RAX, 1, integer(g.random, 64));
  g.state.gpr[RBX] = BigInt(chooseTarget(g.random, 1)) - getGpr(g, RAX, 1) - g.state.fsBase;
}

function prepareXlatFs(g) {
  g.state.fsBase = BigInt(g.random.between(0, 0x7000_0000));
  prepareXlat(g);
}

function hints() {
  const nops = V.flatMap((size) =>
    regAndMem({ ...sized(size), name: `NOP E ${BITS[size]}`, opcode: [0x0f, 0x1f], digit: 0, few: true }, size),
  );
  const plain = [
    ['NOP', [0x90]],
    ['PAUSE', [0x90], [0xf3]],
    ['LFENCE', [0x0f, 0xae, 0xe8]],
    ['MFENCE', [0x0f, 0xae, 0xf0]],
    ['SFENCE', [0x0f, 0xae, 0xf8]],
    ['ENDBR64', [0x0f, 0x1e, 0xfa], [0xf3]],
  ];
  return [
    ...nops,
    ...plain.map(([name, opcode, prefixes = []]) => ({ name, opcode, prefixes, few: true })),
    ...[0, 1, 2, 3].map((digit) => ({
      name: `PREFETCH /${digit}`,
      opcode: [0x0f, 0x18],
      digit,
      rm: mem(1),
      few: true,
    })),
    { name: 'PREFETCHW', opcode: [0x0f, 0x0d], digit: 1, rm: mem(1), few: true },
    { name: 'CLFLUSH', feature: 'clflush', opcode: [0x0f, 0xae], digit: 7, rm: mem(1), few: true },
  ];
}

/** @spec SDM-2B "RDFSBASE/RDGSBASE", "WRFSBASE/WRGSBASE": a base that is not canonical is #GP. */
function segmentBases() {
  return [4, 8].flatMap((size) =>
    ['RDFSBASE', 'RDGSBASE', 'WRFSBASE', 'WRGSBASE'].map((name, digit) => ({
      name: `${name} ${BITS[size]}`,
      feature: 'fsgsbase',
      prefixes: [0xf3],
      rexW: size === 8,
      opcode: [0x0f, 0xae],
      digit,
      rm: gpr(size),
      count: 12,
      prepare: (g) => {
        g.state.fsBase = g.random.u64() >> 17n;
        g.state.gsBase = g.random.u64() >> 17n;
        if (name[0] === 'W' && size === 8 && g.random.percent(80)) putRm(g, 8, g.random.u64() >> 17n);
      },
    })),
  );
}
