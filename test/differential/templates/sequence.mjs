import { AF, ARITHMETIC, CF, OF, PF, SF, ZF } from '../build-case.mjs';
import { integer } from '../values.mjs';
import { RCX } from './forms.mjs';
import { CONDITIONS } from './move.mjs';

const MAX_BYTES = 15;
/** RCX holds shift counts and is never written, RSP stays out. */
const REGISTERS = [0, 2, 3, 5, 6, 7, 8, 11, 14];
/** Without REX, 4, 6 and 7 are AH, DH and BH. */
const BYTE_REGISTERS = [0, 2, 3, 4, 6, 7];
/** Flags read by the conditions, in pairs. */
const READS = [OF, CF, ZF, CF | ZF, SF, PF, SF | OF, ZF | SF | OF];

/**
 * Two to five instructions: one that makes flags, perhaps some in between, one that uses them. What single
 * instructions cannot show: flags computed late, partly kept, or merged where two paths meet.
 *
 * A flag that the architecture leaves undefined is never read; the ones undefined at the end are masked.
 */
export function sequence() {
  return Object.keys(MAKERS).flatMap((maker) =>
    Object.keys(USERS).map((user) => ({
      name: `${maker} .. ${user}`,
      opcode: [],
      count: 8,
      prepare: (g) => makeSequence(g, maker, user),
      undefinedFlags: (g) => g.sequence.open,
    })),
  );
}

function makeSequence(g, maker, user) {
  const { random, state } = g;
  for (const n of REGISTERS) state.gpr[n] = integer(random, 64);
  state.gpr[RCX] = (random.u64() << 8n) | BigInt(random.pick([0, 0, 1, 1, 2, 7, 8, 31, 32, 33, 64, random.below(256)]));
  for (;;) {
    const s = { bytes: [], open: 0 };
    let fits = append(g, s, MAKERS[maker]);
    for (let left = random.below(3); left > 0; left--) fits &&= appendBetween(g, s);
    fits &&= append(g, s, USERS[user]);
    if (!fits || s.bytes.length > MAX_BYTES) {
      // An undefined flag in the way: more tries help only where the choice was random.
      g.tries = (g.tries ?? 0) + 1;
      if (g.tries > 200) return giveUp(g, maker, user);
      continue;
    }
    g.sequence = s;
    g.bytes = Uint8Array.from(s.bytes);
    return;
  }
}

/** Such a pair always reads something undefined; a defined instruction between them settles that. */
function giveUp(g, maker, user) {
  const s = { bytes: [], open: 0 };
  append(g, s, MAKERS[maker]);
  append(g, s, MAKERS.CMP);
  append(g, s, USERS[user]);
  g.sequence = s;
  g.bytes = Uint8Array.from(s.bytes);
}

/** Appends one instruction unless it would read an undefined flag. */
function append(g, s, make) {
  const { bytes, reads = 0, writes = 0, open = 0 } = make(g);
  if (reads & s.open) return false;
  s.bytes.push(...bytes);
  s.open = (s.open & ~writes) | open;
  return true;
}

/** One more instruction, one in three of them under a jump that may skip it. */
function appendBetween(g, s) {
  const make = BETWEEN[g.random.pick(Object.keys(BETWEEN))];
  if (!g.random.percent(33)) return append(g, s, make);
  const condition = g.random.below(16);
  if (READS[condition >> 1] & s.open) return false;
  const inner = { bytes: [], open: s.open };
  if (!append(g, inner, make)) return false;
  s.bytes.push(0x70 + condition, inner.bytes.length, ...inner.bytes);
  s.open |= inner.open;
  return true;
}

const ANY_SIZE = [1, 2, 4, 4, 8];

/** Encodes "opcode /r" with registers. With any size allowed, the opcode's low bit tells 8 bits from more. */
function modrm(g, { opcode, prefix = [], digit, immediate = [], sizes = ANY_SIZE }) {
  const { random } = g;
  const size = random.pick(sizes);
  const pool = size === 1 ? BYTE_REGISTERS : REGISTERS;
  const reg = digit ?? random.pick(pool);
  const rm = random.pick(pool);
  const rex = (size === 8 ? 8 : 0) | (digit === undefined ? (reg >> 3) << 2 : 0) | (rm >> 3);
  const last = opcode.at(-1) + (size !== 1 && sizes === ANY_SIZE ? 1 : 0);
  return [
    ...(size === 2 ? [0x66] : []),
    ...prefix,
    ...(rex ? [0x40 | rex] : []),
    ...opcode.slice(0, -1),
    last,
    0xc0 | ((reg & 7) << 3) | (rm & 7),
    ...immediate,
  ];
}

const all = { writes: ARITHMETIC };
const arithmetic =
  (row, more = all) =>
  (g) => ({ ...more, bytes: modrm(g, { opcode: [8 * row] }) });
const logic = { ...all, open: AF };
const group = (opcode, digit, more) => (g) => ({ ...more, bytes: modrm(g, { opcode: [opcode], digit }) });

/** Shifts write nothing with a masked count of zero, so nothing they find undefined becomes defined. */
function shift(digit, kind) {
  return (g) => {
    const count =
      kind === 'CL' ? Number(g.state.gpr[RCX] & 0xffn) : kind === 1 ? 1 : g.random.pick([0, 1, 2, 7, 15, 31, 32, 63]);
    const rotate = digit < 4;
    const opcode = kind === 'CL' ? 0xd2 : kind === 1 ? 0xd0 : 0xc0;
    const immediate = kind === 'Ib' ? [count] : [];
    const size = g.random.pick(ANY_SIZE);
    const wide = opcode + (size === 1 ? 0 : 1);
    const bytes = modrm(g, { opcode: [wide], digit, immediate, sizes: [size] });
    const masked = count & (size === 8 ? 63 : 31);
    const reads = digit === 2 || digit === 3 ? CF : 0;
    if (masked === 0) return { bytes, reads };
    const writes = rotate ? CF | OF : ARITHMETIC;
    const overflow = masked === 1 ? 0 : OF;
    const carry = !rotate && digit !== 7 && masked >= 8 * size ? CF : 0;
    return { bytes, reads, writes, open: overflow | (rotate ? 0 : AF) | carry };
  };
}

const MAKERS = {
  ADD: arithmetic(0),
  OR: arithmetic(1, logic),
  ADC: arithmetic(2, { ...all, reads: CF }),
  SBB: arithmetic(3, { ...all, reads: CF }),
  AND: arithmetic(4, logic),
  SUB: arithmetic(5),
  XOR: arithmetic(6, logic),
  CMP: arithmetic(7),
  TEST: (g) => ({ ...logic, bytes: modrm(g, { opcode: [0x84] }) }),
  INC: group(0xfe, 0, { writes: ARITHMETIC & ~CF }),
  DEC: group(0xfe, 1, { writes: ARITHMETIC & ~CF }),
  NEG: group(0xf6, 3, all),
  'SHL 1': shift(4, 1),
  'SHR Ib': shift(5, 'Ib'),
  'SAR CL': shift(7, 'CL'),
  'SHL CL': shift(4, 'CL'),
  'ROL 1': shift(0, 1),
  'ROR CL': shift(1, 'CL'),
  'RCL 1': shift(2, 1),
  'RCR CL': shift(3, 'CL'),
  IMUL: (g) => ({ ...all, open: SF | ZF | AF | PF, bytes: modrm(g, { opcode: [0x0f, 0xaf], sizes: [2, 4, 8] }) }),
  BT: (g) => ({
    writes: ARITHMETIC & ~ZF,
    open: OF | SF | AF | PF,
    bytes: modrm(g, { opcode: [0x0f, 0xa3], sizes: [4, 8] }),
  }),
  POPCNT: (g) => ({ ...all, bytes: modrm(g, { prefix: [0xf3], opcode: [0x0f, 0xb8], sizes: [4, 8] }) }),
  SAHF: () => ({ writes: ARITHMETIC & ~OF, bytes: [0x9e] }),
};

/** Instructions that keep flags, change some, or all. */
const BETWEEN = {
  MOV: (g) => ({ bytes: modrm(g, { opcode: [0x88] }) }),
  NOT: (g) => ({ bytes: modrm(g, { opcode: [0xf6], digit: 2 }) }),
  XCHG: (g) => ({ bytes: modrm(g, { opcode: [0x86] }) }),
  INC: MAKERS.INC,
  DEC: MAKERS.DEC,
  CMC: () => ({ reads: CF, writes: CF, bytes: [0xf5] }),
  STC: () => ({ writes: CF, bytes: [0xf9] }),
  ADD: MAKERS.ADD,
  CMP: MAKERS.CMP,
  'SHL CL': MAKERS['SHL CL'],
  'ROL 1': MAKERS['ROL 1'],
  MOVZX: (g) => ({ bytes: modrm(g, { opcode: [0x0f, 0xb7], sizes: [4, 8] }) }),
};

const USERS = {
  SETcc: (g) => {
    const condition = g.random.below(CONDITIONS.length);
    const rm = g.random.pick(BYTE_REGISTERS);
    return { reads: READS[condition >> 1], bytes: [0x0f, 0x90 + condition, 0xc0 | rm] };
  },
  CMOVcc: (g) => {
    const condition = g.random.below(CONDITIONS.length);
    return { reads: READS[condition >> 1], bytes: modrm(g, { opcode: [0x0f, 0x40 + condition], sizes: [2, 4, 8] }) };
  },
  'Jcc MOV': (g) => {
    const condition = g.random.below(CONDITIONS.length);
    const mov = modrm(g, { opcode: [0x88] });
    return { reads: READS[condition >> 1], bytes: [0x70 + condition, mov.length, ...mov] };
  },
  ADC: MAKERS.ADC,
  SBB: MAKERS.SBB,
  RCL: shift(2, 1),
  LAHF: () => ({ reads: ARITHMETIC & ~OF, bytes: [0x9f] }),
  'flags at the end': () => ({ bytes: [] }),
};
