import { LAYOUT, MEMORY_WINDOWS } from '../../../dist/testing/layout.js';
import { littleEndian, poke } from '../build-case.mjs';
import { integer } from '../values.mjs';
import { BITS, gpr, RBP, RSP, regAndMem } from './forms.mjs';

const SPAN = MEMORY_WINDOWS[0];
const TF = 0x100n;

/** PUSH, POP, PUSHF, POPF, ENTER and LEAVE. */
export function stack() {
  return [8, 2].flatMap((size) => {
    const prefixes = size === 2 ? [0x66] : [];
    const bits = BITS[size];
    const t = { prefixes, avoid: [RSP] };
    const push = (g) => chooseStack(g, { below: size, above: 0 });
    const pop = (g) => pokeStack(g, size);
    return [
      { ...t, name: `PUSH r ${bits}`, opcode: [0x50], low3: gpr(size, { not: [RSP] }), prepare: push },
      { ...t, name: `PUSH RSP ${bits}`, opcode: [0x50], low3: gpr(size, { fixed: RSP }), prepare: push },
      { ...t, name: `POP r ${bits}`, opcode: [0x58], low3: gpr(size, { not: [RSP] }), prepare: pop },
      { ...t, name: `POP RSP ${bits}`, opcode: [0x58], low3: gpr(size, { fixed: RSP }), prepare: pop },
      { ...t, name: `PUSH Ib ${bits}`, opcode: [0x6a], immediate: 1, prepare: push },
      { ...t, name: `PUSH Iz ${bits}`, opcode: [0x68], immediate: Math.min(size, 4), prepare: push },
      ...regAndMem({ ...t, name: `PUSH Ev ${bits}`, opcode: [0xff], digit: 6, prepare: push }, size),
      ...regAndMem({ ...t, name: `POP Ev ${bits}`, opcode: [0x8f], digit: 0, prepare: pop }, size),
      { ...t, name: `PUSH [RSP+d] ${bits}`, opcode: [0xff], prepare: (g) => stackOperand(g, size, 6) },
      { ...t, name: `POP [RSP+d] ${bits}`, opcode: [0x8f], prepare: (g) => stackOperand(g, size, 0) },
      { ...t, name: `PUSHF ${bits}`, opcode: [0x9c], prepare: push },
      { ...t, name: `POPF ${bits}`, opcode: [0x9d], prepare: (g) => pokeStack(g, size, g.random.u64() & ~TF) },
      { ...t, name: `LEAVE ${bits}`, opcode: [0xc9], prepare: (g) => prepareLeave(g, size) },
      ...[0, 1, 2, 5].map((level) => ({
        ...t,
        name: `ENTER Iw,${level} ${bits}`,
        opcode: [0xc8],
        prepare: (g) => prepareEnter(g, size, level),
      })),
    ];
  });
}

/**
 * Sets RSP so that `below` bytes under it and `above` bytes over it are touched: mostly inside the span, sometimes
 * across the page boundary, sometimes reaching into the hole, seldom not canonical (#SS).
 *
 * @returns RSP
 */
export function chooseStack(g, { below, above }) {
  const { random, state } = g;
  const size = below + above;
  const roll = random.below(100);
  let low = SPAN.address + random.below(SPAN.length - size + 1);
  if (roll < 60) low -= low % 8;
  else if (roll < 75) low = LAYOUT.highPage - random.between(1, size);
  else if (roll < 80) low = LAYOUT.holePage - size;
  else if (roll < 86) low = LAYOUT.holePage - random.between(0, size - 1);
  const rsp = low + below;
  state.gpr[RSP] = BigInt(rsp) + (random.percent(2) ? 0x8000_0000_0000n : 0n);
  return rsp;
}

function pokeStack(g, size, value = integer(g.random, size * 8)) {
  const at = chooseStack(g, { below: 0, above: size });
  poke(g, at, littleEndian(value, size));
}

/** POP computes the address with RSP after the increment, PUSH with RSP before the decrement. @spec SDM-2B "POP" */
function stackOperand(g, size, digit) {
  const { random, state } = g;
  const rsp = SPAN.address + 160 + random.below(320);
  state.gpr[RSP] = BigInt(rsp);
  const prefixes = size === 2 ? [0x66] : [];
  g.bytes = Uint8Array.from([...prefixes, g.template.opcode[0], 0x44 | (digit << 3), 0x24, random.below(256)]);
}

function prepareLeave(g, size) {
  const { state, random } = g;
  pokeStack(g, size);
  state.gpr[RBP] = state.gpr[RSP];
  state.gpr[RSP] = random.u64() >> 17n;
}

/** Levels above 1 copy frame pointers from under RBP. */
function prepareEnter(g, size, level) {
  const { random, state } = g;
  chooseStack(g, { below: size * (level + 1), above: 0 });
  state.gpr[RBP] = BigInt(SPAN.address + 64 + random.below(SPAN.length - 64));
  const bytes = random.pick([0, 8, 16, 3, 100]);
  const raw = level + (random.percent(30) ? 32 * random.below(8) : 0); // only five bits count
  const prefixes = size === 2 ? [0x66] : [];
  g.bytes = Uint8Array.from([...prefixes, 0xc8, bytes, 0, raw]);
}
