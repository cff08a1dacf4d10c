import { LAYOUT } from '../../dist/testing/layout.js';

/**
 * Puts an instruction together: legacy prefixes, REX or VEX, opcode, ModRM, SIB, displacement, immediate.
 * @spec SDM-2A §2.1 to §2.3
 *
 * @param {object} x prefixes, opcode (bytes), rexW, forceRex, vex ({pp, map, w, l, v} or undefined),
 *   reg and rm (0 to 15, undefined = no ModRM), memory (from address.mjs, instead of rm), low3 (register in the last
 *   opcode byte), immediate (bytes)
 */
export function encode(x) {
  const m = x.memory;
  const r = (x.reg ?? 0) >> 3;
  const index = (m?.index ?? 0) >> 3;
  const b = (m ? (m.base ?? 0) : (x.rm ?? x.low3 ?? 0)) >> 3;
  const out = [...(m?.prefixes ?? []), ...x.prefixes];
  const opcode = [...x.opcode];
  if (x.low3 !== undefined) opcode[opcode.length - 1] += x.low3 & 7;
  if (x.vex) {
    out.push(...vexPrefix(x.vex, r, index, b));
  } else {
    const rex = (x.rexW ? 8 : 0) | (r << 2) | (index << 1) | b;
    if (rex || x.forceRex) out.push(0x40 | rex);
  }
  out.push(...opcode);
  if (m) out.push(...modrmMemory(m, x.reg ?? 0));
  else if (x.rm !== undefined) out.push(0xc0 | ((x.reg & 7) << 3) | (x.rm & 7));
  const displacementEnd = out.length;
  out.push(...(x.immediate ?? []));
  if (m?.kind === 'rip') {
    const displacement = m.target - (LAYOUT.instruction + out.length);
    out.splice(displacementEnd - 4, 4, ...int32(displacement));
  }
  return Uint8Array.from(out);
}

function vexPrefix({ pp, map, w, l, v, short }, r, x, b) {
  const low = ((~v & 15) << 3) | (l << 2) | pp;
  if (short && map === 1 && !w && !x && !b) return [0xc5, ((r ^ 1) << 7) | low];
  return [0xc4, ((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | map, (w << 7) | low];
}

function modrmMemory(m, reg) {
  const middle = (reg & 7) << 3;
  if (m.kind === 'rip') return [middle | 5, 0, 0, 0, 0];
  if (m.base === undefined) return [middle | 4, sib(m, 5), ...int32(m.displacement)];
  const displacement = m.width === 0 ? [] : m.width === 1 ? [m.displacement & 255] : int32(m.displacement);
  const mod = { 0: 0, 1: 0x40, 4: 0x80 }[m.width];
  if (m.index === undefined && (m.base & 7) !== 4) return [mod | middle | (m.base & 7), ...displacement];
  return [mod | middle | 4, sib(m, m.base & 7), ...displacement];
}

/** Index 4 without REX.X means no index. */
function sib(m, base) {
  return (Math.log2(m.scale ?? 1) << 6) | (((m.index ?? 4) & 7) << 3) | base;
}

export function int32(value) {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
}
