import { BITS, gpr, mem, RCX, RSP, xmm } from './forms.mjs';
import { chooseStack } from './stack.mjs';

/** Prefixes that repeat, contradict each other, or mean nothing here, on a few plain instructions. */
export function prefixes() {
  return [...ignored(), ...operandSize(), ...rexPosition(), ...longest(), ...emptyRex()].map((t) => ({
    count: 12,
    ...t,
  }));
}

const MEANINGLESS = [[0x2e], [0x36], [0x3e], [0x26], [0xf2], [0xf3], [0x2e, 0x3e, 0x26], [0xf2, 0xf3]];
const hex = (bytes) => bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');

/** CS, DS, ES and SS overrides, and REP on instructions that do not repeat. @spec SDM-1 §3.4.2.1 */
function ignored() {
  return MEANINGLESS.flatMap((list) => [
    { name: `${hex(list)} ADD Ev,Gv 32 reg`, prefixes: list, opcode: [0x01], reg: gpr(4), rm: gpr(4) },
    { name: `${hex(list)} ADD Ev,Gv 32 mem`, prefixes: list, opcode: [0x01], reg: gpr(4), rm: mem(4) },
    { name: `${hex(list)} MOV Gv,Ev 64 mem`, prefixes: list, rexW: true, opcode: [0x8b], reg: gpr(8), rm: mem(8) },
  ]);
}

/** 66 with a byte operand, twice, and with REX.W, which wins; 67 without memory. */
function operandSize() {
  const add = { opcode: [0x01] };
  return [
    { name: '66 ADD Eb,Gb reg', prefixes: [0x66], opcode: [0x00], reg: gpr(1), rm: gpr(1) },
    { ...add, name: '66 66 ADD Ev,Gv reg', prefixes: [0x66, 0x66], reg: gpr(2), rm: gpr(2) },
    { ...add, name: '66 REX.W ADD Ev,Gv reg', prefixes: [0x66], rexW: true, reg: gpr(8), rm: gpr(8) },
    { ...add, name: '67 ADD Ev,Gv reg', prefixes: [0x67], reg: gpr(4), rm: gpr(4) },
    { name: '66 REX.W MOV r,I', prefixes: [0x66], rexW: true, opcode: [0xb8], low3: gpr(8), immediate: 8 },
    { name: '66 REX.W ADD Ev,Iz', prefixes: [0x66], rexW: true, opcode: [0x81], digit: 0, rm: gpr(8), immediate: 4 },
    { name: '66 REX.W CDQE', prefixes: [0x66], rexW: true, opcode: [0x98] },
    pushWith('REX.W PUSH r', { rexW: true }),
    pushWith('66 REX.W PUSH r', { rexW: true, prefixes: [0x66] }),
    // The last of F2 and F3 selects the instruction, and both win over 66. @spec SDM-2A §2.1.2
    { name: '66 F3 ADDSS reg', prefixes: [0x66, 0xf3], opcode: [0x0f, 0x58], reg: xmm('f32'), rm: xmm('f32') },
    { name: 'F3 66 ADDSS reg', prefixes: [0xf3, 0x66], opcode: [0x0f, 0x58], reg: xmm('f32'), rm: xmm('f32') },
    { name: 'F3 F2 ADDSD reg', prefixes: [0xf3, 0xf2], opcode: [0x0f, 0x58], reg: xmm('f64'), rm: xmm('f64') },
    { name: 'F2 F3 ADDSS reg', prefixes: [0xf2, 0xf3], opcode: [0x0f, 0x58], reg: xmm('f32'), rm: xmm('f32') },
    { name: 'REX.W ADDPS reg', rexW: true, opcode: [0x0f, 0x58], reg: xmm('f32'), rm: xmm('f32') },
    { name: '66 67 MOV Gv,Ev reg', prefixes: [0x66, 0x67], opcode: [0x8b], reg: gpr(2), rm: gpr(2) },
  ];
}

function pushWith(name, more) {
  const prepare = (g) => chooseStack(g, { below: 8, above: 0 });
  return { ...more, name, opcode: [0x50], low3: gpr(8, { not: [RSP] }), avoid: [RSP], prepare };
}

/** REX counts only directly before the opcode. @spec SDM-2A §2.2.1 */
function rexPosition() {
  return [0x48, 0x41, 0x44, 0x4f].flatMap((rex) => [
    {
      name: `${hex([rex])} 66 ADD Ev,Gv reg`,
      prefixes: [rex, 0x66],
      opcode: [0x01],
      legacyOnly: true,
      reg: gpr(2),
      rm: gpr(2),
    },
    {
      name: `${hex([rex])} 2e ADD Ev,Gv reg`,
      prefixes: [rex, 0x2e],
      opcode: [0x01],
      legacyOnly: true,
      reg: gpr(4),
      rm: gpr(4),
    },
    {
      name: `${hex([rex])} 2e ADD Eb,Gb reg`,
      prefixes: [rex, 0x2e],
      opcode: [0x00],
      legacyOnly: true,
      reg: gpr(1),
      rm: gpr(1),
    },
  ]);
}

/** Exactly 15 bytes is the longest that runs. */
function longest() {
  const fill = (n) => Array(n).fill(0x66);
  return [
    {
      name: '15 bytes: 13 x 66 ADD Ev,Gv',
      prefixes: fill(13),
      opcode: [0x01],
      legacyOnly: true,
      reg: gpr(2),
      rm: gpr(2),
    },
    { name: '15 bytes: 14 x 66 NOP', prefixes: fill(14), opcode: [0x90], legacyOnly: true },
  ];
}

/** REX without bits selects SPL, BPL, SIL and DIL. */
function emptyRex() {
  return [1, 4].map((size) => ({
    name: `REX 40 ADD E,G ${BITS[size]}`,
    prefixes: [],
    opcode: [size === 1 ? 0x00 : 0x01],
    reg: gpr(size),
    rm: gpr(size, { fixed: 4 + RCX }),
    prepare: (g) => {
      if (!g.legacy) g.forceRex = true;
    },
  }));
}
