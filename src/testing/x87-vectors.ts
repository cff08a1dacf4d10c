/** Reader of the records that test/differential/x87/x87.c writes. */

/** An 80-bit value. */
export interface Extended {
  sig: bigint;
  signExponent: number;
}

/** One instruction and what a processor did with it. Registers are physical, R0 first. */
export interface X87Vector {
  opcode: number;
  modrm: number;
  before: { fcw: number; fsw: number; ftw: number; flags: number; st: Extended[]; memory: Uint8Array };
  /** Vector of the exception it raised, or 0; then the rest means nothing. */
  trap: number;
  after: { fcw: number; fsw: number; ftw: number; flags: number; ax: number; st: Extended[]; memory: Uint8Array };
}

const BEFORE_BYTES = 38;
const AFTER_BYTES = 11;

/** Takes a file of vectors apart. */
export function* x87Vectors(bytes: Uint8Array): Generator<X87Vector> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const extended = (offset: number): Extended => ({
    sig: view.getBigUint64(offset, true),
    signExponent: view.getUint16(offset + 8, true),
  });
  while (at < bytes.length) {
    const fsw = view.getUint16(at + 4, true);
    const top = (fsw >> 11) & 7;
    const st: Extended[] = Array.from({ length: 8 }, (_, r) => filler((r - top) & 7));
    st[top] = extended(at + 8);
    st[(top + 1) & 7] = extended(at + 18);
    const memory = bytes.subarray(at + 28, at + 38);
    const vector: X87Vector = {
      opcode: bytes[at]!,
      modrm: bytes[at + 1]!,
      before: { fcw: view.getUint16(at + 2, true), fsw, ftw: bytes[at + 6]!, flags: bytes[at + 7]!, st, memory },
      trap: bytes[at + BEFORE_BYTES]!,
      after: { fcw: 0, fsw: 0, ftw: 0, flags: 0, ax: 0, st: [...st], memory },
    };
    at += BEFORE_BYTES;
    const { after } = vector;
    after.fcw = view.getUint16(at + 1, true);
    after.fsw = view.getUint16(at + 3, true);
    after.ftw = bytes[at + 5]!;
    after.flags = bytes[at + 6]!;
    after.ax = view.getUint16(at + 7, true);
    const [changed, memoryChanged] = [bytes[at + 9]!, bytes[at + 10]!];
    at += AFTER_BYTES;
    for (let r = 0; r < 8; r++) {
      if ((changed >> r) & 1) {
        after.st[r] = extended(at);
        at += 10;
      }
    }
    if (memoryChanged) {
      after.memory = bytes.subarray(at, at + 10);
      at += 10;
    }
    yield vector;
  }
}

/** What the recorder puts into registers a vector does not list. */
function filler(i: number): Extended {
  return { sig: (3n << 62n) | BigInt(i), signExponent: 0x3fff + i };
}
