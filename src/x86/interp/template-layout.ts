import { ENGINE } from '../state/layout.ts';

/** Where the templates and what finds them lie in the engine's memory (templates.ts says what they are). */
export const TEMPLATES = {
  /** i32: key of the instruction that had no template, bytes before its displacement (0: never has one), bytes of that. */
  key: ENGINE.templates,
  keyBytes: ENGINE.templates + 4,
  displacementBytes: ENGINE.templates + 8,
  /** u16 by byte: PREFIX. */
  prefixes: ENGINE.templates + 0x200,
  /** u16 by map and opcode: 0, or MODRM_PRESENT and the bits of ModRM that choose the form. */
  modrm: ENGINE.templates + 0x400,
  /** Open addressing: 16 bytes each, key (0: free), handler, VARIES. */
  table: ENGINE.templates + 0x1000,
} as const;
export const TEMPLATE_BYTES = 16;
export const TEMPLATE_SLOTS = 1 << 14;
/** Above all kinds of instructions there are, and never full. */
export const TEMPLATES_MAX = TEMPLATE_SLOTS / 2;
export const TEMPLATE_HASH = 0x9e37_79b1 | 0;
export const TEMPLATE_SHIFT = 32 - 14;
export const MODRM_PRESENT = 0x100;

/** Bits of a key; the opcode with its map is below. */
export const KEY = { full: 0x8000, wide: 0x1_0000, modrmShift: 17, unitsShift: 25, register: 0x2000_0000, present: 0x4000_0000 } as const;

/** Kinds of prefix bytes; those from 0x400 on are bits of the key. */
export const PREFIX = {
  fs: 1,
  gs: 2,
  ignored: 3,
  rex: 4,
  vex: 5,
  operand: 0x400,
  address: 0x800,
  lock: 0x1000,
  f2: 0x2000,
  f3: 0x4000,
} as const;

/** What differs between the records of one template, beside where the instructions lie. */
export const VARIES = {
  immediateBytes: 0xf, // 0, 1, 2, 4 or 8
  /** Kind of the register that ModRM.reg names and its field of the record, a, b or c; then of that in ModRM.rm or the opcode. */
  regShift: 4,
  rmShift: 9,
  branch: 0x4000, // the immediate is a branch target in the page
  immediate: 0x8000, // the record has the immediate
  ends: 0x1_0000, // the record's immediate is the offset of the next instruction, its displacement too if no operand is in memory
  widthShift: 17, // of the immediate as the instruction uses it: 8, 16, 32 or 64 bits
} as const;

/** Three bits, below two for the field. */
export const REGISTER = { none: 0, gpr: 1, byte: 2, xmm: 3, mmx: 4 } as const;

/** Result for a run of records: page offset of what follows, this bit when its block has ended, and the next place in the block from bit 24. */
export const ENDED = 0x1_0000;
