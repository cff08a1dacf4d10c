import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../testing/random.ts';
import { FrameReader } from './frame-reader.ts';

const LIMITS = { min: 14, max: 2000 };

function framed(frame: Uint8Array): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(frame.length);
  return Buffer.concat([prefix, frame]);
}

/** All frames of the chunks, as copies; a reader is only given more when it has nothing. */
function readAll(reader: FrameReader, chunks: readonly Uint8Array[]): Buffer[] {
  const frames: Buffer[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let frame = reader.peek(); frame !== undefined; frame = reader.peek()) {
      frames.push(Buffer.from(frame));
      reader.drop();
    }
  }
  return frames;
}

test('frames come out whole and in order, however the stream is cut', () => {
  const random = new Random(7);
  const frames = Array.from({ length: 400 }, () => Buffer.from(random.bytes(random.pick([14, 60, 1500, 2000]))));
  const stream = Buffer.concat(frames.map(framed));
  for (const longest of [1, 2, 5, 100, 3000, stream.length]) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < stream.length; ) {
      const end = at + 1 + random.below(longest);
      chunks.push(stream.subarray(at, end));
      at = end;
    }
    assert.deepEqual(readAll(new FrameReader(LIMITS), chunks), frames);
  }
});

test('frames that are too short are passed over', () => {
  const good = Buffer.alloc(20, 7);
  const chunk = Buffer.concat([framed(Buffer.alloc(0)), framed(Buffer.alloc(13)), framed(good)]);
  assert.deepEqual(readAll(new FrameReader(LIMITS), [chunk]), [good]);
});

test('an announced frame that is too long breaks the stream, also when its length comes in pieces', () => {
  for (const chunks of [
    [Buffer.from([0, 0, 0x07, 0xd1, 1, 2, 3])],
    [Buffer.from([0xff]), Buffer.from([0xff, 0xff]), Buffer.from([0xff, 9])],
  ]) {
    const reader = new FrameReader(LIMITS);
    assert.deepEqual(readAll(reader, chunks), []);
    assert.equal(reader.isBroken, true);
    assert.deepEqual(readAll(reader, [framed(Buffer.alloc(20))]), []);
  }
});
