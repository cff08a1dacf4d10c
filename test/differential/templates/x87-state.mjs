import { MEMORY_WINDOWS } from '../../../dist/testing/layout.js';
import { littleEndian, poke } from '../build-case.mjs';
import { data } from '../values.mjs';
import { mem } from './forms.mjs';
import { chooseMxcsr } from './sse-float.mjs';
import { chooseX87 } from './x87.mjs';

const SPAN = MEMORY_WINDOWS[0];

/**
 * Images of the x87 and SSE state. The instruction and data pointers in them depend on what ran before and differ
 * between makers of processors, so those bytes are not compared.
 */
export function x87State() {
  return [...environments(), ...fxImages()];
}

/** Offset in CpuState.memory of an address of the span. */
const offsetInSpan = (address) => address - SPAN.address + SPAN.offset;

function open(ranges) {
  return (g) =>
    g.target < SPAN.address || g.target >= SPAN.address + SPAN.length
      ? []
      : ranges.map(([at, length]) => ({ offset: offsetInSpan(g.target) + at, length }));
}

/** 28 or 14 bytes of environment, then ten for each register. @spec SDM-1 §8.1.10 */
function environments() {
  const setup = chooseX87;
  return [4, 2].flatMap((half) => {
    const t = { setup, prefixes: half === 2 ? [0x66] : [], count: 24 };
    const label = half === 2 ? ' 16' : '';
    const size = 7 * half;
    const pointers = [[3 * half, 4 * half]];
    const spare = half === 4 ? [2, 6, 10].map((at) => [at, 2]) : [];
    const image = (bytes) => mem(bytes, { target: (g) => SPAN.address + g.random.below(SPAN.length - bytes) });
    const store = { undefinedFsw: 0x4700, undefinedMemory: open([...pointers, ...spare]) };
    const load = (g) => pokeEnvironment(g, half);
    return [
      { ...t, ...store, name: `FNSTENV${label}`, opcode: [0xd9], digit: 6, rm: image(size) },
      { ...t, name: `FLDENV${label}`, opcode: [0xd9], digit: 4, rm: image(size), prepare: load },
      { ...t, ...store, undefinedFsw: 0, name: `FNSAVE${label}`, opcode: [0xdd], digit: 6, rm: image(size + 80) },
      { ...t, name: `FRSTOR${label}`, opcode: [0xdd], digit: 4, rm: image(size + 80), prepare: load },
    ];
  });
}

/** A full tag word: valid, zero and special are worked out from the register, only empty is taken from it. */
function pokeEnvironment(g, half) {
  const { random } = g;
  const words = [0x40 | 0x3f | (random.pick([0, 2, 3]) << 8) | (random.below(4) << 10), random.u32() & 0x7f3f];
  words[1] &= ~0x8080;
  words.push(random.u32() & 0xffff);
  words.forEach((word, i) => {
    poke(g, g.target + i * half, littleEndian(word, half));
  });
  poke(g, g.target + 3 * half, new Uint8Array(4 * half));
}

function fxImages() {
  const target = (g) =>
    SPAN.address + 16 * g.random.below((SPAN.length - 512) / 16 + 1) + (g.random.percent(10) ? 8 : 0);
  const setup = (g) => {
    chooseX87(g);
    chooseMxcsr(g);
  };
  // FOP, FIP, FDP; MXCSR_MASK; the rest of each 16-byte slot; the reserved end.
  const slots = Array.from({ length: 8 }, (_, i) => [32 + 16 * i + 10, 6]);
  const undefinedMemory = open([[6, 18], [28, 4], ...slots, [416, 96]]);
  const common = { opcode: [0x0f, 0xae], setup, rm: mem(512, { align: 1, target }), count: 16 };
  return [false, true].flatMap((rexW) => [
    { ...common, rexW, name: `FXSAVE${rexW ? '64' : ''}`, digit: 0, undefinedMemory },
    { ...common, rexW, name: `FXRSTOR${rexW ? '64' : ''}`, digit: 1, prepare: pokeFxImage },
  ]);
}

function pokeFxImage(g) {
  const { random, target } = g;
  const fcw = 0x40 | 0x3f | (random.pick([0, 2, 3]) << 8) | (random.below(4) << 10);
  const fsw = (random.below(8) << 11) | (random.u32() & 0x473f);
  poke(g, target, [...littleEndian(fcw, 2), ...littleEndian(fsw, 2), random.below(256), 0]);
  poke(g, target + 6, new Uint8Array(18));
  const mxcsr = random.percent(85) ? random.below(0x10000) : random.u32() >>> 0;
  poke(g, target + 24, littleEndian(mxcsr, 4));
  for (let i = 0; i < 8; i++) poke(g, target + 32 + 16 * i, data(random, 'f80', 10));
}
