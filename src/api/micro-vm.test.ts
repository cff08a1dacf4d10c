import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { MachineSpec } from '../config/spec.ts';
import { KrunError } from './errors.ts';
import type { FromVm, ToVm, VmResult } from './messages.ts';
import { type MicroVmOptions, startMicroVm } from './micro-vm.ts';
import type { StartThread, VmThreadEvents } from './vm-thread.ts';

/** A VM's thread that does only what the test tells it. */
class FakeThread {
  readonly posted: ToVm[] = [];
  spec!: MachineSpec;
  events!: VmThreadEvents;
  terminated = 0;
  /** What it does when it is told to stop: end properly, or nothing. */
  onStop: () => void = () => this.end({ reason: 'stopped', code: null, signal: null });

  readonly start: StartThread = (spec, events) => {
    this.spec = spec;
    this.events = events;
    return {
      post: (message) => {
        this.posted.push(message);
        if (message.type === 'stop') this.onStop();
      },
      terminate: async () => {
        this.terminated++;
        events.onGone(undefined);
      },
    };
  };

  send(message: FromVm): void {
    this.events.onMessage(message);
  }

  started(): void {
    this.send({ type: 'started', engine: 'soft', kernelVersion: '6.12.0' });
  }

  end(result: VmResult): void {
    this.send({ type: 'ended', result });
    this.events.onGone(undefined);
  }
}

const OPTIONS: MicroVmOptions = { root: '/', readOnly: true, command: ['/bin/true'] };
const EXITED: VmResult = { reason: 'exited', code: 7, signal: null };
const bytes = (text: string) => new TextEncoder().encode(text);

async function startFake(options: Partial<MicroVmOptions> = {}) {
  const thread = new FakeThread();
  const starting = startMicroVm({ ...OPTIONS, ...options }, thread.start);
  await Promise.resolve();
  thread.started();
  return { thread, vm: await starting };
}

test('a start resolves when the guest runs and says where', async () => {
  const { thread, vm } = await startFake();
  assert.equal(vm.engine, 'soft');
  assert.equal(vm.kernelVersion, '6.12.0');
  assert.deepEqual(thread.spec.workload.command, ['/bin/true']);
  thread.end(EXITED);
});

test('output arrives in its stream, is acknowledged when read, and ends with the guest', async () => {
  const { thread, vm } = await startFake();
  thread.send({ type: 'output', console: 0, stream: 'stdout', chunk: bytes('out') });
  thread.send({ type: 'output', console: 0, stream: 'stderr', chunk: bytes('err') });
  const [stdout, stderr] = [vm.stdout.text(), vm.stderr.text()];
  await new Promise(setImmediate);
  assert.deepEqual(thread.posted, [
    { type: 'consumed', console: 0, stream: 'stdout', bytes: 3 },
    { type: 'consumed', console: 0, stream: 'stderr', bytes: 3 },
  ]);
  thread.end(EXITED);
  assert.deepEqual([await stdout, await stderr], ['out', 'err']);
  assert.deepEqual(await vm.exited, { reason: 'exited', code: 7, signal: null, consoleTail: '' });
});

test('the console log is kept for the exit and acknowledged at once', async () => {
  const { thread, vm } = await startFake();
  thread.send({ type: 'output', console: 0, stream: 'log', chunk: bytes('Kernel panic\n') });
  assert.deepEqual(thread.posted, [{ type: 'consumed', console: 0, stream: 'log', bytes: 13 }]);
  thread.end({ reason: 'panic', code: null, signal: null });
  const exit = await vm.exited;
  assert.deepEqual([exit.reason, exit.consoleTail], ['panic', 'Kernel panic\n']);
});

test('input reaches the thread in order and its end, too', async () => {
  const { thread, vm } = await startFake();
  await vm.stdin.write('ab');
  vm.stdin.end();
  assert.deepEqual(thread.posted, [
    { type: 'input', console: 0, stream: 'stdin', chunk: bytes('ab') },
    { type: 'input-end', console: 0, stream: 'stdin' },
  ]);
  thread.end(EXITED);
});

test('stop ends the VM with reason stopped, and a second stop changes nothing', async () => {
  const { thread, vm } = await startFake();
  const [first, second] = await Promise.all([vm.stop(), vm.stop()]);
  assert.equal(first.reason, 'stopped');
  assert.equal(second, first);
  assert.equal(thread.posted.filter(({ type }) => type === 'stop').length, 1);
});

test('leaving the block disposes, and disposal after the end is harmless', async () => {
  const thread = new FakeThread();
  {
    const starting = startMicroVm(OPTIONS, thread.start);
    await Promise.resolve();
    thread.started();
    await using vm = await starting;
    assert.equal(vm.engine, 'soft');
  }
  assert.equal(thread.posted.at(-1)?.type, 'stop');
});

test('a thread that does not react is ended after a grace period', async () => {
  const { thread, vm } = await startFake();
  thread.onStop = () => {};
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const stopping = vm.stop();
    mock.timers.tick(10_000);
    assert.equal((await stopping).reason, 'stopped');
  } finally {
    mock.timers.reset();
  }
  assert.equal(thread.terminated, 1);
});

test('an aborted signal stops a running VM with reason aborted', async () => {
  const controller = new AbortController();
  const { vm } = await startFake({ signal: controller.signal });
  controller.abort();
  assert.equal((await vm.exited).reason, 'aborted');
});

test('a start under way rejects with the reason of the signal, and nothing is left running', async () => {
  const controller = new AbortController();
  const thread = new FakeThread();
  const starting = startMicroVm({ ...OPTIONS, signal: controller.signal }, thread.start);
  const reason = new Error('changed my mind');
  controller.abort(reason);
  await assert.rejects(starting, reason);
  assert.equal(thread.posted.at(-1)?.type, 'stop');
});

test('a signal that is aborted already starts no thread', async () => {
  const thread = new FakeThread();
  await assert.rejects(startMicroVm({ ...OPTIONS, signal: AbortSignal.abort() }, thread.start), { name: 'AbortError' });
  assert.equal(thread.events, undefined);
});

test('timeoutMs counts from the first instruction and ends with reason timeout', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { vm } = await startFake({ timeoutMs: 5000 });
    mock.timers.tick(5000);
    assert.equal((await vm.exited).reason, 'timeout');
  } finally {
    mock.timers.reset();
  }
});

test('a command that ended just before it was stopped keeps its exit code', async () => {
  const { thread, vm } = await startFake();
  thread.onStop = () => thread.end(EXITED);
  assert.deepEqual(await vm.stop(), { reason: 'exited', code: 7, signal: null, consoleTail: '' });
});

test('what the thread could not open rejects the start as a typed error', async () => {
  const thread = new FakeThread();
  const starting = startMicroVm(OPTIONS, thread.start);
  await Promise.resolve();
  const error = {
    code: 'ERR_SHARE',
    message: 'Cannot share /x: ENOENT',
    stage: 'resources',
    hint: 'h',
    stack: 's',
  } as const;
  thread.send({ type: 'failed', error });
  thread.events.onGone(undefined);
  await assert.rejects(
    starting,
    (thrown) =>
      thrown instanceof KrunError && thrown.code === 'ERR_SHARE' && thrown.stage === 'resources' && thrown.hint === 'h',
  );
});

test('a thread that dies is a typed failure, with its error as the cause', async () => {
  const { thread, vm } = await startFake();
  const cause = new Error('out of memory');
  thread.events.onGone(cause);
  const { reason, error } = await vm.exited;
  assert.equal(reason, 'failed');
  assert.equal(error?.code, 'ERR_VM_THREAD');
  assert.equal(error?.cause, cause);
});

test('an engine that cannot go on is a typed failure with its detail', async () => {
  const { thread, vm } = await startFake();
  thread.end({ reason: 'failed', code: null, signal: null, detail: 'bad state' });
  const { error } = await vm.exited;
  assert.equal(error?.code, 'ERR_VM_FAILED');
  assert.match(error?.message ?? '', /bad state/);
});

test('a bad option rejects before any thread starts', async () => {
  const thread = new FakeThread();
  await assert.rejects(startMicroVm({ ...OPTIONS, memoryMiB: 1.5 }, thread.start), { code: 'ERR_INVALID_OPTION' });
  await assert.rejects(startMicroVm({ ...OPTIONS, memory: 1 } as unknown as MicroVmOptions, thread.start), {
    message: 'Cannot use the options: unknown option "memory"',
  });
  await assert.rejects(startMicroVm({ ...OPTIONS, timeoutMs: -1 }, thread.start), { code: 'ERR_INVALID_OPTION' });
  assert.equal(thread.events, undefined);
});

test('progress and log messages go to the callbacks', async () => {
  const heard: unknown[] = [];
  const thread = new FakeThread();
  const starting = startMicroVm(
    { ...OPTIONS, onKernelProgress: (progress) => heard.push(progress), log: (...line) => heard.push(line) },
    thread.start,
  );
  await Promise.resolve();
  thread.send({ type: 'progress', progress: { receivedBytes: 1, totalBytes: 2 } });
  thread.send({ type: 'log', level: 'warn', message: 'm' });
  thread.started();
  await using vm = await starting;
  assert.deepEqual(heard, [{ receivedBytes: 1, totalBytes: 2 }, ['warn', 'm']]);
  assert.ok(vm);
});

test('ports and serial ports are pairs of streams of their own, numbered behind the consoles', async () => {
  const { thread, vm } = await startFake({ ports: ['a', 'b'], serials: [{}] });
  const [b, serial] = [vm.ports.get('b'), vm.serials[0]];
  assert.ok(b && serial);
  await b.input.write('x');
  serial.input.end();
  b.resize({ columns: 9, rows: 8 });
  assert.deepEqual(thread.posted, [
    { type: 'input', console: 1, stream: 'port1', chunk: bytes('x') },
    { type: 'input-end', console: 2, stream: 'stdin' },
    { type: 'resize', console: 1, port: 1, columns: 9, rows: 8 },
  ]);
  thread.send({ type: 'output', console: 1, stream: 'port1', chunk: bytes('from b') });
  thread.send({ type: 'output', console: 2, stream: 'stdout', chunk: bytes('from ttyS0') });
  thread.end(EXITED);
  assert.deepEqual([await b.output.text(), await serial.output.text()], ['from b', 'from ttyS0']);
  assert.deepEqual([...vm.ports.keys()], ['a', 'b']);
});

test('shutdown asks first, and stops the VM when the time is over', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { thread, vm } = await startFake();
    const ended = vm.shutdown({ timeoutMs: 500 });
    assert.deepEqual(thread.posted, [{ type: 'shutdown' }]);
    mock.timers.tick(500);
    assert.equal(thread.posted.at(-1)?.type, 'stop');
    assert.equal((await ended).reason, 'stopped');
  } finally {
    mock.timers.reset();
  }
});
