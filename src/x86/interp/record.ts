/**
 * A pre-decoded instruction: 32 bytes in the engine's part of memory. Records of a block follow each other; the handler of one
 * ends by calling the handler of the next (a WebAssembly tail call).
 */
export const RECORD_BYTES = 32;
/** Most instructions of a block: bounds how long the guest runs between two looks at its budget. */
export const BLOCK_MAX = 64;
export const R = {
  handler: 0, // u32: index in the interpreter's function table
  pageOffset: 4, // u16: offset of the instruction in its linear page
  scale: 6, // u8
  count: 7, // u8: number of instructions of the block up to and including this one
  a: 8, // u16: state offset of the first register operand
  b: 10,
  base: 12, // u16: state offsets of the parts of the effective address
  index: 14,
  seg: 16,
  c: 18,
  displacement: 20, // i32; for control transfers the page-relative offset of the next instruction
  immediate: 24, // i64; for relative branches the page-relative target
  /** Relative branches: records to go on with, LINK_NONE or LINK_NEVER. */
  taken: 8, // u32
  notTaken: 12, // u32
} as const;

/** Fields of the record that counts the entries of a block, beside handler and pageOffset. */
export const PROFILE = {
  entry: 8, // u16: number of the entry in the compiled function
  mode: 10, // u16: mode index of the block
  delta: 12, // i32: distance of its page from the base page of the compiled function
  page: 20, // u32: physical page number
  left: 24, // i32: entries until the block is hot
} as const;

/** Not linked yet. */
export const LINK_NONE = 0;
/** Goes to another page: looked up each time. */
export const LINK_NEVER = 1;

/** What run() returns. */
export const EXIT = {
  /** The budget is used up; S.pc is the record to go on with. */
  budget: 0,
  /** An exception is pending in the CPU object; S.pc is the faulting record. */
  fault: 1,
  /** S.rip (linear) has no record in the jump cache. */
  lookup: 2,
  /** An exception with vector in S.exitInfo was raised by the instruction at S.pc. */
  raise: 3,
  /** The records at S.pc are no longer valid: decode again from there. */
  stale: 4,
  /** The block that starts at S.pc was entered often. */
  hot: 5,
} as const;
