import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceHarness, type Harness } from '../../testing/device-harness.ts';
import { readable, writable } from '../../testing/fake-driver.ts';
import { VIRTIO_F_VERSION_1 } from '../../virtio/protocol.ts';
import type { ConsolePort, PortInput, PortOutput, Terminal, TerminalSize } from './backend.ts';
import { consoleTurns, virtioConsole } from './index.ts';
import {
  CONTROL_RECEIVEQ,
  CONTROL_TRANSMITQ,
  type ControlMessage,
  decodeControl,
  encodeControl,
  VIRTIO_CONSOLE_CONSOLE_PORT,
  VIRTIO_CONSOLE_DEVICE_ADD,
  VIRTIO_CONSOLE_DEVICE_READY,
  VIRTIO_CONSOLE_PORT_NAME,
  VIRTIO_CONSOLE_PORT_OPEN,
  VIRTIO_CONSOLE_PORT_READY,
  VIRTIO_CONSOLE_RESIZE,
} from './protocol.ts';

const text = new TextDecoder();
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);

class TestInput implements PortInput {
  #data: Uint8Array = new Uint8Array(0);
  #ended = false;
  #callback: (() => void) | undefined;

  read(into: Uint8Array): number | undefined {
    if (this.#data.length === 0 && this.#ended) return undefined;
    const count = Math.min(into.length, this.#data.length);
    into.set(this.#data.subarray(0, count));
    this.#data = this.#data.subarray(count);
    return count;
  }

  onReadable(callback: (() => void) | undefined): void {
    this.#callback = callback;
  }

  push(content: string): void {
    this.#data = Uint8Array.of(...this.#data, ...bytes(content));
    this.#callback?.();
  }

  end(): void {
    this.#ended = true;
    this.#callback?.();
  }

  get watched(): boolean {
    return this.#callback !== undefined;
  }
}

class TestOutput implements PortOutput {
  content = '';
  /** Bytes it still takes. */
  room = Number.POSITIVE_INFINITY;
  #callback: (() => void) | undefined;

  write(data: Uint8Array): number {
    const count = Math.min(this.room, data.length);
    this.content += text.decode(data.slice(0, count));
    this.room -= count;
    return count;
  }

  onWritable(callback: (() => void) | undefined): void {
    this.#callback = callback;
  }

  drained(room: number): void {
    this.room = room;
    this.#callback?.();
  }
}

class TestTerminal implements Terminal {
  #size: TerminalSize = { cols: 80, rows: 25 };
  #callback: (() => void) | undefined;
  size(): TerminalSize {
    return this.#size;
  }
  onResize(callback: (() => void) | undefined): void {
    this.#callback = callback;
  }
  resize(size: TerminalSize): void {
    this.#size = size;
    this.#callback?.();
  }
}

/** A terminal port and the three redirections of a libkrun guest. */
function consoleWithFourPorts() {
  const terminal = new TestTerminal();
  const input = new TestInput();
  const output = new TestOutput();
  const stdin = new TestInput();
  const stdout = new TestOutput();
  const stderr = new TestOutput();
  const ports: ConsolePort[] = [
    { name: '', console: true, terminal, input, output },
    { name: 'krun-stdin', console: false, input: stdin },
    { name: 'krun-stdout', console: false, output: stdout },
    { name: 'krun-stderr', console: false, output: stderr },
  ];
  return { terminal, input, output, stdin, stdout, stderr, ports };
}

function sendControl(rig: Harness, message: ControlMessage): void {
  rig.driver.add(CONTROL_TRANSMITQ, [readable(encodeControl(message))]);
  rig.notify(CONTROL_TRANSMITQ);
  rig.used(CONTROL_TRANSMITQ);
}

function offerControl(rig: Harness, count: number): void {
  for (let added = 0; added < count; added++) rig.driver.add(CONTROL_RECEIVEQ, [writable(64)]);
  rig.notify(CONTROL_RECEIVEQ);
}

/** Messages the device sent since the last call, as [port, event, value, payload]. */
function receivedControl(rig: Harness): [number, number, number, string][] {
  return rig.used(CONTROL_RECEIVEQ).map(({ id, len }) => {
    const all = rig.driver.written(CONTROL_RECEIVEQ, id).subarray(0, len);
    const message = decodeControl(all);
    assert(message);
    return [message.id, message.event, message.value, text.decode(all.subarray(8))];
  });
}

function openPort(rig: Harness, id: number): void {
  sendControl(rig, { id, event: VIRTIO_CONSOLE_PORT_READY, value: 1 });
  sendControl(rig, { id, event: VIRTIO_CONSOLE_PORT_OPEN, value: 1 });
}

test('virtioConsole has two queues per port and two for control', () => {
  const rig = deviceHarness(virtioConsole, consoleWithFourPorts());
  rig.driver.write('QueueSel', 9);
  assert.equal(rig.driver.read('QueueNumMax'), 32);
  rig.driver.write('QueueSel', 10);
  assert.equal(rig.driver.read('QueueNumMax'), 0);
});

test('virtioConsole configuration is cols, rows, number of ports', () => {
  const rig = deviceHarness(virtioConsole, consoleWithFourPorts());
  assert.deepEqual([rig.driver.config(0, 2), rig.driver.config(2, 2), rig.driver.config(4, 4)], [80, 25, 4]);
});

test('virtioConsole announces every port when the driver is ready', () => {
  const rig = deviceHarness(virtioConsole, consoleWithFourPorts());
  offerControl(rig, 8);
  sendControl(rig, { id: 0xffff_ffff, event: VIRTIO_CONSOLE_DEVICE_READY, value: 1 });
  assert.deepEqual(receivedControl(rig), [
    [0, VIRTIO_CONSOLE_DEVICE_ADD, 1, ''],
    [1, VIRTIO_CONSOLE_DEVICE_ADD, 1, ''],
    [2, VIRTIO_CONSOLE_DEVICE_ADD, 1, ''],
    [3, VIRTIO_CONSOLE_DEVICE_ADD, 1, ''],
  ]);
});

test('a console port is declared, opened and sized, in this order', () => {
  const rig = deviceHarness(virtioConsole, consoleWithFourPorts());
  offerControl(rig, 8);
  sendControl(rig, { id: 0, event: VIRTIO_CONSOLE_PORT_READY, value: 1 });
  assert.deepEqual(receivedControl(rig), [
    [0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, ''],
    [0, VIRTIO_CONSOLE_PORT_OPEN, 1, ''],
    [0, VIRTIO_CONSOLE_RESIZE, 0, '\x50\x00\x19\x00'],
  ]);
});

test('a plain port is opened and named', () => {
  const rig = deviceHarness(virtioConsole, consoleWithFourPorts());
  offerControl(rig, 8);
  sendControl(rig, { id: 2, event: VIRTIO_CONSOLE_PORT_READY, value: 1 });
  assert.deepEqual(receivedControl(rig), [
    [2, VIRTIO_CONSOLE_PORT_OPEN, 1, ''],
    [2, VIRTIO_CONSOLE_PORT_NAME, 1, 'krun-stdout'],
  ]);
});

test('control messages wait for buffers and arrive as soon as there are some', () => {
  // Upstream delivers them only together with the next message.
  const rig = deviceHarness(virtioConsole, consoleWithFourPorts());
  sendControl(rig, { id: 2, event: VIRTIO_CONSOLE_PORT_READY, value: 1 });
  offerControl(rig, 2);
  assert.equal(receivedControl(rig).length, 2);
});

test('a driver that never takes control messages has to wait, and the device keeps a bounded number', () => {
  const rig = deviceHarness(virtioConsole, consoleWithFourPorts());
  let completed = 0;
  for (let sent = 0; sent < 32; sent++) {
    rig.driver.add(CONTROL_TRANSMITQ, [
      readable(encodeControl({ id: 0, event: VIRTIO_CONSOLE_DEVICE_READY, value: 1 })),
    ]);
    rig.notify(CONTROL_TRANSMITQ);
    completed += rig.used(CONTROL_TRANSMITQ).length;
  }
  assert.equal(completed, 12); // 12 × 4 ports reach the limit of 48
  offerControl(rig, 32);
  assert.equal(receivedControl(rig).length, 32);
  assert.equal(rig.used(CONTROL_TRANSMITQ).length, 8);
});

test('input is read only after the guest opened the port, and only as much as it has room for', () => {
  const host = consoleWithFourPorts();
  const rig = deviceHarness(virtioConsole, host);
  const head = rig.driver.add(4, [writable(4)]);
  rig.notify(4);
  host.stdin.push('abcdef');
  assert.deepEqual(rig.used(4), []);
  openPort(rig, 1);
  assert.deepEqual(rig.used(4), [{ id: head, len: 4 }]);
  assert.equal(text.decode(rig.driver.written(4, head)), 'abcd');
  const second = rig.driver.add(4, [writable(4)]);
  rig.notify(4);
  assert.deepEqual(rig.used(4), [{ id: second, len: 2 }]);
});

test('the end of input is told once, after the last bytes', () => {
  const host = consoleWithFourPorts();
  const rig = deviceHarness(virtioConsole, host);
  offerControl(rig, 8);
  openPort(rig, 1);
  receivedControl(rig);
  rig.driver.add(4, [writable(64)]);
  rig.driver.add(4, [writable(64)]);
  host.stdin.push('last');
  host.stdin.end();
  host.stdin.end();
  assert.deepEqual(rig.used(4), [{ id: 0, len: 4 }]);
  assert.deepEqual(receivedControl(rig), [[1, VIRTIO_CONSOLE_PORT_OPEN, 0, '']]);
});

test('output arrives in order and its chains are completed', () => {
  const host = consoleWithFourPorts();
  const rig = deviceHarness(virtioConsole, host);
  rig.driver.add(1, [readable(bytes('hello ')), readable(bytes('wor'))]);
  rig.driver.add(1, [readable(bytes('ld'))]);
  rig.notify(1);
  assert.equal(host.output.content, 'hello world');
  assert.deepEqual(rig.used(1), [
    { id: 0, len: 0 },
    { id: 2, len: 0 },
  ]);
});

test('output that is not taken stays in the queue until the sink drains', () => {
  const host = consoleWithFourPorts();
  host.stdout.room = 3;
  const rig = deviceHarness(virtioConsole, host);
  rig.driver.add(7, [readable(bytes('abcdef'))]);
  rig.notify(7);
  assert.deepEqual([host.stdout.content, rig.used(7)], ['abc', []]);
  host.stdout.drained(100);
  assert.deepEqual([host.stdout.content, rig.used(7)], ['abcdef', [{ id: 0, len: 0 }]]);
});

test('a stalled port does not hold up another one', () => {
  const host = consoleWithFourPorts();
  host.stdout.room = 0;
  const rig = deviceHarness(virtioConsole, host);
  rig.driver.add(7, [readable(bytes('stuck'))]);
  rig.notify(7);
  rig.driver.add(9, [readable(bytes('free'))]);
  rig.notify(9);
  assert.equal(host.stderr.content, 'free');
});

test('a port without output drops what the guest writes', () => {
  const rig = deviceHarness(virtioConsole, consoleWithFourPorts());
  rig.driver.add(5, [readable(bytes('nowhere'))]);
  rig.notify(5);
  assert.deepEqual(rig.used(5), [{ id: 0, len: 0 }]);
});

test('only the newest size waits for the driver', () => {
  const host = consoleWithFourPorts();
  const rig = deviceHarness(virtioConsole, host);
  offerControl(rig, 3);
  sendControl(rig, { id: 0, event: VIRTIO_CONSOLE_PORT_READY, value: 1 });
  receivedControl(rig);
  host.terminal.resize({ cols: 100, rows: 30 });
  host.terminal.resize({ cols: 0x5141, rows: 0x5342 });
  offerControl(rig, 3);
  assert.deepEqual(receivedControl(rig), [[0, VIRTIO_CONSOLE_RESIZE, 0, 'AQBS']]);
});

test('a second PORT_OPEN and a port that does not exist are harmless', () => {
  // Upstream aborts the process on both.
  const host = consoleWithFourPorts();
  const rig = deviceHarness(virtioConsole, host);
  openPort(rig, 1);
  openPort(rig, 1);
  openPort(rig, 4_000_000_000);
  rig.driver.add(4, [writable(8)]);
  host.stdin.push('x');
  assert.deepEqual(rig.used(4), [{ id: 0, len: 1 }]);
});

test('a driver without multiport gets port 0 and configuration changes', () => {
  const host = consoleWithFourPorts();
  const rig = deviceHarness(virtioConsole, host, { features: VIRTIO_F_VERSION_1 | 1n });
  rig.driver.add(0, [writable(8)]);
  host.input.push('hi');
  assert.deepEqual(rig.used(0), [{ id: 0, len: 2 }]);
  host.terminal.resize({ cols: 1, rows: 2 });
  assert.equal(rig.driver.read('InterruptStatus'), 3);
  assert.equal(rig.driver.read('ConfigGeneration'), 1);
});

test('a byte written to emerg_wr comes out of port 0', () => {
  const host = consoleWithFourPorts();
  const rig = deviceHarness(virtioConsole, host);
  rig.transport.write(0x108, 4, 0x21);
  assert.equal(host.output.content, '!');
});

test('after a reset the host side is let go', () => {
  const host = consoleWithFourPorts();
  const rig = deviceHarness(virtioConsole, host);
  assert.equal(host.stdin.watched, true);
  rig.transport.reset();
  assert.equal(host.stdin.watched, false);
});

test('a restored console goes on in the middle of a chain', () => {
  const host = consoleWithFourPorts();
  host.stdout.room = 3;
  const rig = deviceHarness(virtioConsole, host);
  openPort(rig, 1);
  rig.driver.add(7, [readable(bytes('abcdef'))]);
  rig.notify(7);
  const state = structuredClone(rig.transport.save());

  const host2 = consoleWithFourPorts();
  const rig2 = deviceHarness(virtioConsole, host2, { memory: rig.memory, start: false });
  rig2.transport.restore(state);
  rig2.driver.adopt(rig.driver);
  assert.equal(host2.stdout.content, 'def');
  rig2.driver.add(4, [writable(8)]);
  host2.stdin.push('in');
  assert.deepEqual([rig2.used(7), rig2.used(4)], [[{ id: 0, len: 0 }], [{ id: 0, len: 2 }]]);
});

test('a chain that claims gigabytes costs the host one mebibyte', () => {
  const host = consoleWithFourPorts();
  let taken = 0;
  const write = (data: Uint8Array): number => {
    taken += data.length;
    return data.length;
  };
  host.ports[0] = { name: '', console: true, output: { write, onWritable: () => {} } };
  const rig = deviceHarness(virtioConsole, host);
  rig.driver.addRaw(
    1,
    Array.from({ length: 32 }, (_, at) => ({ addr: 0, len: 1024 * 1024, flags: at < 31 ? 1 : 0, next: at + 1 })),
  );
  rig.notify(1);
  assert.equal(taken, 1024 * 1024);
});

test('a console is announced when the guest has taken over those before it, and a port device holds up nobody', () => {
  const port: ConsolePort = { name: '', console: true };
  const backends = [{ ports: [port] }, { ports: [{ name: 'p', console: false }] }, { ports: [port] }];
  const turns = consoleTurns(backends);
  const rigs = backends.map((backend, index) => deviceHarness(virtioConsole, { ...backend, turn: turns[index]! }));
  const announced = (): boolean[] => rigs.map((rig) => receivedControl(rig).length > 0);
  for (const rig of rigs.toReversed()) {
    offerControl(rig, 8);
    sendControl(rig, { id: 0xffff_ffff, event: VIRTIO_CONSOLE_DEVICE_READY, value: 1 });
  }
  assert.deepEqual(announced(), [true, false, false]);
  openPort(rigs[0]!, 0);
  assert.deepEqual(announced(), [true, true, true]);
});

test('a console that waits for its turn does so in its next life, too', () => {
  const port: ConsolePort = { name: '', console: true };
  const backends = [{ ports: [port] }, { ports: [port] }];
  const start = () => {
    const turns = consoleTurns(backends);
    return backends.map((backend, index) => ({ ...backend, turn: turns[index]! }));
  };
  const [, second] = start();
  const before = deviceHarness(virtioConsole, second!);
  offerControl(before, 8);
  sendControl(before, { id: 0xffff_ffff, event: VIRTIO_CONSOLE_DEVICE_READY, value: 1 });
  const [firstNow, secondNow] = start();
  const first = deviceHarness(virtioConsole, firstNow!);
  const after = deviceHarness(virtioConsole, secondNow!, { memory: before.memory, start: false });
  after.transport.restore(structuredClone(before.transport.save()));
  after.driver.adopt(before.driver);
  assert.deepEqual(receivedControl(after), []);
  openPort(first, 0);
  assert.equal(receivedControl(after)[0]?.[1], VIRTIO_CONSOLE_DEVICE_ADD);
});

test('the end of input closes a port that only has an input; one with an output can still be written', () => {
  const [both, single] = [new TestInput(), new TestInput()];
  const output = new TestOutput();
  const ports: ConsolePort[] = [
    { name: 'both', console: false, input: both, output },
    { name: 'single', console: false, input: single },
  ];
  const rig = deviceHarness(virtioConsole, { ports });
  offerControl(rig, 16);
  for (const id of [0, 1]) openPort(rig, id);
  receivedControl(rig);
  for (const queue of [0, 4]) rig.driver.add(queue, [writable(8)]);
  both.end();
  single.end();
  assert.deepEqual(receivedControl(rig), [[1, VIRTIO_CONSOLE_PORT_OPEN, 0, '']]);
  rig.driver.add(1, [readable(bytes('later'))]);
  rig.notify(1);
  assert.equal(output.content, 'later');
});
