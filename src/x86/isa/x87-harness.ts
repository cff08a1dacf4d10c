import type { Instruction } from '../decode/instruction.ts';
import type { Definition } from './definition.ts';
import { X87 } from './x87.ts';
import { S } from '../state/layout.ts';
import { CpuState } from '../state/state.ts';
import type { SystemCpu } from '../system/system-cpu.ts';

/** Linear address of the harness's memory, and of the operand of its instructions. */
export const MEMORY = 0x1_0000n;
/** Address of its instructions. */
export const CODE = 0x40_1000n;

/** Runs x87 instructions by opcode and ModRM, without a decoder. */
export class X87Harness {
  readonly state = new CpuState(new ArrayBuffer(S.end), 0);
  readonly memory = new DataView(new ArrayBuffer(256));
  /** Bits of the mode the instructions are decoded in. */
  bits: 16 | 32 | 64 = 64;
  operandSize: 16 | 32 | 64 = 32;
  /** Runs before each access to memory; may throw. */
  onAccess: () => void = () => {};
  readonly #cpu: SystemCpu;

  constructor() {
    this.state.set64(S.cr0, 0x21n); // PE, NE
    this.state.set32(S.fcw, 0x37f);
    this.#cpu = {
      state: this.state,
      instructionRip: CODE,
      address: () => MEMORY,
      mmu: { privilege: () => 0, probe: () => this.onAccess(), requireAligned: () => {} },
      read: (linear: bigint, bytes: number) => this.#read(Number(linear - MEMORY), bytes),
      write: (linear: bigint, bytes: number, value: bigint) => this.#write(Number(linear - MEMORY), bytes, value),
    } as unknown as SystemCpu;
  }

  /** Runs one instruction; a memory operand (mod not 3) is at MEMORY. */
  run(opcode: number, modrm: number): void {
    const definition = find(opcode, modrm);
    if (definition.system === undefined) throw new Error(`Cannot run ${definition.name}: it has no function`);
    definition.system(this.#cpu, this.#instruction(definition, opcode, modrm));
  }

  #instruction(def: Definition, opcode: number, modrm: number): Instruction {
    const memory = { base: -1, index: -1, scale: 0, displacement: MEMORY, ripRelative: false, segment: 3 };
    return {
      def,
      length: 2,
      mode: { bits: this.bits, stackBits: this.bits, fpu: 0, cpl3: true },
      operandSize: this.operandSize,
      addressSize: this.bits,
      rep: 0,
      lock: false,
      prefix66: false,
      rex: 0,
      segment: -1,
      mod: modrm >> 6,
      reg: (modrm >> 3) & 7,
      rm: modrm & 7,
      opcodeReg: 0,
      opcode,
      memory: modrm < 0xc0 ? memory : undefined,
      immediate: 0n,
      immediate2: 0,
      vvvv: 0,
      vexL: 0,
    };
  }

  #read(at: number, bytes: number): bigint {
    this.onAccess();
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.memory.getUint8(at + i));
    return value;
  }

  #write(at: number, bytes: number, value: bigint): void {
    this.onAccess();
    for (let i = 0; i < bytes; i++) this.memory.setUint8(at + i, Number((value >> BigInt(8 * i)) & 0xffn));
  }
}

const byEncoding = new Map(X87.map((definition) => [definition.opcode, definition]));

/** The definition an encoding belongs to. @throws when there is none, which is #UD */
export function find(opcode: number, modrm: number): Definition {
  const byte = opcode.toString(16).toUpperCase();
  const definition = byEncoding.get(opcode === 0x9b ? '9B' : `${byte} /${(modrm >> 3) & 7} ${modrm < 0xc0 ? 'mem' : 'reg'}`);
  if (definition === undefined) throw new UndefinedEncoding(`Cannot find ${byte} ${modrm.toString(16)}: not defined`);
  return definition;
}

/** No definition has this encoding. */
export class UndefinedEncoding extends Error {
  override readonly name = 'UndefinedEncoding';
}
