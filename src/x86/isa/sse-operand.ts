import type { Emitter, Operand, Value } from '../ir/emitter.ts';

const GP = 13;

/** Legacy SSE instructions raise #GP(0) for 16-byte memory operands that are not aligned. @spec SDM-2A §2.4, table 2-21 */
export function checkAligned(b: Emitter, operand: Operand): void {
  if (operand.kind !== 'memory' || operand.bits !== 128) return;
  const misaligned = b.ne(b.and(operand.linearAddress(), b.const(15)), b.const(0));
  b.if(misaligned, () => b.raise(GP, 0), undefined, false);
}

/** Reads an operand that must be aligned if it is 16 bytes of memory. */
export function readAligned(b: Emitter, operand: Operand): Value {
  checkAligned(b, operand);
  return operand.read();
}
