import type { Instruction } from '../decode/instruction.ts';

/** One instruction of a block. */
export interface BlockInstruction {
  readonly insn: Instruction;
  /** Its first record. */
  readonly record: number;
  /** Offset in its page. */
  readonly offset: number;
}

/** A block of records that counts its entries, taken apart. */
export interface BlockLayout {
  /** First record: the one that counts entries, or enters compiled code. */
  readonly record: number;
  /** Offset in the page. */
  readonly offset: number;
  readonly instructions: readonly BlockInstruction[];
  /** Offset after the last instruction. */
  readonly end: number;
  /** The record that goes on to another block: the last instruction's, or a jump after it. */
  readonly endRecord: number;
  /** The block ends without a branch. */
  readonly open: boolean;
}
