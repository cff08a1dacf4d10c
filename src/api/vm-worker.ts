// The entry of a VM's own thread: opens what the machine needs, runs it, and speaks with the handle on the user's thread.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import type { Log } from '../base/log.ts';
import type { MachineSpec } from '../config/spec.ts';
import type { ConsoleLink } from '../host/console-backend.ts';
import { UserStreams } from '../host/vsock/user-streams.ts';
import { type Composed, compose } from './compose.ts';
import { openEngine } from './engine.ts';
import { toKrunError } from './errors.ts';
import { type FromVm, OUTPUT_WINDOW, recordError, type ToVm } from './messages.ts';
import { endOf } from './vm-end.ts';

assert(parentPort !== null, 'vm-worker runs in a Worker');
const port: MessagePort = parentPort;
const spec = workerData as MachineSpec;
const stop = new AbortController();
let composed: Composed | undefined;
let streams: UserStreams | undefined;

port.on('message', receive);
await live();
// Nothing keeps the thread now: it ends by itself once the messages are delivered.
port.close();

async function live(): Promise<void> {
  try {
    const hypervisor = await openEngine({
      engine: spec.engine,
      vcpus: spec.vm.vcpus,
      ...spec.kvm,
      precise: spec.precise === true,
    });
    composed = await compose(spec, {
      hypervisor,
      wire,
      signal: stop.signal,
      onFetch: (progress) => post({ type: 'progress', progress }),
      log,
    });
    streams = new UserStreams(composed.vsockPorts, (message, transfer) => post({ type: 'vsock', message }, transfer));
    stop.signal.throwIfAborted();
    post({ type: 'started', engine: hypervisor.kind, kernelVersion: composed.kernelRelease });
    log('debug', `kernel command line: ${composed.machine.commandLine}`);
    const end = await composed.machine.run();
    for (const line of composed.machine.phases.lines()) log('debug', line);
    log('debug', `machine ended: ${JSON.stringify(end)}`);
    for (const console of composed.consoles) console.drain();
    // Before anybody hears of the end, and perhaps ends the process: disks have something to write still.
    composed.close();
    post({ type: 'ended', result: endOf(end) });
  } catch (error) {
    if (stop.signal.aborted) post({ type: 'ended', result: { reason: 'stopped', code: null, signal: null } });
    else post({ type: 'failed', error: recordError(toKrunError(error, 'run')) });
  } finally {
    composed?.close();
  }
}

function receive(message: ToVm): void {
  if (message.type === 'stop') {
    stop.abort();
    composed?.machine.stop();
    return;
  }
  if (message.type === 'shutdown') {
    if (!composed?.consoles.some((console) => console.askForEnd())) log('info', 'the guest cannot be asked to end');
    return;
  }
  if (message.type === 'vsock') return streams?.receive(message.message);
  const console = composed?.consoles[message.console];
  switch (message.type) {
    case 'consumed':
      return console?.consumed(message.stream, message.bytes);
    case 'input':
      return console?.input(message.stream, message.chunk);
    case 'input-end':
      return console?.inputEnd(message.stream);
    case 'interrupt':
      return console?.interrupt();
    case 'resize':
      return console?.resize(message.port, message.columns, message.rows);
  }
}

function wire(console: number): ConsoleLink {
  return {
    window: OUTPUT_WINDOW,
    output: (stream, chunk) => post({ type: 'output', console, stream, chunk }, [chunk.buffer as ArrayBuffer]),
    inputTaken: (stream, bytes) => post({ type: 'input-taken', console, stream, bytes }),
  };
}

function log(...[level, message]: Parameters<Log>): void {
  post({ type: 'log', level, message });
}

function post(message: FromVm, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
