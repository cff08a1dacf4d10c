import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdFrameLength } from './decompress.ts';

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

test('a zstd frame ends with its last block, or with the checksum behind it', () => {
  // Single segment, content size in 1 byte, one raw block of 3 bytes.
  const raw = [...MAGIC, 0x20, 3, 0x19, 0, 0, 1, 2, 3];
  assert.equal(zstdFrameLength(Uint8Array.of(...raw, 9, 9, 9)), raw.length);
  // Window descriptor, content size in 2 bytes, a checksum; a raw block of 1 byte, then one byte repeated 100 times.
  const two = [...MAGIC, 0x44, 0x58, 0, 0, 0x08, 0, 0, 7, 0x23, 3, 0, 5, 1, 2, 3, 4];
  assert.equal(zstdFrameLength(Uint8Array.of(...two, 0, 0)), two.length);
});

test('a frame that is cut off ends somewhere, whatever it says', () => {
  for (let length = 0; length < 20; length++) {
    assert.ok(zstdFrameLength(new Uint8Array(length).fill(0xff)) >= 5);
    assert.ok(zstdFrameLength(new Uint8Array(length)) >= 5);
  }
});
