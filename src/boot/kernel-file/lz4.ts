import { badKernel } from './limits.ts';
import { Output } from './output.ts';

const LEGACY_MAGIC = 0x184c_2102;
/** No block of the legacy frame holds more. */
const BLOCK_BYTES_MAX = 8 << 20;
const MATCH_MIN = 4;

/**
 * Decodes an LZ4 legacy frame, which is what the Linux build makes: blocks that stand alone, each behind its length.
 * What follows the last whole block is not looked at.
 *
 * @spec LZ4-FRAME "Legacy frame"   @throws {BootError} ERR_KERNEL_IMAGE
 */
export function lz4(data: Uint8Array): Uint8Array {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < 8 || view.getUint32(0, true) !== LEGACY_MAGIC) throw damaged('no frame');
  const output = new Output();
  for (let at = 4; at + 4 < data.length; ) {
    const length = view.getUint32(at, true);
    at += 4;
    if (length === LEGACY_MAGIC) continue; // frames may follow one another
    if (length > data.length - at) {
      if (output.length > 0) break; // the size that the Linux build appends
      throw damaged('it is cut short');
    }
    block(data.subarray(at, at + length), output);
    at += length;
  }
  return output.taken();
}

/** @spec LZ4-BLOCK */
function block(data: Uint8Array, output: Output): void {
  const start = output.length;
  output.reserve(BLOCK_BYTES_MAX);
  const out = output.bytes;
  const end = start + BLOCK_BYTES_MAX;
  let to = start;
  for (let at = 0; at < data.length; ) {
    const token = data[at++]!;
    let literals = token >> 4;
    if (literals === 15) {
      for (let more = 255; more === 255; literals += more) more = data[at++] ?? truncated();
    }
    if (literals > data.length - at || literals > end - to) throw damaged('literals run over');
    for (let i = 0; i < literals; i++) out[to++] = data[at++]!;
    if (at === data.length) break; // the last sequence is literals only
    const distance = data[at]! | ((data[at + 1] ?? truncated()) << 8);
    at += 2;
    let length = token & 15;
    if (length === 15) {
      for (let more = 255; more === 255; length += more) more = data[at++] ?? truncated();
    }
    length += MATCH_MIN;
    if (distance === 0 || distance > to - start || length > end - to) throw damaged('a match runs over');
    // Byte by byte: a match may overlap what it makes.
    for (let i = 0; i < length; i++, to++) out[to] = out[to - distance]!;
  }
  output.length = to;
}

function truncated(): never {
  throw damaged('it is cut short');
}

function damaged(state: string) {
  return badKernel(`its LZ4 data is damaged: ${state}`);
}
