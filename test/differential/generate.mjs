import { emptyState } from '../../dist/testing/executor.js';
import { LAYOUT } from '../../dist/testing/layout.js';
import { buildCase } from './build-case.mjs';
import { Random } from './random.mjs';
import { FAMILIES } from './templates/families.mjs';

const FEW = 6;

/** The state that cases vary: every register and byte holds something, so that a stray write shows. */
export function baseState() {
  const random = new Random(1);
  const state = emptyState();
  for (let i = 0; i < 16; i++) state.gpr[i] = random.u64();
  state.gpr[4] = BigInt(LAYOUT.highPage);
  state.xmm.set(random.bytes(state.xmm.length));
  state.memory.set(random.bytes(state.memory.length));
  for (let i = 0; i < 8; i++) {
    state.st.set(random.bytes(8), 10 * i);
    state.st.set([random.below(256), 0x40], 10 * i + 8);
    state.st[10 * i + 7] |= 0x80;
  }
  return state;
}

/**
 * Makes the cases of a family: `perTemplate` of each template (6 of those marked `few`).
 *
 * The numbers depend on the seed and the template's name alone, so that adding a template changes no other.
 */
export function generateFamily(family, { seed, perTemplate }) {
  const base = baseState();
  const templates = FAMILIES[family]();
  rejectDuplicates(templates);
  const cases = templates.flatMap((template, templateIndex) => {
    const random = new Random(hash(template.name) ^ seed);
    const count = template.few ? FEW : (template.count ?? perTemplate);
    return Array.from({ length: count }, () => ({ ...buildCase(template, random, base), templateIndex }));
  });
  return { templates, cases, base };
}

function rejectDuplicates(templates) {
  const seen = new Set();
  for (const { name } of templates) {
    if (seen.has(name)) throw new Error(`Cannot generate cases: two templates are called ${name}`);
    seen.add(name);
  }
}

/** FNV-1a. */
function hash(text) {
  let h = 0x811c_9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x0100_0193);
  return h;
}
