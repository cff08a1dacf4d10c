import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DebugPort } from './debug-port.ts';

test('firmware sees that somebody listens, and each line it prints arrives without control characters', () => {
  const lines: string[] = [];
  const port = new DebugPort((line) => lines.push(line));
  assert.equal(port.read(0, 1), 0xe9);
  for (const byte of Buffer.from('SeaBIOS\r\n\n\x1b[1mBoot\u0000\n')) port.write(0, 1, byte);
  assert.deepEqual(lines, ['SeaBIOS', '[1mBoot']);
});

test('lines have a bounded length, and a guest that prints for ever falls silent', () => {
  let count = 0;
  let longest = 0;
  const port = new DebugPort((line) => {
    count += line.length;
    longest = Math.max(longest, line.length);
  });
  for (let i = 0; i < 200_000; i++) port.write(0, 1, 0x41);
  assert.deepEqual([count, longest], [65536, 400]);
});
