import { LAYOUT, MEMORY_WINDOWS } from '../../dist/testing/layout.js';

const RSP = 4;
const [SPAN, , READ_ONLY] = MEMORY_WINDOWS;
const NONCANONICAL = 0x8000_0000_0000n;

/**
 * Chooses where a memory operand lies: mostly inside the span, sometimes across the page boundary, against or into
 * the hole, in the read-only page. Aligned operands (`align`) are misaligned once in ten.
 */
export function chooseTarget(random, size, align = 1) {
  const roll = random.below(100);
  const k = size > 1 ? random.between(1, size - 1) : 1;
  let target;
  if (roll < 10 && size > 1) target = LAYOUT.highPage - k;
  else if (roll < 14) target = LAYOUT.holePage - size;
  else if (roll < 18 && size <= 128) target = LAYOUT.holePage - k;
  else if (roll < 20) target = LAYOUT.holePage + random.below(64);
  else if (roll < 23 && size <= READ_ONLY.length)
    target = READ_ONLY.address + random.below(READ_ONLY.length - size + 1);
  else target = SPAN.address + random.below(SPAN.length - size + 1);
  if (align === 1) return target;
  target -= target % align;
  return random.percent(10) ? target + random.between(1, align - 1) : target;
}

/**
 * Chooses an addressing form for linear address `target` and loads the registers it uses.
 *
 * @param avoid  registers with a meaning of their own in this instruction
 * @param legacy no register above 7, so that no REX prefix appears
 */
export function chooseMemory(random, state, target, { avoid, legacy }) {
  const free = (n) => !avoid.includes(n) && (n < 8 || !legacy);
  const bases = [...Array(16).keys()].filter(free);
  const roll = random.below(32);
  const plain = { prefixes: [], target };
  if (roll < 3) return { ...plain, kind: 'rip' };
  if (roll === 3) return { ...plain, kind: 'sib', width: 4, displacement: target };
  const base = random.pick(bases);
  if (roll === 4) return narrowAddress(random, state, target, base);
  const segment = roll === 5 ? 'fs' : roll === 6 ? 'gs' : undefined;
  if (segment) plain.prefixes = [segment === 'fs' ? 0x64 : 0x65];
  const m = { ...plain, kind: 'base', base, ...chooseDisplacement(random, base) };
  if (random.percent(40)) {
    const index = random.pick(bases.filter((n) => n !== base && n !== RSP));
    Object.assign(m, { index, scale: random.pick([1, 2, 4, 8]) });
    if (random.percent(20)) Object.assign(m, { base: undefined, width: 4, displacement: random.u32() | 0 });
  }
  loadRegisters(random, state, m, segment);
  return m;
}

/** mod 0 with base RBP or R13 would mean something else. */
function chooseDisplacement(random, base) {
  const width = random.pick((base & 7) === 5 ? [1, 4] : [0, 1, 1, 4]);
  if (width === 0) return { width, displacement: 0 };
  return { width, displacement: width === 1 ? random.between(-128, 127) : random.u32() | 0 };
}

function loadRegisters(random, state, m, segment) {
  let left = BigInt(m.target) - BigInt(m.displacement);
  if (segment) {
    const base = BigInt(random.pick([0, 0x1000, 0x7fff_0000, 0x1234_5678_9000]) + random.below(64));
    state[`${segment}Base`] = base;
    left -= base;
  }
  if (m.index !== undefined && m.base !== undefined) {
    const index = random.percent(70) ? BigInt(random.between(-64, 64)) : random.u64();
    state.gpr[m.index] = index;
    left -= BigInt.asUintN(64, index) * BigInt(m.scale);
  }
  if (m.base !== undefined) {
    if (random.percent(1)) left += NONCANONICAL;
    state.gpr[m.base] = left;
    return;
  }
  // Only an index: the rest must be a multiple of the scale.
  const step = BigInt(m.scale);
  m.displacement += Number(BigInt.asUintN(3, left) % step);
  if (m.displacement > 0x7fff_ffff) m.displacement -= m.scale;
  left = BigInt(m.target) - BigInt(m.displacement) - (segment ? state[`${segment}Base`] : 0n);
  state.gpr[m.index] = left / step;
}

/** Address-size prefix: the sum is cut to 32 bits, whatever the upper half of the registers holds. */
function narrowAddress(random, state, target, base) {
  const { width, displacement } = chooseDisplacement(random, base);
  state.gpr[base] = (random.u64() << 32n) | BigInt.asUintN(32, BigInt(target) - BigInt(displacement));
  return { prefixes: [0x67], target, kind: 'base', base, width, displacement };
}
