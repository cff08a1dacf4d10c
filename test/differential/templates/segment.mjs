import { LAYOUT } from '../../../dist/testing/layout.js';
import { littleEndian, poke } from '../build-case.mjs';
import { BITS, gpr, mem, RSP } from './forms.mjs';
import { chooseStack } from './stack.mjs';

const TF = 0x100n;

/**
 * Instructions that show or load segment selectors. They depend on selectors as Linux gives them to a 64-bit
 * process: CS 0x33, SS 0x2b, the others null.
 */
export function segment() {
  const names = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];
  const avoid = [RSP];
  return [
    ...names.flatMap((name, digit) => [
      ...[2, 4, 8].map((size) => ({
        name: `MOV E,${name} ${BITS[size]} reg`,
        prefixes: size === 2 ? [0x66] : [],
        rexW: size === 8,
        opcode: [0x8c],
        digit,
        rm: gpr(size),
        few: true,
      })),
      { name: `MOV E,${name} mem`, opcode: [0x8c], digit, rm: mem(2), count: 12 },
    ]),
    ...[8, 2].flatMap((size) =>
      [
        ['FS', 0xa0],
        ['GS', 0xa8],
      ].map(([name, opcode]) => ({
        name: `PUSH ${name} ${BITS[size]}`,
        prefixes: size === 2 ? [0x66] : [],
        opcode: [0x0f, opcode],
        avoid,
        count: 12,
        prepare: (g) => chooseStack(g, { below: size, above: 0 }),
      })),
    ),
    { name: 'IRETQ', rexW: true, opcode: [0xcf], avoid, prepare: pushFrame },
    { name: 'MOV CS,E (#UD)', opcode: [0x8e], digit: 1, rm: gpr(4), few: true },
  ];
}

/** A return to the code page, with any flags but TF and a new RSP. */
function pushFrame(g) {
  const { random } = g;
  const at = chooseStack(g, { below: 0, above: 40 });
  const frame = [LAYOUT.codePage + random.below(0x700), 0x33n, random.u64() & ~TF, random.u64() >> 17n, 0x2bn];
  poke(
    g,
    at,
    frame.flatMap((value) => littleEndian(value, 8)),
  );
}
