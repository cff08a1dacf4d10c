import type { Instruction } from '../decode/instruction.ts';
import { immediateBytes, type OperandSpec, operandBits, operandSpec } from '../decode/operands.ts';
import type { OpcodeEntry, OpcodeTables } from '../decode/tables.ts';
import {
  MODRM_PRESENT,
  PREFIX,
  REGISTER,
  TEMPLATE_BYTES,
  TEMPLATE_HASH,
  TEMPLATE_SHIFT,
  TEMPLATE_SLOTS,
  TEMPLATES,
  TEMPLATES_MAX,
  VARIES,
} from './template-layout.ts';
import { needsPreparation } from './translate.ts';

/** The function of template-code.ts. */
export type WriteRecords = (at: number, host: number, units: number, place: number) => number;

/**
 * Records of instructions whose like was decoded before: the decoder says once which handler an opcode has and which fields
 * its registers go to; generated code does the rest (template-code.ts). Only 64-bit code.
 */
export class Templates {
  /**
   * Writes records for the instructions at a host offset, as long as there are templates; 15 bytes must lie behind the start
   * of each.
   *
   * @param at where the records go
   * @param units CodeMode.fpu
   * @param place page offset of the first, and its place in the block from bit 24
   * @returns the same of what follows, with ENDED when the block ends there. Else decode it, and `learn` it
   */
  readonly write: WriteRecords;
  readonly #memory: Int32Array;
  #count = 0;

  constructor(buffer: ArrayBufferLike, tables: OpcodeTables, write: WriteRecords) {
    this.write = write;
    this.#memory = new Int32Array(buffer as ArrayBuffer);
    const halves = new Uint16Array(buffer as ArrayBuffer);
    this.#clear();
    halves.set(PREFIXES, TEMPLATES.prefixes >> 1);
    halves.set(modrmTable(tables), TEMPLATES.modrm >> 1);
  }

  /**
   * Keeps what the record of an instruction was made from.
   *
   * @param handler of the instruction that `write` met last and did not know
   */
  learn(handler: number, insn: Instruction): void {
    const { def } = insn;
    const key = this.#memory[TEMPLATES.key >> 2]!;
    if (key === 0 || def.semantics === undefined || def.system !== undefined || needsPreparation(insn, 0)) return;
    const varies = variesOf(insn);
    if (varies < 0) return;
    const fixed = this.#memory[TEMPLATES.keyBytes >> 2]! + Math.max(0, this.#memory[TEMPLATES.displacementBytes >> 2]!);
    if (fixed + (varies & VARIES.immediateBytes) === insn.length) this.#add(key, handler, varies);
  }

  #add(key: number, handler: number, varies: number): void {
    if (this.#count++ === TEMPLATES_MAX) this.#clear();
    let slot = Math.imul(key, TEMPLATE_HASH) >>> TEMPLATE_SHIFT;
    const at = (): number => (TEMPLATES.table + slot * TEMPLATE_BYTES) >> 2;
    while (this.#memory[at()] !== 0) slot = (slot + 1) % TEMPLATE_SLOTS;
    this.#memory.set([key, handler, varies], at());
  }

  #clear(): void {
    this.#count = 0;
    this.#memory.fill(0, TEMPLATES.table >> 2, (TEMPLATES.table + TEMPLATE_SLOTS * TEMPLATE_BYTES) >> 2);
  }
}

/** VARIES of an instruction's template, or -1 when it cannot have one. */
function variesOf(insn: Instruction): number {
  const { def } = insn;
  let varies = def.ends === true ? VARIES.ends : 0;
  let fields = 0;
  for (const code of def.operands ?? []) {
    const spec = operandSpec(code);
    const bits = operandBits(spec, insn.operandSize);
    const kind = registerKind(spec, bits, insn);
    if (kind !== REGISTER.none) varies |= (kind | (fields++ << 3)) << ('GVP'.includes(spec.where) ? VARIES.regShift : VARIES.rmShift);
    else if (spec.where === 'O' || spec.where === 'A' || spec.where === 'B') return -1;
    else if (spec.where === 'I' || spec.where === 'J') {
      if ((varies & VARIES.immediateBytes) !== 0) return -1;
      varies |= immediateBytes(spec, insn.operandSize, insn.addressSize, true);
      const used = spec.signed ? insn.operandSize : bits;
      varies |= spec.where === 'J' ? VARIES.branch : VARIES.immediate | (Math.log2(used / 8) << VARIES.widthShift);
    }
  }
  return varies;
}

/** The kind of register that an operand is; none for memory and all that is no register. */
function registerKind({ where }: OperandSpec, bits: number, insn: Instruction): number {
  if ('EWQ'.includes(where) && insn.memory !== undefined) return REGISTER.none;
  if ('EGRZ'.includes(where)) return bits === 8 ? REGISTER.byte : REGISTER.gpr;
  if ('VWU'.includes(where)) return REGISTER.xmm;
  return 'PQN'.includes(where) ? REGISTER.mmx : REGISTER.none;
}

/** Prefixes of 64-bit code by byte; VEX counts as one that templates leave alone. */
const PREFIXES = new Uint16Array(256);
PREFIXES.fill(PREFIX.rex, 0x40, 0x50);
PREFIXES.fill(PREFIX.vex, 0xc4, 0xc6);
for (const byte of [0x26, 0x2e, 0x36, 0x3e]) PREFIXES[byte] = PREFIX.ignored;
PREFIXES[0x64] = PREFIX.fs;
PREFIXES[0x65] = PREFIX.gs;
PREFIXES[0x66] = PREFIX.operand;
PREFIXES[0x67] = PREFIX.address;
PREFIXES[0xf0] = PREFIX.lock;
PREFIXES[0xf2] = PREFIX.f2;
PREFIXES[0xf3] = PREFIX.f3;

function modrmTable(tables: OpcodeTables): Uint16Array {
  const table = new Uint16Array(4 * 256);
  for (let map = 0; map < 4; map++) {
    for (let opcode = 0; opcode < 256; opcode++) {
      const entry = tables.maps[map]![opcode];
      if (entry?.hasModrm === true) table[map * 256 + opcode] = MODRM_PRESENT | choosingBits(entry);
    }
  }
  return table;
}

/** Which bits of ModRM choose the form, apart from whether it names a register. */
function choosingBits({ exact, forms }: OpcodeEntry): number {
  if (exact !== undefined) return 0xff;
  for (let at = 0; at < 64; at++) if (forms[at] !== forms[at & ~0xe]) return 0x38;
  return 0;
}
