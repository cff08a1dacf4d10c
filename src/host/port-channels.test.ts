import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openConsole } from './console-backend.ts';
import { InputChannel, LogFile, OutputChannel } from './port-channels.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

test('an output takes no more than its window until the other side has taken some', () => {
  const sent: number[] = [];
  let writable = 0;
  const output = new OutputChannel(4, (chunk) => sent.push(chunk.length));
  output.onWritable(() => writable++);
  assert.equal(output.write(bytes('abcdef')), 4);
  assert.equal(output.write(bytes('ef')), 0);
  output.consumed(3);
  assert.equal(writable, 1);
  assert.equal(output.write(bytes('efgh')), 3);
  output.drain();
  assert.equal(output.write(bytes('everything that is left')), 23);
  assert.deepEqual(sent, [4, 3, 23]);
});

test('what an output sends is a copy, because guest memory changes', () => {
  const sent: Uint8Array[] = [];
  const guest = bytes('abc');
  new OutputChannel(8, (chunk) => sent.push(chunk)).write(guest);
  guest.fill(0);
  assert.deepEqual(sent, [bytes('abc')]);
});

test('an input fills what the guest has room for, in order, then says that it waits or is over', () => {
  let taken = 0;
  const input = new InputChannel((count) => {
    taken += count;
  });
  input.push(bytes('abcd'));
  input.push(bytes('e'));
  const room = new Uint8Array(3);
  assert.equal(input.read(room), 3);
  assert.deepEqual(room, bytes('abc'));
  assert.equal(input.read(room), 1);
  assert.equal(input.read(room), 1);
  assert.equal(input.read(room), 0);
  input.end();
  assert.equal(input.read(room), undefined);
  assert.equal(taken, 5);
});

test('Ctrl-C overtakes input that waits', () => {
  const input = new InputChannel(() => {});
  input.push(bytes('a'));
  input.interrupt();
  const room = new Uint8Array(8);
  assert.equal(input.read(room), 1);
  assert.equal(room[0], 3);
});

test('a log file gets what the output took, not what it refused', () => {
  const folder = mkdtempSync(join(tmpdir(), 'krun-log-'));
  const path = join(folder, 'log');
  try {
    const file = new LogFile(path);
    const output = file.tee(new OutputChannel(3, () => {}));
    output.write(bytes('abcdef'));
    output.write(bytes('def'));
    file.close();
    assert.equal(readFileSync(path, 'utf8'), 'abc');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a console of pipes has a log, an interrupt character and three ports', () => {
  const sent: [string, string][] = [];
  const console = openConsole(
    {
      ports: [
        { name: '', input: 'interrupt', output: 'log' },
        { name: 'krun-stdin', input: 'stdin', output: 'none' },
        { name: 'krun-stdout', input: 'none', output: 'stdout' },
      ],
    },
    {
      window: 64,
      output: (stream, chunk) => sent.push([stream, new TextDecoder().decode(chunk)]),
      inputTaken: () => {},
    },
  );
  const [log, stdin, stdout] = console.backend.ports;
  log?.output?.write(bytes('boot'));
  stdout?.output?.write(bytes('hello'));
  assert.deepEqual(sent, [
    ['log', 'boot'],
    ['stdout', 'hello'],
  ]);
  const room = new Uint8Array(4);
  console.input('stdin', bytes('in'));
  console.interrupt();
  assert.equal(stdin?.input?.read(room), 2);
  assert.equal(log?.input?.read(room), 1);
  assert.equal(room[0], 3);
  assert.deepEqual([log?.console, stdin?.console, log?.terminal], [true, false, undefined]);
});

test('a terminal reports its size and later ones', () => {
  const console = openConsole(
    { ports: [{ name: '', input: 'stdin', output: 'stdout' }], terminal: { columns: 80, rows: 24 } },
    { window: 64, output: () => {}, inputTaken: () => {} },
  );
  const terminal = console.backend.ports[0]?.terminal;
  let changes = 0;
  terminal?.onResize(() => changes++);
  assert.deepEqual(terminal?.size(), { cols: 80, rows: 24 });
  console.resize(0, 100, 40);
  assert.deepEqual([terminal?.size(), changes], [{ cols: 100, rows: 40 }, 1]);
});
