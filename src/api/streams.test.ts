import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsoleTail } from './console-tail.ts';
import { KrunError } from './errors.ts';
import { InputStream } from './input-stream.ts';
import { OutputStream } from './output-stream.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

function output() {
  const consumed: number[] = [];
  return { stream: new OutputStream((count) => consumed.push(count)), consumed };
}

test('an output stream yields what came before and after the reader, then ends', async () => {
  const { stream, consumed } = output();
  stream.push(bytes('ab'));
  const text = stream.text();
  setImmediate(() => {
    stream.push(bytes('c'));
    stream.end();
  });
  assert.equal(await text, 'abc');
  assert.deepEqual(consumed, [2, 1]);
});

test('bytes count as consumed only when a reader takes them, so that the guest waits', () => {
  const { stream, consumed } = output();
  stream.push(bytes('abc'));
  assert.deepEqual(consumed, []);
  stream.discard();
  stream.push(bytes('de'));
  assert.deepEqual(consumed, [3, 2]);
});

test('leaving an iteration early lets the guest write on', async () => {
  const { stream, consumed } = output();
  stream.push(bytes('one'));
  stream.push(bytes('four'));
  for await (const chunk of stream) {
    assert.deepEqual(chunk, bytes('one'));
    break;
  }
  assert.deepEqual(consumed, [3, 4]);
});

test('a character cut by a chunk border is whole in text()', async () => {
  const { stream } = output();
  const euro = bytes('€');
  stream.push(euro.subarray(0, 1));
  stream.push(euro.subarray(1));
  stream.end();
  assert.equal(await stream.text(), '€');
});

test('the Web stream ends with the guest and cancelling it discards the rest', async () => {
  const { stream, consumed } = output();
  stream.push(bytes('x'));
  const reader = stream.readable.getReader();
  assert.deepEqual(await reader.read(), { done: false, value: bytes('x') });
  await reader.cancel();
  stream.push(bytes('yz'));
  assert.deepEqual(consumed, [1, 2]);
});

test('input in pieces of at most 64 KiB waits for the guest to take them', async () => {
  const sent: number[] = [];
  const stream = new InputStream({ send: (chunk) => sent.push(chunk.length), end: () => sent.push(-1) });
  const writing = stream.write(new Uint8Array(100_000));
  await Promise.resolve();
  assert.deepEqual(sent, [65536]);
  stream.taken(65536);
  await writing;
  assert.deepEqual(sent, [65536, 34464]);
  stream.end();
  stream.end();
  assert.deepEqual(sent, [65536, 34464, -1]);
});

test('input is copied: the caller may reuse its buffer', async () => {
  const sent: Uint8Array[] = [];
  const stream = new InputStream({ send: (chunk) => sent.push(chunk), end: () => {} });
  const buffer = bytes('abc');
  await stream.write(buffer);
  buffer.fill(0);
  assert.deepEqual(sent, [bytes('abc')]);
});

test('writing after the end is an error, and a waiting writer goes on when the guest is gone', async () => {
  const stream = new InputStream({ send: () => {}, end: () => {} });
  const writing = stream.write(new Uint8Array(70_000));
  stream.close();
  await writing;
  await assert.rejects(stream.write('x'), (error) => error instanceof KrunError && error.code === 'ERR_STDIN_CLOSED');
});

test('the console tail keeps the last bytes, whole lines only once it has overflowed', () => {
  const tail = new ConsoleTail(16);
  tail.push(bytes('first\n'));
  assert.equal(tail.toString(), 'first\n');
  tail.push(bytes('second\nthird\n'));
  assert.equal(tail.toString(), 'second\nthird\n');
  tail.push(bytes(`${'x'.repeat(40)}\nlast\n`));
  assert.equal(tail.toString(), 'last\n');
});
