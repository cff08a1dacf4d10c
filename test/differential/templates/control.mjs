import { LAYOUT } from '../../../dist/testing/layout.js';
import { littleEndian, poke, putGpr, putRm } from '../build-case.mjs';
import { integer } from '../values.mjs';
import { chooseStack } from './stack.mjs';
import { gpr, mem, RCX, RSP } from './forms.mjs';
import { CONDITIONS } from './move.mjs';

/** Every branch ends in the INT3 filling of the code page, never inside its own bytes. */
export function control() {
  return [...conditionalJumps(), ...loops(), ...nearJumps(), ...calls(), ...returns()];
}

function shortDistance(random) {
  return random.percent(50) ? random.between(0, 127) : -random.between(16, 128);
}

function longDistance(random) {
  return random.percent(50) ? random.between(0, 1500) : -random.between(16, 1500);
}

/** A jump target outside the instruction under test. */
function codeAddress(random) {
  return BigInt(LAYOUT.codePage + (random.percent(50) ? random.between(0, 0x700) : random.between(0x900, 0xf00)));
}

function conditionalJumps() {
  return CONDITIONS.flatMap((name, i) => [
    { name: `J${name} Jb`, opcode: [0x70 + i], immediate: 1, immediateValue: shortDistance, count: 12 },
    { name: `J${name} Jz`, opcode: [0x0f, 0x80 + i], immediate: 4, immediateValue: longDistance, count: 12 },
  ]);
}

function loops() {
  return ['LOOPNE', 'LOOPE', 'LOOP', 'JRCXZ'].flatMap((name, i) =>
    [8, 4].map((size) => ({
      name: `${name} Jb ${size === 4 ? 'addr32' : 'addr64'}`,
      prefixes: size === 4 ? [0x67] : [],
      opcode: [0xe0 + i],
      immediate: 1,
      immediateValue: shortDistance,
      uses: { [RCX]: size },
      prepare: (g) => {
        if (g.random.percent(40)) putGpr(g, RCX, size, BigInt(g.random.below(3)));
      },
    })),
  );
}

function nearJumps() {
  const indirect = { name: 'JMP Ev', opcode: [0xff], digit: 4, avoid: [RSP] };
  return [
    { name: 'JMP Jb', opcode: [0xeb], immediate: 1, immediateValue: shortDistance },
    { name: 'JMP Jz', opcode: [0xe9], immediate: 4, immediateValue: longDistance },
    ...toCode(indirect, () => {}),
  ];
}

/** Register and memory form of an indirect branch, with a target in the code page. */
function toCode(t, prepareMore) {
  const prepare = (g) => {
    prepareMore(g);
    putRm(g, 8, codeAddress(g.random));
  };
  return [
    { ...t, name: `${t.name} reg`, rm: gpr(8, { not: [RSP] }), prepare },
    { ...t, name: `${t.name} mem`, rm: mem(8), prepare },
  ];
}

function calls() {
  const stack = (g) => chooseStack(g, { below: 8, above: 0 });
  return [
    { name: 'CALL Jz', opcode: [0xe8], immediate: 4, immediateValue: longDistance, prepare: stack },
    // The stack is chosen before the operand is stored, since both may be the same bytes.
    ...toCode({ name: 'CALL Ev', opcode: [0xff], digit: 2, avoid: [RSP] }, stack),
  ];
}

function returns() {
  const prepare = (g) => {
    const at = chooseStack(g, { below: 0, above: 8 });
    poke(g, at, littleEndian(codeAddress(g.random), 8));
  };
  return [
    { name: 'RET', opcode: [0xc3], prepare },
    { name: 'REP RET', prefixes: [0xf3], opcode: [0xc3], few: true, prepare },
    { name: 'RET Iw', opcode: [0xc2], immediate: 2, immediateValue: (random) => integer(random, 16), prepare },
  ];
}
