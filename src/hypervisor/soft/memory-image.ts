import type { GuestMemory } from '../../memory/guest-memory.ts';
import type { VmState } from '../contract.ts';

/** Memory is kept or left out in pieces of this size. */
const PIECE = 65536;

/** Copies of the pieces that are not all zeros: memory that a guest never touched costs nothing. */
export function saveMemory(memory: GuestMemory, length: number): VmState['memory'] {
  const pieces: { gpa: number; bytes: Uint8Array }[] = [];
  for (let gpa = 0; gpa < length; gpa += PIECE) {
    const bytes = memory.bytes(gpa, Math.min(PIECE, length - gpa));
    if (!isZero(bytes)) pieces.push({ gpa, bytes: new Uint8Array(bytes) });
  }
  return pieces;
}

/** Makes memory what was saved, zeros included. @throws {RangeError} when a piece lies outside, before anything changes */
export function restoreMemory(memory: GuestMemory, length: number, pieces: VmState['memory']): void {
  for (const { gpa, bytes } of pieces) {
    if (!memory.contains(gpa, bytes.length))
      throw new RangeError(`Cannot restore memory: a piece at ${gpa} lies outside`);
  }
  for (let gpa = 0; gpa < length; gpa += PIECE) {
    const present = memory.bytes(gpa, Math.min(PIECE, length - gpa));
    if (!isZero(present)) present.fill(0);
  }
  for (const { gpa, bytes } of pieces) memory.bytes(gpa, bytes.length).set(bytes);
  memory.wrote(0, length);
}

/** Reading a page that the host never gave us is cheap, writing one is not. */
function isZero(bytes: Uint8Array): boolean {
  const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length >> 3);
  for (let i = 0; i < words.length; i++) if (words[i] !== 0n) return false;
  return true;
}
