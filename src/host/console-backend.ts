import type { ConsoleSpec, PortSpec } from '../config/spec.ts';
import type { ConsoleBackend, ConsolePort } from '../devices/virtio-console/backend.ts';
import { InputChannel, LogFile, OutputChannel, RemoteTerminal } from './port-channels.ts';

export type OutputStreamName = 'stdout' | 'stderr' | 'log';

/** How a console's bytes reach the user's thread. */
export interface ConsoleLink {
  readonly window: number;
  output(stream: OutputStreamName, chunk: Uint8Array): void;
  inputTaken(bytes: number): void;
}

/** An open console: what the device gets, and what the user's thread may do to it. */
export interface OpenConsole {
  readonly backend: ConsoleBackend;
  input(chunk: Uint8Array): void;
  inputEnd(): void;
  interrupt(): void;
  resize(columns: number, rows: number): void;
  consumed(stream: OutputStreamName, bytes: number): void;
  /** Lets everything out that the guest has written. */
  drain(): void;
  close(): void;
}

/** Makes the ports of one console and opens its log file. */
export function openConsole({ ports, terminal, logFile }: ConsoleSpec, link: ConsoleLink): OpenConsole {
  const file = logFile === undefined ? undefined : new LogFile(logFile);
  const remote = terminal && new RemoteTerminal({ cols: terminal.columns, rows: terminal.rows });
  const inputs = new Map<'stdin' | 'interrupt', InputChannel>();
  const outputs = new Map<OutputStreamName, OutputChannel>();

  const open = ({ name, input, output }: PortSpec, index: number): ConsolePort => {
    const isConsole = index === 0;
    const inputChannel = input === 'none' ? undefined : new InputChannel((bytes) => taken(input, bytes));
    if (inputChannel !== undefined && input !== 'none') inputs.set(input, inputChannel);
    const channel =
      output === 'none' ? undefined : new OutputChannel(link.window, (chunk) => link.output(output, chunk));
    if (channel !== undefined && output !== 'none') outputs.set(output, channel);
    const portOutput = isConsole && channel !== undefined ? (file?.tee(channel) ?? channel) : channel;
    return {
      name,
      console: isConsole,
      ...(isConsole && remote !== undefined && { terminal: remote }),
      ...(inputChannel !== undefined && { input: inputChannel }),
      ...(portOutput !== undefined && { output: portOutput }),
    };
  };
  // Interrupts are typed by us, not sent by the user as input to be acknowledged.
  const taken = (kind: 'stdin' | 'interrupt', bytes: number): void => {
    if (kind === 'stdin') link.inputTaken(bytes);
  };

  return {
    backend: { ports: ports.map(open) },
    input: (chunk) => inputs.get('stdin')?.push(chunk),
    inputEnd: () => inputs.get('stdin')?.end(),
    interrupt: () => (inputs.get('interrupt') ?? inputs.get('stdin'))?.interrupt(),
    resize: (cols, rows) => remote?.resize({ cols, rows }),
    consumed: (stream, bytes) => outputs.get(stream)?.consumed(bytes),
    drain: () => {
      for (const output of outputs.values()) output.drain();
    },
    close: () => file?.close(),
  };
}
