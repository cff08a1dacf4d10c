import * as zlib from 'node:zlib';
import { Decompress } from 'fzstd';
import type { Decompressors } from '../../boot/kernel-file/kernel-file.ts';
import { zstdFrameLength } from '../disk/qcow2/decompress.ts';

/** zlib has it from Node 22.15 on; types of Node 20 do not know it. */
const unzstdNative = (
  zlib as { zstdDecompressSync?: (data: Uint8Array, options: { maxOutputLength: number }) => Uint8Array }
).zstdDecompressSync;

/** What Node and a small library decode for the reader of kernel files. */
export const decompressors: Decompressors = {
  gunzip,
  unzstd: (data, bytesMax) => {
    // What a frame claims would be allocated before a single byte is known to be right.
    if (zstdClaim(data) > bytesMax) throw new RangeError('the frame claims too much memory');
    const frame = data.subarray(0, zstdFrameLength(data));
    if (unzstdNative !== undefined) return unzstdNative(frame, { maxOutputLength: bytesMax });
    return unzstdInScript(frame, bytesMax);
  },
};

/**
 * One member; zlib's own reader takes what is behind it for another one.
 *
 * @spec RFC-1952 §2.3
 */
function gunzip(data: Uint8Array, bytesMax: number): Uint8Array {
  const body = data.subarray(gzipHeaderLength(data));
  const { buffer, engine } = zlib.inflateRawSync(body, { maxOutputLength: bytesMax, info: true }) as unknown as {
    buffer: Buffer;
    engine: { bytesWritten: number };
  };
  const trailer = Buffer.from(body.subarray(engine.bytesWritten, engine.bytesWritten + 8));
  if (trailer.length < 8) throw new RangeError('it is cut short');
  if (trailer.readUInt32LE(0) !== zlib.crc32(buffer)) throw new RangeError('the checksum differs');
  return buffer;
}

const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;

function gzipHeaderLength(data: Uint8Array): number {
  const flags = data[3] ?? 0;
  let at = 10;
  if (flags & FEXTRA) at += 2 + ((data[at] ?? 0) | ((data[at + 1] ?? 0) << 8));
  for (const text of [FNAME, FCOMMENT]) {
    if ((flags & text) === 0) continue;
    const end = data.indexOf(0, at);
    if (end < 0) throw new RangeError('it is cut short');
    at = end + 1;
  }
  return flags & FHCRC ? at + 2 : at;
}

function unzstdInScript(frame: Uint8Array, bytesMax: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  let length = 0;
  const stream = new Decompress((block) => {
    length += block.length;
    if (length > bytesMax) throw new RangeError(`it decompresses to more than ${bytesMax} bytes`);
    blocks.push(block.slice());
  });
  stream.push(frame, true);
  return Buffer.concat(blocks, length);
}

/** Bytes that a frame says it needs: its window, or all of its content. @spec RFC-8878 §3.1.1.1 */
function zstdClaim(data: Uint8Array): number {
  const descriptor = data[4] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  if (!isSingleSegment) {
    const base = 2 ** (10 + ((data[5] ?? 0) >> 3));
    return base + (base / 8) * ((data[5] ?? 0) & 7);
  }
  const at = 5 + ([0, 1, 2, 4][descriptor & 3] ?? 0);
  const sizeBytes = 1 << sizeFlag;
  let content = sizeBytes === 2 ? 256 : 0;
  for (let i = 0; i < sizeBytes; i++) content += (data[at + i] ?? 0) * 2 ** (8 * i);
  return content;
}
