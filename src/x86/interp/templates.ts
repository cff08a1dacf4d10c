import { immediateBytes, type OperandSpec, operandBits, operandSpec } from '../decode/operands.ts';
import type { Instruction } from '../decode/instruction.ts';
import type { OpcodeEntry, OpcodeTables } from '../decode/tables.ts';
import { S, SEG } from '../state/layout.ts';
import { R } from './record.ts';
import { needsPreparation } from './translate.ts';

/** Templates kept: far more than there are kinds of instructions. */
const TEMPLATES_MAX = 1 << 14;
const SLOTS = TEMPLATES_MAX * 2;
const SLOT_SHIFT = 32 - 15;
/** Words of a template: its key, the handler of its records, and what varies. */
const WORDS = 4;

/** What differs between the records of one template, beside where the instructions lie. */
const V = {
  immediateBytes: 0xf, // 0, 1, 2, 4 or 8
  /** Field of the record for ModRM.reg: kind of register, then which field. */
  regKind: 0x70,
  regField: 0x180,
  /** The same for ModRM.rm or the register in the opcode. */
  rmKind: 0xe00,
  rmField: 0x3000,
  branch: 0x4000, // the immediate is a branch target in the page
  immediate: 0x8000, // the record has the immediate
  ends: 0x1_0000, // the record's immediate is the offset of the next instruction, its displacement too if it has no operand in memory
  width: 0x6_0000, // of the immediate as the instruction uses it: 8, 16, 32 or 64 bits
} as const;
const REG_SHIFT = 4;
const RM_SHIFT = 9;
const WIDTH_SHIFT = 17;
/** Kinds of registers; shifted by 3, below them, the field a, b or c. */
const KIND = { none: 0, gpr: 1, byte: 2, xmm: 3, mmx: 4 } as const;

/** Bits of a key, above the opcode. */
const OPERAND = 0x400;
const ADDRESS = 0x800;
const LOCK = 0x1000;
const F2 = 0x2000;
const F3 = 0x4000;
const FULL = 0x8000;
const WIDE = 0x1_0000;
const FORM_SHIFT = 17;
const UNITS_SHIFT = 25;
/** No key is zero. */
const PRESENT = 0x4000_0000;

/** Prefix bytes that are no part of a key by themselves. */
const FS = 1;
const GS = 2;
const NULL_SEGMENT = 3;
const REX = 4;
const VEX = 5;

/** Result of `write`: length of the instruction, and whether it ends its block. */
export const ENDS = 16;

/** How ModRM takes part in the choice of a form. */
const MODRM = { none: 0, kind: 1, digit: 2, whole: 3 } as const;

/**
 * Records of instructions whose like was decoded before: the decoder says once which handler an opcode has and which fields
 * its registers go to. Only 64-bit code; nothing is allocated per instruction.
 */
export class Templates {
  readonly #bytes: Uint8Array;
  readonly #memory: Int32Array;
  /** MODRM by map and opcode. */
  readonly #modrm: Uint8Array;
  readonly #slots = new Uint16Array(SLOTS);
  readonly #templates = new Int32Array(TEMPLATES_MAX * WORDS);
  #count = 1;
  // The instruction last looked at.
  #key = 0;
  #rex = 0;
  #reg = 0;
  #rm = 0;
  #segment = 0;
  /** It has an operand in memory: state offsets of base and index, and the rest of the address. */
  #inMemory = false;
  #base = 0;
  #index = 0;
  #scale = 0;
  #displacementBytes = 0;
  /** Bytes up to displacement and immediate. */
  #keyBytes = 0;

  constructor(buffer: ArrayBufferLike, tables: OpcodeTables) {
    this.#bytes = new Uint8Array(buffer as ArrayBuffer);
    this.#memory = new Int32Array(buffer as ArrayBuffer);
    this.#modrm = modrmTable(tables);
  }

  /**
   * Writes the record of the instruction at a host offset, when there is a template for it. At least 15 bytes must lie there.
   *
   * @param at where the record goes
   * @param units CodeMode.fpu
   * @param place its page offset in bits 15:0, and its place in the block in bits 31:24
   * @returns length and ENDS, or 0: decode it, and `learn` it
   */
  write(at: number, host: number, units: number, place: number): number {
    this.#scan(host, units);
    const from = this.#find();
    if (from === 0) return 0;
    const handler = this.#templates[from + 1]!;
    const varies = this.#templates[from + 2]!;
    const tail = host + this.#keyBytes;
    const immediateSize = varies & V.immediateBytes;
    const length = this.#keyBytes + this.#displacementBytes + immediateSize;
    const next = (place & 0xffff) + length;
    let displacement = 0;
    if (this.#inMemory) {
      displacement = signed(this.#bytes, tail, this.#displacementBytes);
      if (this.#base === S.page) displacement += next;
      if (displacement !== (displacement | 0)) return 0;
    } else if ((varies & V.ends) !== 0) displacement = next;
    if (length > 15) return 0;
    const memory = this.#memory;
    const to = at >> 2;
    memory[to] = handler;
    memory[to + 1] = place | (this.#scale << 16);
    memory[to + 3] = this.#base | (this.#index << 16);
    memory[to + 4] = this.#segment;
    memory[to + 5] = displacement;
    memory[to + 2] = 0;
    if ((varies & V.regKind) !== 0) this.#register(at, varies >> REG_SHIFT, this.#reg);
    if ((varies & V.rmKind) !== 0) this.#register(at, varies >> RM_SHIFT, this.#rm);
    if ((varies & V.branch) !== 0) this.#branch(at, next, signed(this.#bytes, tail + this.#displacementBytes, immediateSize));
    else if ((varies & V.immediate) !== 0) this.#immediate(at, tail + this.#displacementBytes, varies);
    else {
      memory[to + 6] = next;
      memory[to + 7] = 0;
    }
    return length | ((varies & V.ends) !== 0 ? ENDS : 0);
  }

  #register(at: number, where: number, number: number): void {
    const field = (where >> 3) & 3;
    let slot = S.gpr + number * 8;
    switch (where & 7) {
      case KIND.byte:
        if (this.#rex === 0 && number >= 4) slot = S.gpr + (number - 4) * 8 + 1;
        break;
      case KIND.xmm:
        slot = S.xmm + number * 32;
        break;
      case KIND.mmx:
        slot = S.st + (number & 7) * 16;
    }
    if (field === 2) this.#memory[(at + R.seg) >> 2] = this.#segment | (slot << 16);
    else this.#memory[(at + R.a) >> 2]! |= field === 0 ? slot : slot << 16;
  }

  #branch(at: number, next: number, distance: number): void {
    const target = next + distance;
    const to = at >> 2;
    this.#memory[to + 2] = target >= 0 && target < 4096 ? 0 : 1;
    this.#memory[to + 3] = next < 4096 ? 0 : 1;
    this.#memory[to + 6] = target | 0;
    this.#memory[to + 7] = target < 0 ? -1 : 0;
  }

  #immediate(at: number, from: number, varies: number): void {
    const to = (at + R.immediate) >> 2;
    const bytes = varies & V.immediateBytes;
    const width = (varies & V.width) >> WIDTH_SHIFT;
    const low = signed(this.#bytes, from, bytes);
    this.#memory[to] = width === 0 ? low & 0xff : width === 1 ? low & 0xffff : low;
    this.#memory[to + 1] = bytes === 8 ? signed(this.#bytes, from + 4, 4) : width === 3 && low < 0 ? -1 : 0;
  }

  /**
   * Keeps what the record of an instruction was made from.
   *
   * @param handler of the instruction that `write` was last asked for and did not know
   */
  learn(handler: number, insn: Instruction): void {
    const { def } = insn;
    if (this.#key === 0 || def.semantics === undefined || def.system !== undefined || needsPreparation(insn, 0)) return;
    let varies = def.ends === true ? V.ends : 0;
    let fields = 0;
    for (const code of def.operands ?? []) {
      const spec = operandSpec(code);
      const bits = operandBits(spec, insn.operandSize);
      const kind = registerKind(spec, bits, insn);
      if (kind !== KIND.none) varies |= (kind | (fields++ << 3)) << ('GVP'.includes(spec.where) ? REG_SHIFT : RM_SHIFT);
      else if (spec.where === 'O' || spec.where === 'A' || spec.where === 'B') return;
      else if (spec.where === 'I' || spec.where === 'J') {
        if ((varies & V.immediateBytes) !== 0) return;
        varies |= immediateBytes(spec, insn.operandSize, insn.addressSize, true);
        const used = spec.signed ? insn.operandSize : bits;
        varies |= spec.where === 'J' ? V.branch : V.immediate | (Math.log2(used / 8) << WIDTH_SHIFT);
      }
    }
    if (this.#keyBytes + this.#displacementBytes + (varies & V.immediateBytes) === insn.length) this.#add(handler, varies);
  }

  #add(handler: number, varies: number): void {
    if (this.#count === TEMPLATES_MAX) {
      this.#slots.fill(0);
      this.#count = 1;
    }
    const to = this.#count++ * WORDS;
    this.#templates[to] = this.#key;
    this.#templates[to + 1] = handler;
    this.#templates[to + 2] = varies;
    let slot = Math.imul(this.#key, 0x9e37_79b1) >>> SLOT_SHIFT;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & (SLOTS - 1);
    this.#slots[slot] = to / WORDS;
  }

  /** Where the template of the key is, or 0. */
  #find(): number {
    const key = this.#key;
    for (let slot = Math.imul(key, 0x9e37_79b1) >>> SLOT_SHIFT; ; slot = (slot + 1) & (SLOTS - 1)) {
      const from = this.#slots[slot]! * WORDS;
      if (from === 0 || this.#templates[from] === key) return from;
    }
  }

  /** Takes an instruction apart as far as its displacement. @spec SDM-2A §2.1 */
  #scan(host: number, units: number): void {
    const bytes = this.#bytes;
    let at = host;
    let rex = 0;
    let key = 0;
    let byte = bytes[at++]!;
    this.#segment = S.zero;
    for (let kind = PREFIXES[byte]!; kind !== 0; kind = PREFIXES[byte]!) {
      if (kind === VEX || at - host > 8) {
        this.#key = 0;
        return;
      }
      // REX counts only directly before the opcode; of the others of a group the last one counts.
      if (kind === REX) rex = byte;
      else {
        rex = 0;
        if (kind === FS || kind === GS) this.#segment = S.segBase + (kind === FS ? SEG.FS : SEG.GS) * 8;
        else if (kind === F2 || kind === F3) key = (key & ~(F2 | F3)) | kind;
        else if (kind !== NULL_SEGMENT) key |= kind;
      }
      byte = bytes[at++]!;
    }
    let map = 0;
    if (byte === 0x0f) {
      map = 0x100;
      byte = bytes[at++]!;
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 0x200 : 0x300;
        byte = bytes[at++]!;
      }
    }
    const opcode = map | byte;
    this.#inMemory = false;
    this.#base = 0;
    this.#index = 0;
    this.#scale = 0;
    this.#displacementBytes = 0;
    this.#rm = (byte & 7) | ((rex & 1) << 3);
    const use = this.#modrm[opcode]!;
    if (use !== MODRM.none) {
      const modrm = bytes[at++]!;
      this.#reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
      this.#rm = (modrm & 7) | ((rex & 1) << 3);
      const form = use === MODRM.whole ? modrm : use === MODRM.digit ? (modrm & 0x38) | (modrm >= 0xc0 ? 1 : 0) : modrm >= 0xc0 ? 1 : 0;
      key |= form << FORM_SHIFT;
      if (modrm < 0xc0) {
        if (this.#address(modrm, bytes[at]!, rex)) at++;
        if (this.#index !== S.zero || this.#segment !== S.zero) key |= FULL;
      }
    }
    if ((rex & 8) !== 0) key |= WIDE;
    this.#rex = rex;
    this.#key = key | opcode | (units << UNITS_SHIFT) | PRESENT;
    this.#keyBytes = at - host;
  }

  /** @returns whether there is a SIB byte */
  #address(modrm: number, sib: number, rex: number): boolean {
    const mod = modrm >> 6;
    const withSib = (modrm & 7) === 4;
    const base = withSib ? sib & 7 : modrm & 7;
    const absent = base === 5 && mod === 0;
    this.#inMemory = true;
    this.#displacementBytes = mod === 1 ? 1 : mod === 2 || absent ? 4 : 0;
    this.#base = absent ? (withSib ? S.zero : S.page) : S.gpr + (base | ((rex & 1) << 3)) * 8;
    const index = withSib ? ((sib >> 3) & 7) | ((rex & 2) << 2) : 4;
    this.#index = index === 4 ? S.zero : S.gpr + index * 8;
    this.#scale = withSib ? sib >> 6 : 0;
    return withSib;
  }
}

/** The sign-extended value of 0, 1, 2 or 4 bytes, or the low half of 8. */
function signed(bytes: Uint8Array, at: number, size: number): number {
  if (size === 0) return 0;
  if (size === 1) return (bytes[at]! << 24) >> 24;
  if (size === 2) return ((bytes[at]! | (bytes[at + 1]! << 8)) << 16) >> 16;
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** The kind of register that an operand is; none for memory and all that is no register. */
function registerKind({ where }: OperandSpec, bits: number, insn: Instruction): number {
  if ('EWQ'.includes(where) && insn.memory !== undefined) return KIND.none;
  if ('EGRZ'.includes(where)) return bits === 8 ? KIND.byte : KIND.gpr;
  if ('VWU'.includes(where)) return KIND.xmm;
  return 'PQN'.includes(where) ? KIND.mmx : KIND.none;
}

/** Prefixes of 64-bit code by byte; VEX counts as one that templates leave alone. */
const PREFIXES = new Uint16Array(256);
PREFIXES.fill(REX, 0x40, 0x50);
PREFIXES.fill(VEX, 0xc4, 0xc6);
for (const byte of [0x26, 0x2e, 0x36, 0x3e]) PREFIXES[byte] = NULL_SEGMENT;
PREFIXES[0x64] = FS;
PREFIXES[0x65] = GS;
PREFIXES[0x66] = OPERAND;
PREFIXES[0x67] = ADDRESS;
PREFIXES[0xf0] = LOCK;
PREFIXES[0xf2] = F2;
PREFIXES[0xf3] = F3;

function modrmTable(tables: OpcodeTables): Uint8Array {
  const table = new Uint8Array(4 * 256);
  for (let map = 0; map < 4; map++) {
    for (let opcode = 0; opcode < 256; opcode++) {
      const entry = tables.maps[map]![opcode];
      if (entry?.hasModrm === true) table[map * 256 + opcode] = useOfModrm(entry);
    }
  }
  return table;
}

function useOfModrm({ exact, forms }: OpcodeEntry): number {
  if (exact !== undefined) return MODRM.whole;
  for (let at = 0; at < 64; at++) if (forms[at] !== forms[at & ~0xe]) return MODRM.digit;
  return MODRM.kind;
}
