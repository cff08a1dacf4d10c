import type { Instruction } from '../decode/instruction.ts';
import type { Emitter, Operand } from '../ir/emitter.ts';
import type { SystemCpu } from '../system/system-cpu.ts';

/**
 * One instruction form: how it is encoded and what it means. Decoder, interpreter, JIT and docs/isa.md derive from it.
 *
 * `semantics` (hot) is lowered to WebAssembly by every tier, `system` (rare) is TypeScript; with both, `system` is what
 * semantics fall back on by `b.slowPath()`.
 */
export interface Definition {
  readonly name: string;
  /**
   * Encoding in the words of the SDM: optional mandatory prefix NP, 66, F3 or F2; optional VEX; opcode bytes in hex with the
   * escapes 0F, 0F 38, 0F 3A; optional =XX (the whole ModRM byte); optional "+r" (register in the low three bits; the opcode byte given is the first of eight);
   * optional /r (ModRM present) or /0../7 (ModRM with opcode extension); optional "mem" or "reg" (only that kind of ModRM.rm).
   * Without a mandatory prefix a form applies with 66, F2 and F3 present as well. @spec SDM-2A §3.1.1
   */
  readonly opcode: string;
  /** Operand codes as in SDM-2D appendix A: Ev, Gb, Iz, sIb, Jz, Wsd ... see decode/operands.ts. */
  readonly operands?: readonly string[];
  /** '64': only in 64-bit mode; 'legacy': #UD in 64-bit mode. */
  readonly mode?: '64' | 'legacy';
  /** Operand size is 64 by default in 64-bit mode (near branches, PUSH, POP ...); 66h still gives 16. */
  readonly default64?: true;
  /** Operand size is always 64 in 64-bit mode whatever the prefixes. */
  readonly force64?: true;
  /** LOCK is allowed when the destination is memory. */
  readonly lock?: true;
  /** Uses the stack: the form is lowered once per stack width. */
  readonly stack?: true;
  /** Depends on the operand size although no operand says so. */
  readonly sized?: true;
  /** String instruction: lowered once per address size and per REP prefix (b.rep, b.addressBits). */
  readonly string?: true;
  /** Other forms that depend on the address size (LOOP, JCXZ, XLAT, MASKMOV). */
  readonly addressSized?: true;
  /** Changes RIP: last instruction of a block. */
  readonly ends?: true;
  /** State that must be enabled: checked by the decoder. */
  readonly unit?: 'x87' | 'mmx' | 'sse';
  /** Architecturally undefined flags after it (for tests). */
  readonly undefinedFlags?: readonly string[];
  readonly semantics?: (b: Emitter, ...operands: Operand[]) => void;
  readonly system?: SystemFunction;
}

/**
 * A rare instruction in TypeScript. On entry state.rip is the address of the next instruction; the function may change it when
 * the definition says `ends`. It reports faults by throwing GuestException before it changes any register.
 */
export type SystemFunction = (cpu: SystemCpu, insn: Instruction) => void;

/** Marks a record as an instruction definition. */
export function instruction(definition: Definition): Definition {
  return definition;
}
