import { MEMORY_WINDOWS } from '../../../dist/testing/layout.js';
import { AF, CF, OF, PF, putRm, SF } from '../build-case.mjs';
import { BITS, gpr, locked, mem, regAndMem, sized, V } from './forms.mjs';

const SPAN = MEMORY_WINDOWS[0];

/** BT family, bit scans, counts, BMI1, BMI2. */
export function bits() {
  return [...V.flatMap(bitTests), ...V.flatMap(scans), ...[4, 8].flatMap(bmi)];
}

function bitTests(size) {
  return ['BT', 'BTS', 'BTR', 'BTC'].flatMap((name, i) => {
    const common = { ...sized(size), undefinedFlags: OF | SF | AF | PF };
    const byReg = { ...common, name: `${name} Ev,Gv ${BITS[size]}`, opcode: [0x0f, 0xa3 + 8 * i], reg: gpr(size) };
    const byImm = { ...common, name: `${name} Ev,Ib ${BITS[size]}`, opcode: [0x0f, 0xba], digit: 4 + i, immediate: 1 };
    // The register reaches beyond the operand: an offset in bits, signed, of the operand's size.
    const far = {
      rm: mem(size, { target: (g) => SPAN.address + 200 + g.random.below(240) }),
      prepare: (g) => {
        const n = g.numbers.reg;
        if (g.memory.base === n || g.memory.index === n) return;
        const offset = BigInt(g.random.between(-1500, 1500));
        const mask = (1n << BigInt(BITS[size])) - 1n;
        g.state.gpr[n] = (g.state.gpr[n] & ~mask) | (offset & mask);
      },
    };
    const clash = { ...far, reg: gpr(size, { not: [4] }) };
    const memory = { ...byReg, ...clash, name: `${byReg.name} mem`, keep: insideSpan };
    const out = [{ ...byReg, name: `${byReg.name} reg`, rm: gpr(size) }, memory, ...regAndMem(byImm, size)];
    if (name === 'BT') return out;
    return [
      ...out,
      { ...memory, name: `LOCK ${memory.name}`, prefixes: [0xf0, ...memory.prefixes] },
      ...locked(byImm, size),
    ];
  });
}

/** A base register that is also the bit offset would reach anywhere. */
function insideSpan(g) {
  return g.memory.base !== g.numbers.reg && g.memory.index !== g.numbers.reg;
}

function scans(size) {
  const scan = { undefinedFlags: CF | OF | SF | AF | PF };
  const count = { undefinedFlags: OF | SF | AF | PF };
  const list = [
    ['BSF', [], 0xbc, '', scan],
    ['BSR', [], 0xbd, '', scan],
    ['TZCNT', [0xf3], 0xbc, 'bmi1', count],
    ['LZCNT', [0xf3], 0xbd, 'lzcnt', count],
    ['POPCNT', [0xf3], 0xb8, 'popcnt', {}],
  ];
  const prepare = (g) => {
    if (g.random.percent(10)) putRm(g, size, 0n);
  };
  return list.flatMap(([name, mandatory, opcode, feature, open]) => {
    const { prefixes, rexW } = sized(size);
    const t = { ...open, name: `${name} Gv,Ev ${BITS[size]}`, feature, prefixes: [...prefixes, ...mandatory], rexW };
    return regAndMem({ ...t, opcode: [0x0f, opcode], reg: gpr(size), prepare }, size);
  });
}

function bmi(size) {
  const w = size === 8 ? 1 : 0;
  const vex = (map, pp, l = 0) => ({ map, pp, l, w });
  const open = AF | PF;
  const three = (name, feature, map, pp, op, undefinedFlags) => ({
    name: `${name} ${BITS[size]}`,
    feature,
    vex: vex(map, pp),
    opcode: [op],
    undefinedFlags,
    reg: gpr(size),
    vexOperand: gpr(size),
  });
  const group = (name, digit) => ({
    name: `${name} By,Ey ${BITS[size]}`,
    feature: 'bmi1',
    vex: vex(2, 0),
    opcode: [0xf3],
    digit,
    undefinedFlags: open,
    vexOperand: gpr(size),
  });
  return [
    three('ANDN Gy,By,Ey', 'bmi1', 2, 0, 0xf2, open),
    three('BEXTR Gy,Ey,By', 'bmi1', 2, 0, 0xf7, AF | SF | PF),
    three('BZHI Gy,Ey,By', 'bmi2', 2, 0, 0xf5, open),
    three('PDEP Gy,By,Ey', 'bmi2', 2, 3, 0xf5, 0),
    three('PEXT Gy,By,Ey', 'bmi2', 2, 2, 0xf5, 0),
    three('MULX Gy,By,Ey', 'bmi2', 2, 3, 0xf6, 0),
    three('SHLX Gy,Ey,By', 'bmi2', 2, 1, 0xf7, 0),
    three('SARX Gy,Ey,By', 'bmi2', 2, 2, 0xf7, 0),
    three('SHRX Gy,Ey,By', 'bmi2', 2, 3, 0xf7, 0),
    group('BLSR', 1),
    group('BLSMSK', 2),
    group('BLSI', 3),
  ]
    .map((t) => (t.name.startsWith('MULX') ? { ...t, uses: { 2: size } } : t))
    .map((t) => (/^(BEXTR|BZHI)/.test(t.name) ? { ...t, prepare: shortCounts } : t))
    .concat([
      {
        name: `RORX Gy,Ey,Ib ${BITS[size]}`,
        feature: 'bmi2',
        vex: vex(3, 3),
        opcode: [0xf0],
        reg: gpr(size),
        immediate: 1,
      },
    ])
    .flatMap((t) => regAndMem(t, size));
}

/** Start and length bytes near the operand width, where the two instructions differ from a plain mask. */
function shortCounts(g) {
  const n = g.numbers.vex;
  if (g.memory?.base === n || g.memory?.index === n) return;
  const { random } = g;
  const count = () => BigInt(random.pick([0, 1, 7, 8, 31, 32, 33, 63, 64, 65, 255, random.below(64)]));
  g.state.gpr[n] = (g.state.gpr[n] & ~0xffffn) | (count() << 8n) | count();
}
