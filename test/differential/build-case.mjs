import { copyState } from '../../dist/testing/executor.js';
import { MEMORY_WINDOWS } from '../../dist/testing/layout.js';
import { chooseMemory, chooseTarget } from './address.mjs';
import { encode } from './encode.mjs';
import { data, integer } from './values.mjs';

/** RFLAGS bits. */
export const CF = 1;
export const PF = 4;
export const AF = 16;
export const ZF = 64;
export const SF = 128;
export const DF = 0x400;
export const OF = 0x800;
export const ARITHMETIC = CF | PF | AF | ZF | SF | OF;

/**
 * A template: one form of one instruction, with what is needed to make cases of it.
 *
 * @typedef {object} Template
 * @property {string} name
 * @property {string} [feature]     CPUID feature
 * @property {number[]} [prefixes]  legacy prefixes, mandatory ones included, in order
 * @property {number[]} opcode      escape bytes included
 * @property {boolean} [rexW]
 * @property {object} [vex]         {pp, map, w, l}; `v` is chosen when `vexOperand` is given
 * @property {object} [vexOperand]  operand in VEX.vvvv
 * @property {object} [reg]         operand in ModRM.reg: {file, size, domain}; or `digit`
 * @property {number} [digit]       opcode extension in ModRM.reg
 * @property {object} [rm]          operand in ModRM.rm: {file, size, domain}; file 'mem' has also `align`
 * @property {object} [low3]        operand in the low three opcode bits
 * @property {number} [immediate]   bytes of immediate
 * @property {(random: Random) => number} [immediateValue]
 * @property {Record<number, number>} [uses] implicit GPRs and their sizes
 * @property {(g: object) => void} [setup] first changes to the state, before operands are chosen
 * @property {(g: object) => void} [prepare] last changes to the state before encoding
 * @property {(g: object) => boolean} [keep] false for a case that must not be: another one is made
 * @property {boolean} [few]        a handful of cases says it all
 * @property {number | ((g: object) => number)} [undefinedFlags]
 * @property {number | ((g: object) => number)} [undefinedFsw]
 * @property {(g: object) => object[]} [undefinedMemory]
 * @property {number} [toleranceUlps]
 */

/** Makes one case of a template. */
export function buildCase(template, random, base) {
  const t = template;
  const state = copyState(base);
  state.rflags = 0x202 | (random.u32() & ARITHMETIC) | (random.percent(10) ? DF : 0);
  const bytesOnly = [t.reg, t.rm, t.low3].filter((o) => o?.file === 'gpr' && o.size === 1);
  const legacy = t.legacyOnly || (bytesOnly.length > 0 && !t.rexW && random.percent(30));
  const g = { template, random, state, legacy, forceRex: false, memory: undefined, numbers: {}, undefinedFlags: 0 };

  t.setup?.(g);
  for (const [number, size] of Object.entries(t.uses ?? {})) setGpr(g, Number(number), size, integer(random, 64));
  const x = { prefixes: t.prefixes ?? [], opcode: t.opcode, rexW: t.rexW };
  if (t.vex) x.vex = { ...t.vex, v: 0, short: random.percent(50) };
  if (t.reg) x.reg = chooseRegister(g, 'reg', t.reg);
  if (t.digit !== undefined) x.reg = t.digit;
  if (t.vexOperand) x.vex.v = chooseRegister(g, 'vex', t.vexOperand);
  if (t.low3) x.low3 = chooseRegister(g, 'low3', t.low3);
  if (t.rm?.file === 'mem') x.memory = chooseOperandMemory(g, t);
  else if (t.rm) x.rm = chooseRegister(g, 'rm', t.rm);
  if (t.immediate) g.immediate = immediateOf(g, t);
  t.prepare?.(g);
  if (t.keep?.(g) === false) return buildCase(t, random, base);
  if (t.immediate) x.immediate = littleEndian(g.immediate, t.immediate);
  x.forceRex = g.forceRex || (!legacy && !t.vex && !t.legacyOnly && random.percent(5));
  const bytes = g.bytes ?? encode(x);
  const open = (value) => (typeof value === 'function' ? value(g) : (value ?? 0));
  return {
    bytes,
    before: state,
    undefinedFlags: open(t.undefinedFlags),
    undefinedFsw: open(t.undefinedFsw),
    undefinedMemory: open(t.undefinedMemory) || [],
  };
}

function chooseOperandMemory(g, t) {
  const { random, state } = g;
  const target = t.rm.target?.(g) ?? chooseTarget(random, t.rm.size, t.rm.align);
  const avoid = [...Object.keys(t.uses ?? {}).map(Number), ...(t.avoid ?? [])];
  g.target = target;
  g.memory = chooseMemory(random, state, target, { avoid, legacy: g.legacy });
  poke(g, target, data(random, t.rm.domain ?? 'int', t.rm.size));
  return g.memory;
}

function chooseRegister(g, role, operand) {
  const { random, state } = g;
  const count = operand.file === 'gpr' ? (g.legacy ? 8 : 16) : operand.file === 'xmm' ? 16 : 8;
  let n = operand.fixed ?? random.below(count);
  while (operand.not?.includes(n)) n = random.below(count);
  g.numbers[role] = n;
  if (operand.file === 'gpr') {
    if (operand.size === 1 && n >= 4 && n < 8 && !g.legacy) g.forceRex = true;
    setGpr(g, n, operand.size, integer(random, 64));
  } else if (operand.file === 'xmm') {
    state.xmm.set(data(random, operand.domain ?? 'int', 16), 16 * n);
  } else if (operand.file === 'mmx') {
    setMmx(g, n, data(random, operand.domain ?? 'int', 8));
  }
  return n;
}

/** Register number of a byte operand: without REX, 4 to 7 are AH, CH, DH and BH. */
export function byteRegister(g, n) {
  return g.legacy && n >= 4 ? { number: n - 4, shift: 8n } : { number: n, shift: 0n };
}

/** Fills a register with garbage, and its operand part with an interesting number. */
export function setGpr(g, n, size, value) {
  const { random, state } = g;
  const { number, shift } = size === 1 ? byteRegister(g, n) : { number: n, shift: 0n };
  const part = integer(random, size * 8);
  const mask = ((1n << BigInt(size * 8)) - 1n) << shift;
  state.gpr[number] = (value & ~mask) | (part << shift);
}

/** Reads the operand part of a register as an unsigned number. */
export function getGpr(g, n, size) {
  const { number, shift } = size === 1 ? byteRegister(g, n) : { number: n, shift: 0n };
  return BigInt.asUintN(size * 8, g.state.gpr[number] >> shift);
}

/** Replaces the operand part of a register. */
export function putGpr(g, n, size, value) {
  const { number, shift } = size === 1 ? byteRegister(g, n) : { number: n, shift: 0n };
  const mask = ((1n << BigInt(size * 8)) - 1n) << shift;
  g.state.gpr[number] = (g.state.gpr[number] & ~mask) | ((value << shift) & mask);
}

/** MMX register n is physical x87 register n; states keep ST order. */
export function setMmx(g, n, bytes) {
  const top = (g.state.fsw >> 11) & 7;
  g.state.st.set(bytes, 10 * ((n - top) & 7));
}

/** Writes operand bytes to memory where a window holds them; elsewhere nothing can be stored. */
export function poke(g, address, bytes) {
  for (let i = 0; i < bytes.length; i++) {
    const at = address + i;
    const w = MEMORY_WINDOWS.find((window) => at >= window.address && at < window.address + window.length);
    if (w) g.state.memory[w.offset + at - w.address] = bytes[i];
  }
}

/** Reads operand bytes; zero outside the windows. */
export function peek(g, address, length) {
  let value = 0n;
  for (let i = length - 1; i >= 0; i--) {
    const at = address + i;
    const w = MEMORY_WINDOWS.find((window) => at >= window.address && at < window.address + window.length);
    value = (value << 8n) | BigInt(w ? g.state.memory[w.offset + at - w.address] : 0);
  }
  return value;
}

/** The value of the ModRM.rm operand, register or memory. */
export function rmValue(g, size) {
  return g.memory ? peek(g, g.target, size) : getGpr(g, g.numbers.rm, size);
}

/** Replaces it. */
export function putRm(g, size, value) {
  if (g.memory) poke(g, g.target, littleEndian(value, size));
  else putGpr(g, g.numbers.rm, size, value);
}

function immediateOf(g, t) {
  return BigInt(t.immediateValue?.(g.random) ?? integer(g.random, t.immediate * 8));
}

export function littleEndian(value, bytes) {
  const out = [];
  for (let i = 0, v = BigInt(value); i < bytes; i++, v >>= 8n) out.push(Number(v & 0xffn));
  return out;
}
