import type { Log } from '../base/log.ts';
import { checkInteger } from '../config/checks.ts';
import type { MachineOptions } from '../config/options.ts';
import { resolveConfig } from '../config/resolve.ts';
import { ConsoleTail } from './console-tail.ts';
import { KrunError } from './errors.ts';
import { ConsoleHandle } from './console-handle.ts';
import type { InputStream } from './input-stream.ts';
import {
  type FromVm,
  type KernelProgress,
  reviveError,
  type StartedInfo,
  type ToVm,
  type VmResult,
} from './messages.ts';
import type { OutputStream } from './output-stream.ts';
import { PortHandle } from './port-handle.ts';
import type { Exit, ExitReason } from './vm-exit.ts';
import { type StartThread, startWorker, type VmThread } from './vm-thread.ts';
import { VsockHandle, type VsockListener } from './vsock-handle.ts';
import type { VsockStream } from './vsock-stream.ts';

/** How long a VM's thread may take to end by itself before it is ended. */
const GRACE_MS = 2000;

/** How long a guest may take that was asked to end. */
const SHUTDOWN_MS = 10_000;

/** What of `MicroVmOptions` is the handle's own. */
const HANDLE_OPTIONS: readonly (keyof MicroVmOptions)[] = ['signal', 'timeoutMs', 'onKernelProgress', 'log'];

/** A longer wait makes a timer fire at once. */
const TIMER_MS_MAX = 0x7fff_ffff;

/** Everything `MicroVm.start` takes: the machine, and what concerns the handle. */
export interface MicroVmOptions extends MachineOptions {
  /** Stops the VM; a start under way rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Stops the VM so many milliseconds after it began to run. */
  readonly timeoutMs?: number;
  /** Called while a guest kernel is fetched. */
  readonly onKernelProgress?: (progress: KernelProgress) => void;
  /** Receives what the VM's thread has to say; default: nothing is written anywhere. */
  readonly log?: Log;
}

/**
 * A running microVM. It lives in a thread of its own; this is the handle.
 *
 * `await using` (or `dispose`) stops it and frees everything, however it ended.
 */
export class MicroVm implements AsyncDisposable {
  /** The consoles in order of their devices; the first one carries the command's streams. */
  readonly consoles: readonly ConsoleHandle[];
  /** All ports of consoles that have a name, by that name; of equal names the first. */
  readonly ports: ReadonlyMap<string, PortHandle>;
  /** The serial ports: ttyS0 and on. */
  readonly serials: readonly PortHandle[];
  /** How the VM ended; never rejects. Output may still be waiting in the streams. */
  readonly exited: Promise<Exit>;
  readonly #first: ConsoleHandle;
  readonly #tail = new ConsoleTail();
  readonly #options: MicroVmOptions;
  readonly #thread: VmThread;
  readonly #vsock: VsockHandle;
  readonly #gone: Promise<void>;
  #info: StartedInfo | undefined;
  #ending: ExitReason | undefined;
  #settled = false;
  #settleStart!: { resolve: () => void; reject: (error: unknown) => void };
  #settleExit!: (exit: Exit) => void;
  #settleGone!: () => void;
  #timer: NodeJS.Timeout | undefined;
  #killer: NodeJS.Timeout | undefined;

  /**
   * Boots a microVM and runs a command in it; resolves when the guest's CPU runs.
   *
   * @throws {KrunError} with `code`, `stage` and `hint`; or the signal's reason when it was aborted before
   */
  static async start(options: MicroVmOptions): Promise<MicroVm> {
    return startMicroVm(options, startWorker);
  }

  /** Use `MicroVm.start`. @internal */
  constructor(
    options: MicroVmOptions,
    startThread: StartThread,
    started: { resolve: () => void; reject: (error: unknown) => void },
  ) {
    const spec = resolveConfig(options, HANDLE_OPTIONS);
    if (options.timeoutMs !== undefined) checkInteger('timeoutMs', options.timeoutMs, 1, TIMER_MS_MAX);
    this.#options = options;
    this.#settleStart = started;
    this.exited = new Promise((resolve) => {
      this.#settleExit = resolve;
    });
    this.#gone = new Promise((resolve) => {
      this.#settleGone = resolve;
    });
    const post = (message: ToVm): void => this.#post(message);
    this.consoles = spec.consoles.map((console, index) => new ConsoleHandle(index, console, post));
    this.serials = spec.serials.map((_, index) => serialPort(index, spec.consoles.length + index, post));
    this.ports = namedPorts(this.consoles);
    this.#first = this.consoles[0] ?? endedConsole();
    this.#vsock = new VsockHandle((message) => post({ type: 'vsock', message }));
    this.#thread = startThread(spec, {
      onMessage: (message) => this.#receive(message),
      onGone: (error) => this.#threadGone(error),
    });
    options.signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** Standard input of the command. */
  get stdin(): InputStream {
    return this.#first.stdin;
  }

  /** Standard output of the command; everything, when the console is a terminal. */
  get stdout(): OutputStream {
    return this.#first.stdout;
  }

  /** Standard error of the command. */
  get stderr(): OutputStream {
    return this.#first.stderr;
  }

  /** Where the guest runs: `soft` or `kvm`. */
  get engine(): StartedInfo['engine'] | undefined {
    return this.#info?.engine;
  }

  /** The guest kernel's own version text. */
  get kernelVersion(): string | undefined {
    return this.#info?.kernelVersion;
  }

  /** The last lines on the guest's console, at most 64 KiB. */
  consoleTail(): string {
    return this.#tail.toString();
  }

  /**
   * Connects to a vsock port on which a program in the guest listens.
   *
   * @throws {KrunError} ERR_VSOCK_REFUSED when nobody listens there, or the VM has no vsock device
   */
  async connect(port: number): Promise<VsockStream> {
    return this.#vsock.connect(port);
  }

  /**
   * Takes connections that programs in the guest make to a vsock port of the host (CID 2).
   *
   * @throws {KrunError} ERR_VSOCK_PORT_TAKEN, here or when the listener is iterated
   */
  listen(port: number): VsockListener {
    return this.#vsock.listen(port);
  }

  /**
   * Asks the command to end, by SIGTERM, and ends the VM when it has not after `timeoutMs`; resolves to how it ended.
   * A machine without a console, or whose init is not krun's, cannot be asked and waits for the time limit in vain.
   *
   * @param timeoutMs default 10 seconds; Infinity: the command decides
   */
  async shutdown({ timeoutMs = SHUTDOWN_MS }: { readonly timeoutMs?: number } = {}): Promise<Exit> {
    const endless = timeoutMs === Number.POSITIVE_INFINITY;
    if (!endless) checkInteger('timeoutMs', timeoutMs, 0, TIMER_MS_MAX);
    this.#post({ type: 'shutdown' });
    const limit = endless ? undefined : setTimeout(() => this.#stop('stopped'), timeoutMs);
    await this.#gone;
    clearTimeout(limit);
    return this.exited;
  }

  /** Ends the VM now, as pulling the plug would; resolves to how it ended. */
  async stop(): Promise<Exit> {
    this.#stop('stopped');
    await this.#gone;
    return this.exited;
  }

  /** Stops the VM if it runs and frees all it held; safe to call again. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    for (const console of this.consoles) console.discard();
    for (const { output } of this.serials) output.discard();
  }

  #post(message: Parameters<VmThread['post']>[0]): void {
    if (!this.#settled) this.#thread.post(message);
  }

  readonly #abort = (): void => this.#stop('aborted');

  #stop(reason: ExitReason): void {
    if (this.#settled || this.#ending !== undefined) return;
    this.#ending = reason;
    this.#post({ type: 'stop' });
    // A thread that hangs cannot hear us; its descriptors and memory go with it.
    this.#killer = setTimeout(() => void this.#thread.terminate(), GRACE_MS);
  }

  #receive(message: FromVm): void {
    switch (message.type) {
      case 'progress':
        return this.#options.onKernelProgress?.(message.progress);
      case 'started':
        return this.#started(message);
      case 'output':
        return this.#output(message);
      case 'input-taken':
        return this.#inputTaken(message);
      case 'vsock':
        return this.#vsock.receive(message.message);
      case 'log':
        return this.#options.log?.(message.level, message.message);
      case 'ended':
        return this.#end(message.result);
      case 'failed':
        return this.#fail(reviveError(message.error));
    }
  }

  #started(info: StartedInfo): void {
    this.#info = info;
    const { timeoutMs } = this.#options;
    if (timeoutMs !== undefined) this.#timer = setTimeout(() => this.#stop('timeout'), timeoutMs);
    this.#settleStart.resolve();
  }

  #output({ console, stream, chunk }: Extract<FromVm, { type: 'output' }>): void {
    const handle = this.consoles[console];
    if (stream === 'log' || handle?.isTerminal) this.#tail.push(chunk);
    if (stream === 'log') this.#post({ type: 'consumed', console, stream, bytes: chunk.length });
    else if (handle !== undefined) handle.push(stream, chunk);
    else this.#serial(console)?.output.push(chunk);
  }

  #inputTaken({ console, stream, bytes }: Extract<FromVm, { type: 'input-taken' }>): void {
    const handle = this.consoles[console];
    if (handle !== undefined) handle.taken(stream, bytes);
    else this.#serial(console)?.input.taken(bytes);
  }

  #serial(console: number): PortHandle | undefined {
    return this.serials[console - this.consoles.length];
  }

  #threadGone(error: Error | undefined): void {
    clearTimeout(this.#killer);
    if (!this.#settled) {
      if (this.#ending !== undefined) this.#end({ reason: this.#ending, code: null, signal: null });
      else
        this.#fail(
          new KrunError('ERR_VM_THREAD', "Cannot go on: the VM's thread ended", { stage: 'run', cause: error }),
        );
    }
    this.#settleGone();
  }

  #fail(error: KrunError): void {
    this.#end({ reason: 'failed', code: null, signal: null }, error);
  }

  #end(result: VmResult, error?: KrunError): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this.#abort);
    for (const console of this.consoles) console.end();
    for (const serial of this.serials) serial.end();
    this.#vsock.end();
    const failure = error ?? (result.reason === 'failed' ? machineFailure(result) : undefined);
    // What we asked for wins over how the machine then ended, except when the command was quicker.
    const reason = this.#ending !== undefined && result.reason !== 'exited' ? this.#ending : result.reason;
    this.#settleExit({
      reason,
      code: result.code,
      signal: result.signal,
      consoleTail: this.#tail.toString(),
      ...(failure !== undefined && { error: failure }),
    });
    this.#settleStart.reject(this.#startError(failure));
    this.#killer ??= setTimeout(() => void this.#thread.terminate(), GRACE_MS);
  }

  /** Only seen when the VM ended before it had started. */
  #startError(failure: KrunError | undefined): unknown {
    if (this.#ending === 'aborted') return this.#options.signal?.reason;
    return failure ?? new KrunError('ERR_VM_ENDED', 'Cannot start the VM: it ended before it ran', { stage: 'run' });
  }
}

function namedPorts(consoles: readonly ConsoleHandle[]): Map<string, PortHandle> {
  const named = new Map<string, PortHandle>();
  for (const port of consoles.flatMap(({ ports }) => ports)) {
    if (port.name !== '' && !named.has(port.name)) named.set(port.name, port);
  }
  return named;
}

function serialPort(index: number, console: number, post: (message: ToVm) => void): PortHandle {
  return new PortHandle(`ttyS${index}`, true, { console, port: 0, input: 'stdin', output: 'stdout' }, post);
}

/** Stands in where a machine has no console. */
function endedConsole(): ConsoleHandle {
  const handle = new ConsoleHandle(0, { ports: [] }, () => {});
  handle.end();
  return handle;
}

function machineFailure({ detail }: VmResult): KrunError {
  return new KrunError('ERR_VM_FAILED', `Cannot go on running the guest: ${detail ?? 'no reason known'}`, {
    stage: 'run',
  });
}

/** `MicroVm.start` with the thread as an argument. @internal */
export async function startMicroVm(options: MicroVmOptions, startThread: StartThread): Promise<MicroVm> {
  options.signal?.throwIfAborted();
  let vm: MicroVm | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      vm = new MicroVm(options, startThread, { resolve, reject });
    });
  } catch (error) {
    await vm?.[Symbol.asyncDispose]();
    throw error;
  }
  return vm as unknown as MicroVm;
}
