import type { Definition } from '../isa/definition.ts';

/** One decoded instruction: plain data, independent of where it lies. Created once per decode, never per execution. */
export interface Instruction {
  readonly def: Definition;
  /** Bytes, 1..15. */
  readonly length: number;
  readonly mode: CodeMode;
  /** Effective operand size in bits (66h, REX.W and 64-bit defaults applied). */
  readonly operandSize: 16 | 32 | 64;
  /** Effective address size in bits. */
  readonly addressSize: 16 | 32 | 64;
  /** 0, or the last of F2h / F3h that was present. */
  readonly rep: 0 | 0xf2 | 0xf3;
  readonly lock: boolean;
  /** 66h was present (mandatory or not). */
  readonly prefix66: boolean;
  /** REX byte, or 0. */
  readonly rex: number;
  /** Segment override as an index of SEG, or -1. */
  readonly segment: number;
  /** ModRM fields with REX/VEX extension bits; 0 when there is no ModRM. */
  readonly mod: number;
  readonly reg: number;
  readonly rm: number;
  /** Low three bits of the opcode with REX.B, for instructions that name a register there. */
  readonly opcodeReg: number;
  /** Last opcode byte. */
  readonly opcode: number;
  /** The memory operand, if there is one. */
  readonly memory: MemoryOperand | undefined;
  /** First immediate or displacement of a branch, sign-extended to 64 bits as the form says; moffs for MOV. */
  readonly immediate: bigint;
  /** Second immediate (ENTER, far pointers: selector). */
  readonly immediate2: number;
  /** VEX.vvvv as a register number, VEX.L. */
  readonly vvvv: number;
  readonly vexL: number;
}

export interface MemoryOperand {
  /** GPR index, or -1. */
  readonly base: number;
  /** GPR index, or -1. */
  readonly index: number;
  /** Shift count 0..3. */
  readonly scale: number;
  /** Sign-extended; for RIP-relative operands relative to the end of the instruction. */
  readonly displacement: bigint;
  readonly ripRelative: boolean;
  /** Segment as an index of SEG: the override, or the default of the base register. */
  readonly segment: number;
}

/** What decoding depends on besides the bytes. */
export interface CodeMode {
  readonly bits: 16 | 32 | 64;
  /** Width of the stack pointer: 64 in 64-bit mode, else SS.B. */
  readonly stackBits: 16 | 32 | 64;
  /** CR0.TS, CR0.EM or CR4.OSFXSR forbid x87 / SSE: bit 0 = x87 and MMX raise #NM, 1 = SSE raises #NM, 2 = SSE raises #UD, 3 = MMX raises #UD. */
  readonly fpu: number;
  readonly cpl3: boolean;
}
