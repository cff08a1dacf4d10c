import { AF } from '../build-case.mjs';
import { BITS, gpr, immediateZ, locked, RAX, regAndMem, sized, V } from './forms.mjs';

const NAMES = ['ADD', 'OR', 'ADC', 'SBB', 'AND', 'SUB', 'XOR', 'CMP'];
const LOGIC = { undefinedFlags: AF };

/** Two-operand arithmetic, INC, DEC, NEG, NOT, TEST, ADCX and ADOX. */
export function alu() {
  return [...NAMES.flatMap(twoOperand), ...testForms(), ...oneOperand(), ...carryChains()];
}

function twoOperand(name, row) {
  const open = ['AND', 'OR', 'XOR'].includes(name) ? LOGIC : {};
  const canLock = name !== 'CMP';
  const out = [];
  for (const size of [1, ...V]) {
    const [letter, wide, bits] = size === 1 ? ['b', 0, 8] : ['v', 1, BITS[size]];
    const common = { ...open, ...sized(size) };
    const store = {
      ...common,
      name: `${name} E${letter},G${letter} ${bits}`,
      opcode: [8 * row + wide],
      reg: gpr(size),
    };
    out.push(...regAndMem(store, size));
    if (canLock) out.push(...locked(store, size));
    const load = {
      ...common,
      name: `${name} G${letter},E${letter} ${bits}`,
      opcode: [8 * row + 2 + wide],
      reg: gpr(size),
    };
    out.push(...regAndMem(load, size));
    const accumulator = { ...common, opcode: [8 * row + 4 + wide], uses: { [RAX]: size } };
    out.push({ ...accumulator, name: `${name} rAX,I ${bits}`, immediate: immediateZ(size) });
    const group = { ...common, digit: row, immediate: immediateZ(size) };
    const immediate = { ...group, name: `${name} E${letter},I ${bits}`, opcode: [0x80 + wide] };
    out.push(...regAndMem(immediate, size));
    if (canLock) out.push(...locked(immediate, size));
    if (size > 1)
      out.push(...regAndMem({ ...group, name: `${name} Ev,Ib ${bits}`, opcode: [0x83], immediate: 1 }, size));
  }
  return out;
}

function testForms() {
  return [1, ...V].flatMap((size) => {
    const wide = size === 1 ? 0 : 1;
    const common = { ...LOGIC, ...sized(size) };
    const immediate = immediateZ(size);
    return [
      ...regAndMem({ ...common, name: `TEST E,G ${BITS[size]}`, opcode: [0x84 + wide], reg: gpr(size) }, size),
      { ...common, name: `TEST rAX,I ${BITS[size]}`, opcode: [0xa8 + wide], uses: { [RAX]: size }, immediate },
      ...regAndMem({ ...common, name: `TEST E,I ${BITS[size]}`, opcode: [0xf6 + wide], digit: 0, immediate }, size),
    ];
  });
}

function oneOperand() {
  const list = [
    ['INC', 0xfe, 0],
    ['DEC', 0xfe, 1],
    ['NOT', 0xf6, 2],
    ['NEG', 0xf6, 3],
  ];
  return [1, ...V].flatMap((size) =>
    list.flatMap(([name, opcode, digit]) => {
      const t = { ...sized(size), name: `${name} E ${BITS[size]}`, opcode: [opcode + (size > 1 ? 1 : 0)], digit };
      return [...regAndMem(t, size), ...locked(t, size)];
    }),
  );
}

function carryChains() {
  return [4, 8].flatMap((size) =>
    [
      ['ADCX', 0x66],
      ['ADOX', 0xf3],
    ].flatMap(([name, prefix]) =>
      regAndMem(
        {
          name: `${name} Gy,Ey ${BITS[size]}`,
          feature: 'adx',
          prefixes: [prefix],
          rexW: size === 8,
          opcode: [0x0f, 0x38, 0xf6],
          reg: gpr(size),
        },
        size,
      ),
    ),
  );
}
