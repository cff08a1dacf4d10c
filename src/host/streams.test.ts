import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { kindOfDescriptor } from './descriptors.ts';
import { borrowInput, borrowOutput, copyTo } from './streams.ts';

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield new TextEncoder().encode(text);
}

function brokenPipe(): Writable {
  return new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
  });
}

test('files are copied from descriptor to descriptor, and both stay open', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'krun-streams-'));
  try {
    writeFileSync(join(folder, 'in'), 'content');
    const [input, output] = [openSync(join(folder, 'in'), 'r'), openSync(join(folder, 'out'), 'w')];
    const [from, to] = [borrowInput(input), borrowOutput(output)];
    assert.equal(await copyTo(from.stream, to.stream), true);
    from.release();
    to.release();
    await new Promise(setImmediate);
    closeSync(input);
    closeSync(output);
    assert.equal(readFileSync(join(folder, 'out'), 'utf8'), 'content');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a chunk is written before the next one is asked for', async () => {
  const order: string[] = [];
  const slow = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      order.push(`write ${chunk}`);
      setImmediate(() => {
        order.push(`written ${chunk}`);
        done();
      });
    },
  });
  async function* source(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks('a', 'b')) {
      order.push(`give ${new TextDecoder().decode(chunk)}`);
      yield chunk;
    }
  }
  await copyTo(source(), slow);
  assert.deepEqual(order, ['give a', 'write a', 'written a', 'give b', 'write b', 'written b']);
});

test('a reader that went away ends the copy without an error, and its source is told', async () => {
  let finished = false;
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks('a', 'b', 'c');
    } finally {
      finished = true;
    }
  }
  assert.equal(await copyTo(source(), brokenPipe()), false);
  assert.equal(finished, true);
});

test('other write errors are thrown', async () => {
  const full = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('full'), { code: 'ENOSPC' })),
  });
  await assert.rejects(copyTo(chunks('a'), full), { code: 'ENOSPC' });
});

test('a descriptor is a terminal, a pipe or nothing', () => {
  assert.equal(kindOfDescriptor(-1), 'none');
  assert.equal(kindOfDescriptor(999_999), 'none');
  const fd = openSync('/dev/null', 'r');
  assert.equal(kindOfDescriptor(fd), 'pipe');
  closeSync(fd);
});
