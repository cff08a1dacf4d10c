import assert from 'node:assert/strict';
import { existsSync, readlinkSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { loadLibc } from '../native/libc.ts';
import { openWishPipe } from './wish-pipe.ts';

const skip = loadLibc() === null ? 'no koffi' : false;

test('what is written before and after somebody listens is a wish, and closing gives both ends back', {
  skip,
}, async () => {
  const pipe = openWishPipe();
  assert.ok(pipe);
  const link = readlinkSync(`/proc/self/fd/${pipe.descriptor}`);
  const eight = new Uint8Array(new BigUint64Array([1n]).buffer);
  let heard: () => void = () => {};
  const wish = (): Promise<void> =>
    new Promise((resolve) => {
      heard = resolve;
    });
  writeSync(pipe.descriptor, eight);
  const first = wish();
  const stop = pipe.onWish(() => heard());
  await first;
  const second = wish();
  writeSync(pipe.descriptor, eight);
  await second;
  stop();
  pipe.close();
  const now = `/proc/self/fd/${pipe.descriptor}`;
  assert.ok(!existsSync(now) || readlinkSync(now) !== link);
});
