import {
  type Attachment,
  attachConsole,
  attachPort,
  createLogWriter,
  type Exit,
  exitStatus,
  MicroVm,
  type MicroVmOptions,
} from '../index.ts';
import { RUN_HELP } from './help.ts';
import { openPorts } from './port-arguments.ts';
import { progressBar } from './progress.ts';
import { parseRunArguments, type RunArguments } from './run-arguments.ts';
import { onSignals } from './signals.ts';

/** Bytes of each stream that `--json` keeps. */
const JSON_OUTPUT_MAX = 16 * 1024 * 1024;

const SIGPIPE = 13;

const STDERR = 2;
/** Errors only; KRUN_LOG=debug shows more. */
const QUIET = 1;

/** `krun run`: returns the exit status of the process. */
export async function run(args: readonly string[]): Promise<number> {
  const parsed = parseRunArguments(args, process.env);
  if (parsed.help) {
    process.stdout.write(RUN_HELP);
    return 0;
  }
  const started = performance.now();
  const signals = onSignals();
  const progress = progressBar(process.stderr);
  const ports = openPorts(parsed.ports);
  try {
    await using vm = await MicroVm.start({
      ...machineOptions(parsed),
      ...ports.options,
      signal: signals.aborted,
      onKernelProgress: progress.show,
      log: createLogWriter({ fd: STDERR, level: QUIET, style: 'auto', env: process.env }),
    });
    progress.done();
    signals.follow(vm);
    const joined = ports.attach(vm);
    const isOurs = ports.options.serials === undefined;
    const exit = parsed.json ? await collect(vm, started, isOurs) : await attach(vm, isOurs);
    for (const { detach } of joined) detach();
    await Promise.allSettled(joined.map(({ finished }) => finished));
    if (isOver(parsed, exit)) return 0;
    if (exit.reason !== 'exited' && signals.received === 0) explain(exit);
    return signals.received > 0 && exit.code === null ? 128 + signals.received : exitStatus(exit);
  } catch (error) {
    if (signals.received > 0) return 128 + signals.received;
    throw error;
  } finally {
    progress.done();
    signals.off();
    ports.close();
  }
}

function machineOptions({ options, json, noTty }: RunArguments): MicroVmOptions {
  const isTerminal = !json && !noTty && process.stdin.isTTY === true && process.stdout.isTTY === true;
  const kind = isTerminal ? 'terminal' : 'pipe';
  if (options.command?.length === 0) return bareMachine(options);
  return {
    ...options,
    ...(options.root === undefined && options.rootDisk === undefined && { root: '/', readOnly: true }),
    env: [...(isTerminal ? [`TERM=${process.env['TERM'] ?? 'xterm'}`] : []), ...((options.env as string[]) ?? [])],
    console: { input: kind, output: kind, error: kind, ...(options.console || {}) },
  };
}

/** Without a command: the first serial port is ours, or the virtio console where the kernel was told to use that one. */
function bareMachine(options: RunArguments['options']): MicroVmOptions {
  const isVirtio = /(^| )console=hvc0/.test(options.kernel?.cmdline ?? '');
  const kind = isVirtio ? 'terminal' : 'none';
  return {
    ...options,
    console: { input: kind, output: kind, error: 'none', ...(options.console || {}) },
    ...(!isVirtio && { serials: [{}] }),
  };
}

/** A machine without a command ends well when it resets or halts. */
function isOver({ options }: RunArguments, { reason }: Exit): boolean {
  return options.command?.length === 0 && (reason === 'reset' || reason === 'halted');
}

/** Joins the command, or the serial port, to our own streams until it ends. */
async function attach(vm: MicroVm, serialIsOurs: boolean): Promise<Exit> {
  const [console] = vm.consoles;
  const [serial] = serialIsOurs ? vm.serials : [];
  if (console === undefined) return vm.exited;
  const attachment: Attachment =
    serial === undefined ? attachConsole(console) : attachPort(serial, { input: 0, output: 1 });
  void attachment.finished.then((written) => {
    if (!written) void vm.stop();
  });
  const exit = await vm.exited;
  attachment.detach();
  const written = await attachment.finished;
  // As a process would that wrote into a closed pipe.
  return written || exit.reason === 'exited' ? exit : { ...exit, reason: 'exited', code: 128 + SIGPIPE };
}

/** Prints one object in place of the command's output. */
async function collect(vm: MicroVm, started: number, serialIsOurs: boolean): Promise<Exit> {
  vm.stdin.end();
  const [serial] = serialIsOurs ? vm.serials : [];
  const [stdout, stderr, exit] = await Promise.all([
    bounded(serial?.output ?? vm.stdout),
    bounded(vm.stderr),
    vm.exited,
  ]);
  const { reason, code, signal, consoleTail, error } = exit;
  const durationMs = Math.round(performance.now() - started);
  const failure = error && { code: error.code, message: error.message, stage: error.stage, hint: error.hint };
  const { engine, kernelVersion } = vm;
  const result = {
    reason,
    code,
    signal,
    stdout,
    stderr,
    consoleTail,
    durationMs,
    engine,
    kernelVersion,
    error: failure,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
  return exit;
}

async function bounded(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of chunks) if (text.length < JSON_OUTPUT_MAX) text += decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}

/** Says on standard error why there is no exit code of the command, with the guest's last words. */
function explain({ reason, consoleTail, error }: Exit): void {
  const lines = consoleTail.trimEnd().split('\n').slice(-20).filter(Boolean);
  if (lines.length > 0) process.stderr.write(`${lines.join('\n')}\n`);
  process.stderr.write(`krun: the microVM ended: ${error?.message ?? reason}\n`);
  if (error?.hint !== undefined) process.stderr.write(`krun: ${error.hint}\n`);
}
