import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSerial } from './serial-backend.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

function open(window: number) {
  const sent: string[] = [];
  let taken = 0;
  const serial = openSerial(
    { input: true, output: true },
    {
      window,
      output: (_stream, chunk) => sent.push(new TextDecoder().decode(chunk)),
      inputTaken: (_stream, count) => {
        taken += count;
      },
    },
  );
  return { serial, sent, taken: () => taken };
}

test('bytes of one turn travel together', async () => {
  const { serial, sent } = open(64);
  for (const byte of bytes('a line\n')) assert.equal(serial.backend.write(byte), true);
  await new Promise(setImmediate);
  assert.deepEqual(sent, ['a line\n']);
});

test('a reader that takes nothing stops the line, and the UART hears when it goes on; nothing is lost', () => {
  const { serial, sent } = open(10);
  let resumed = 0;
  serial.join({ receive: (chunk) => chunk.length, resume: () => void resumed++ });
  let accepted = 0;
  while (serial.backend.write(0x41 + (accepted % 26))) accepted++;
  assert.equal(accepted, 1034, 'the window and one batch');
  serial.consumed('stdout', 600);
  assert.equal(resumed, 1);
  serial.drain();
  assert.equal(sent.join('').length, accepted);
});

test('input goes to the UART as far as it takes it, and no more than a FIFO is acknowledged ahead', () => {
  const { serial, taken } = open(10);
  const received: number[] = [];
  let room = 5;
  const receive = (chunk: Uint8Array): number => {
    const count = Math.min(room, chunk.length);
    received.push(...chunk.subarray(0, count));
    room -= count;
    return count;
  };
  serial.input(
    'stdin',
    new Uint8Array(200).map((_, index) => index),
  );
  serial.join({ receive, resume() {} });
  assert.deepEqual([received.length, taken()], [5, 64]);
  room = 1000;
  serial.backend.onRoom?.();
  assert.deepEqual([received, taken()], [Array.from({ length: 200 }, (_, index) => index), 200]);
});
