import type { Definition } from '../isa/definition.ts';
import { SEG } from '../state/layout.ts';
import { ud } from '../system/exception.ts';
import type { CodeMode, Instruction, MemoryOperand } from './instruction.ts';
import { immediateBytes, type OperandSpec } from './operands.ts';
import type { OpcodeEntry, OpcodeTables } from './tables.ts';

/** What is executed for bytes that are no instruction. */
export const INVALID: Definition = {
  name: '(invalid)',
  opcode: '0F FF',
  ends: true,
  system: () => {
    throw ud();
  },
};

/** The bytes end before the instruction does. */
export class OutOfBytes {}
const OUT_OF_BYTES = new OutOfBytes();

/**
 * Decodes one instruction.
 *
 * @param bytes what lies at the instruction pointer, up to 15 bytes; fewer only when the next page cannot be fetched
 * @returns the instruction (INVALID for undefined encodings), or undefined when more bytes are needed than were given
 * @spec SDM-2A §2
 */
export class Decoder {
  readonly tables: OpcodeTables;
  #bytes: Uint8Array = new Uint8Array(0);
  /** Of the instruction at hand; one object for all of them. */
  readonly #prefixState: Prefixes = { prefix66: false, prefix67: false, rep: 0, lock: false, segment: -1, rex: 0, vvvv: 0, vexL: 0, vexPrefix: -1, map: 0 };
  #at = 0;

  constructor(tables: OpcodeTables) {
    this.tables = tables;
  }

  decode(bytes: Uint8Array, mode: CodeMode): Instruction | undefined {
    this.#bytes = bytes;
    this.#at = 0;
    try {
      return this.#decode(mode);
    } catch (error) {
      if (error instanceof OutOfBytes) return undefined;
      throw error;
    }
  }

  #u8(): number {
    if (this.#at >= this.#bytes.length) throw OUT_OF_BYTES;
    return this.#bytes[this.#at++]!;
  }

  #signed(bytes: number): bigint {
    if (bytes === 1) return big((this.#u8() << 24) >> 24);
    if (bytes === 2) {
      const low = this.#u8();
      return big(((low | (this.#u8() << 8)) << 16) >> 16);
    }
    const low = this.#i32();
    if (bytes === 4) return big(low);
    return (BigInt(this.#i32()) << 32n) | BigInt(low >>> 0);
  }

  #i32(): number {
    const a = this.#u8();
    const b = this.#u8();
    const c = this.#u8();
    return a | (b << 8) | (c << 16) | (this.#u8() << 24);
  }

  #decode(mode: CodeMode): Instruction {
    const p = this.#prefixState;
    clear(p);
    let opcode = this.#prefixes(p, mode);
    if ((opcode === 0xc4 || opcode === 0xc5) && (mode.bits === 64 || (this.#peek() & 0xc0) === 0xc0)) {
      if (p.rex !== 0 || p.prefix66 || p.rep !== 0 || p.lock) return this.#invalid(mode);
      opcode = this.#vex(p, opcode);
      if (opcode < 0) return this.#invalid(mode);
    } else if (opcode === 0x0f) {
      opcode = this.#u8();
      p.map = 1;
      if (opcode === 0x38 || opcode === 0x3a) {
        p.map = opcode === 0x38 ? 2 : 3;
        opcode = this.#u8();
      }
    }
    const entry = this.tables.maps[p.map]![opcode];
    if (entry === undefined) return this.#invalid(mode);
    return this.#finish(p, opcode, entry, mode);
  }

  #peek(): number {
    if (this.#at >= this.#bytes.length) throw OUT_OF_BYTES;
    return this.#bytes[this.#at]!;
  }

  #prefixes(p: Prefixes, mode: CodeMode): number {
    for (;;) {
      const byte = this.#u8();
      if (mode.bits === 64 && (byte & 0xf0) === 0x40) {
        // REX counts only directly before the opcode.
        const next = this.#peek();
        if (!isPrefixByte(next, mode)) p.rex = byte;
        continue;
      }
      switch (byte) {
        case 0x66:
          p.prefix66 = true;
          break;
        case 0x67:
          p.prefix67 = true;
          break;
        case 0xf2:
        case 0xf3:
          p.rep = byte;
          break;
        case 0xf0:
          p.lock = true;
          break;
        // The four null segment overrides are ignored in 64-bit mode.
        case 0x26:
          if (mode.bits !== 64) p.segment = SEG.ES;
          break;
        case 0x2e:
          if (mode.bits !== 64) p.segment = SEG.CS;
          break;
        case 0x36:
          if (mode.bits !== 64) p.segment = SEG.SS;
          break;
        case 0x3e:
          if (mode.bits !== 64) p.segment = SEG.DS;
          break;
        case 0x64:
          p.segment = SEG.FS;
          break;
        case 0x65:
          p.segment = SEG.GS;
          break;
        default:
          return byte;
      }
    }
  }

  #vex(p: Prefixes, lead: number): number {
    const b1 = this.#u8();
    let last = b1;
    let select = 1;
    let rex = 0x40 | (b1 & 0x80 ? 0 : 4);
    if (lead === 0xc4) {
      rex |= (b1 & 0x40 ? 0 : 2) | (b1 & 0x20 ? 0 : 1);
      select = b1 & 0x1f;
      last = this.#u8();
      if (last & 0x80) rex |= 8;
    }
    if (select < 1 || select > 3) return -1;
    p.rex = rex;
    p.vvvv = (~last >> 3) & 15;
    p.vexL = (last >> 2) & 1;
    p.vexPrefix = [0, 1, 2, 3][last & 3]!;
    p.map = select + 3;
    return this.#u8();
  }

  #finish(p: Prefixes, opcode: number, entry: OpcodeEntry, mode: CodeMode): Instruction {
    const mode64 = mode.bits === 64;
    const modrm = entry.hasModrm ? this.#peek() : 0;
    const mandatory = p.vexPrefix >= 0 ? p.vexPrefix : p.rep === 0xf3 ? 2 : p.rep === 0xf2 ? 3 : p.prefix66 ? 1 : 0;
    const half = mode64 ? 0 : 64;
    const low = ((modrm >> 3) & 7) * 2 + (modrm >= 0xc0 ? 1 : 0);
    const exact = mode64 ? entry.exact?.get(modrm) : undefined;
    const form = exact ?? entry.forms[half + mandatory * 16 + low];
    if (form === undefined || form.mode === (mode64 ? 'legacy' : '64')) return this.#invalid(mode);
    if (p.vexPrefix >= 0 && !vexAllowed(form, p)) return this.#invalid(mode);
    const rexW = (p.rex & 8) !== 0;
    const operandSize = operandSizeOf(form, mode, p.prefix66, rexW);
    const addressSize = mode64 ? (p.prefix67 ? 32 : 64) : (mode.bits === 32) !== p.prefix67 ? 32 : 16;
    let memory: MemoryOperand | undefined;
    let mod = 0;
    let reg = 0;
    let rm = 0;
    if (entry.hasModrm) {
      this.#at++;
      mod = modrm >> 6;
      reg = ((modrm >> 3) & 7) | (p.rex & 4 ? 8 : 0);
      rm = (modrm & 7) | (p.rex & 1 ? 8 : 0);
      if (mod !== 3) memory = addressSize === 16 ? this.#memory16(modrm, p) : this.#memory(modrm, p, mode64);
    }
    let immediate = 0n;
    let immediate2 = 0;
    const immediates = exact === undefined ? entry.immediates[half + mandatory * 16 + low]! : NO_IMMEDIATES;
    for (let i = 0; i < immediates.length; i++) {
      const spec = immediates[i]!;
      const value = this.#signed(immediateBytes(spec, operandSize, addressSize, mode64));
      if (i === 0) immediate = value;
      else immediate2 = Number(value);
      if (spec.where === 'A') immediate2 = Number(this.#signed(2)) & 0xffff;
    }
    if (this.#at > 15) return this.#invalid(mode);
    if (p.lock && (form.lock !== true || memory === undefined)) return this.#invalid(mode);
    return {
      def: form,
      length: this.#at,
      mode,
      operandSize,
      addressSize,
      rep: p.rep,
      lock: p.lock,
      prefix66: p.prefix66,
      rex: p.rex,
      segment: p.segment,
      mod,
      reg,
      rm,
      opcodeReg: (opcode & 7) | (p.rex & 1 ? 8 : 0),
      opcode,
      memory,
      immediate,
      immediate2,
      vvvv: p.vvvv,
      vexL: p.vexL,
    };
  }

  #memory(modrm: number, p: Prefixes, mode64: boolean): MemoryOperand {
    const mod = modrm >> 6;
    let base = modrm & 7;
    let index = -1;
    let scale = 0;
    let ripRelative = false;
    let noBase = false;
    if (base === 4) {
      const sib = this.#u8();
      scale = sib >> 6;
      index = ((sib >> 3) & 7) | (p.rex & 2 ? 8 : 0);
      if (index === 4) index = -1;
      base = sib & 7;
      noBase = base === 5 && mod === 0;
    } else if (base === 5 && mod === 0) {
      noBase = true;
      ripRelative = mode64;
    }
    const displacement = this.#signedDisplacement(mod === 1 ? 1 : mod === 2 || noBase ? 4 : 0);
    const baseRegister = noBase ? -1 : base | (p.rex & 1 ? 8 : 0);
    const segment = p.segment >= 0 ? p.segment : baseRegister === 4 || baseRegister === 5 ? SEG.SS : SEG.DS;
    return { base: baseRegister, index, scale, displacement, ripRelative, segment };
  }

  #memory16(modrm: number, p: Prefixes): MemoryOperand {
    const mod = modrm >> 6;
    const [base, index] = FORMS_16[modrm & 7]!;
    const noBase = mod === 0 && (modrm & 7) === 6;
    const displacement = this.#signedDisplacement(mod === 1 ? 1 : mod === 2 || noBase ? 2 : 0);
    const baseRegister = noBase ? -1 : base;
    const segment = p.segment >= 0 ? p.segment : baseRegister === 5 ? SEG.SS : SEG.DS;
    return { base: baseRegister, index: noBase ? -1 : index, scale: 0, displacement, ripRelative: false, segment };
  }

  #signedDisplacement(bytes: number): bigint {
    return bytes === 0 ? 0n : this.#signed(bytes);
  }

  #invalid(mode: CodeMode): Instruction {
    return {
      def: INVALID,
      length: Math.min(this.#at, 15),
      mode,
      operandSize: 32,
      addressSize: 32,
      rep: 0,
      lock: false,
      prefix66: false,
      rex: 0,
      segment: -1,
      mod: 0,
      reg: 0,
      rm: 0,
      opcodeReg: 0,
      opcode: 0,
      memory: undefined,
      immediate: 0n,
      immediate2: 0,
      vvvv: 0,
      vexL: 0,
    };
  }
}

interface Prefixes {
  prefix66: boolean;
  prefix67: boolean;
  rep: 0 | 0xf2 | 0xf3;
  lock: boolean;
  segment: number;
  rex: number;
  vvvv: number;
  vexL: number;
  vexPrefix: number;
  map: number;
}

const NO_IMMEDIATES: readonly OperandSpec[] = [];

/** Most immediates and displacements are small. */
const SMALL: readonly bigint[] = Array.from({ length: 512 }, (_, i) => BigInt(i - 256));

function big(value: number): bigint {
  return value >= -256 && value < 256 ? SMALL[value + 256]! : BigInt(value);
}

function clear(p: Prefixes): void {
  p.prefix66 = false;
  p.prefix67 = false;
  p.rep = 0;
  p.lock = false;
  p.segment = -1;
  p.rex = 0;
  p.vvvv = 0;
  p.vexL = 0;
  p.vexPrefix = -1;
  p.map = 0;
}

/** General-register VEX forms take VEX.L = 0; VEX.vvvv must be unused when no operand is there. @spec SDM-2A §2.3.6 */
function vexAllowed(form: Definition, p: Prefixes): boolean {
  return p.vexL === 0 && (p.vvvv === 0 || form.operands?.some((code) => code[0] === 'B') === true);
}

/** 16-bit addressing: [base, index] by ModRM.rm. @spec SDM-2A table 2-1 */
const FORMS_16: readonly (readonly [number, number])[] = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, -1],
  [7, -1],
  [5, -1],
  [3, -1],
];

function operandSizeOf(form: Definition, mode: CodeMode, prefix66: boolean, rexW: boolean): 16 | 32 | 64 {
  if (mode.bits !== 64) return (mode.bits === 32) !== prefix66 ? 32 : 16;
  if (form.force64 === true || rexW) return 64;
  if (prefix66) return 16;
  return form.default64 === true ? 64 : 32;
}

function isPrefixByte(byte: number, mode: CodeMode): boolean {
  if (mode.bits === 64 && (byte & 0xf0) === 0x40) return true;
  return (
    byte === 0x66 ||
    byte === 0x67 ||
    byte === 0xf2 ||
    byte === 0xf3 ||
    byte === 0xf0 ||
    byte === 0x26 ||
    byte === 0x2e ||
    byte === 0x36 ||
    byte === 0x3e ||
    byte === 0x64 ||
    byte === 0x65
  );
}
