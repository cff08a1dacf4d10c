import { LAYOUT, MEMORY_WINDOWS } from '../../../dist/testing/layout.js';
import { DF, peek, poke, putGpr } from '../build-case.mjs';
import { data } from '../values.mjs';
import { BITS, RAX, RCX, RDI, RSI, sized, V } from './forms.mjs';

const SPAN = MEMORY_WINDOWS[0];
const MAX_BYTES = 160;

/** name, opcode of the byte form, whether it reads RSI, uses RDI, compares */
const LIST = [
  ['MOVS', 0xa4, { source: true, destination: true }],
  ['CMPS', 0xa6, { source: true, destination: true, compares: true }],
  ['STOS', 0xaa, { destination: true }],
  ['LODS', 0xac, { source: true }],
  ['SCAS', 0xae, { destination: true, compares: true }],
];

/** String instructions, alone and repeated, forward and backward, overlapping, ending in a fault. */
export function string() {
  return LIST.flatMap(([name, opcode, kind]) =>
    [1, ...V].flatMap((size) => {
      const t = { ...sized(size), opcode: [opcode + (size > 1 ? 1 : 0)] };
      const repeats = kind.compares
        ? [
            ['REPE ', 0xf3],
            ['REPNE ', 0xf2],
          ]
        : [['REP ', 0xf3]];
      const make = (label, prefixes, options) => ({
        ...t,
        name: `${label}${name} ${BITS[size]}${options.narrow ? ' addr32' : ''}${options.fs ? ' fs' : ''}`,
        prefixes: [...prefixes, ...t.prefixes],
        ...(options.count ? { count: options.count } : {}),
        prepare: (g) => prepare(g, size, kind, { ...options, repeats: label !== '' }),
      });
      return [
        make('', [], {}),
        ...repeats.flatMap(([label, prefix]) => [
          make(label, [prefix], { count: 48 }),
          make(label, [0x67, prefix], { narrow: true, count: 12 }),
        ]),
        ...(kind.source ? [make(repeats[0][0], [0x64, repeats[0][1]], { fs: true, count: 12 })] : []),
      ];
    }),
  );
}

function prepare(g, size, kind, { narrow, fs, repeats }) {
  const { random, state } = g;
  state.rflags = (state.rflags & ~DF) | (random.percent(35) ? DF : 0);
  const limit = Math.floor(MAX_BYTES / size);
  const count = repeats ? random.pick([0, 1, 2, 3, random.below(limit + 1), random.below(limit + 1), limit]) : 1;
  const backward = (state.rflags & DF) !== 0;
  const area = { size, count: Math.max(count, 1), backward };
  const source = chooseArea(random, area);
  const overlapping = random.percent(20) ? clampToSpan(source + random.between(-24, 24), area) : undefined;
  const destination = overlapping ?? chooseArea(random, area);
  if (kind.compares) makeSimilar(g, kind, area, source, destination);
  if (fs) state.fsBase = BigInt(random.between(0, 0x7fff_ffff));
  setPointer(g, RSI, kind.source ? BigInt(source) - state.fsBase : undefined, narrow);
  setPointer(g, RDI, kind.destination ? BigInt(destination) : undefined, narrow);
  if (repeats) setPointer(g, RCX, BigInt(count), narrow);
}

/** Address of the first element. One in ten runs forward into the hole after some elements. */
function chooseArea(random, area) {
  const { size, count, backward } = area;
  if (!backward && random.percent(12)) return LAYOUT.holePage - random.between(0, Math.min(128, size * count));
  const low = SPAN.address + random.below(SPAN.length - size * count + 1);
  return backward ? low + size * (count - 1) : low;
}

function clampToSpan(first, { size, count, backward }) {
  const before = backward ? size * (count - 1) : 0;
  const low = SPAN.address + before;
  const high = SPAN.address + SPAN.length - size * count + before;
  return Math.min(Math.max(first, low), high);
}

/** Makes both sides equal (or the accumulator present) up to some element, so that repetition goes on for a while. */
function makeSimilar(g, kind, { size, count, backward }, source, destination) {
  const { random } = g;
  if (random.percent(25)) return;
  const equal = random.below(count + 1);
  const step = backward ? -size : size;
  const element = data(random, 'int', size);
  for (let i = 0; i < equal; i++) {
    const bytes = kind.source ? bytesAt(g, source + i * step, size) : element;
    poke(g, destination + i * step, bytes);
  }
  if (!kind.source)
    putGpr(
      g,
      RAX,
      size,
      element.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n),
    );
}

function bytesAt(g, address, size) {
  let value = peek(g, address, size);
  return Uint8Array.from({ length: size }, () => {
    const byte = Number(value & 255n);
    value >>= 8n;
    return byte;
  });
}

/** With a 32-bit address size the upper half holds garbage. */
function setPointer(g, register, value, narrow) {
  if (value === undefined) return;
  const { random, state } = g;
  state.gpr[register] = narrow ? (random.u64() << 32n) | BigInt.asUintN(32, value) : BigInt.asUintN(64, value);
}
