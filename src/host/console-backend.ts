import type { ConsoleSpec, InputName, OutputName, PortSpec } from '../config/spec.ts';
import type { ConsoleBackend, ConsolePort } from '../devices/virtio-console/backend.ts';
import { InputChannel, LogFile, OutputChannel, RemoteTerminal } from './port-channels.ts';

/** How the bytes of a console or serial port reach the user's thread. */
export interface ConsoleLink {
  readonly window: number;
  output(stream: OutputName, chunk: Uint8Array): void;
  inputTaken(stream: InputName, bytes: number): void;
}

/** What the user's thread may do to a console or serial port. */
export interface OpenStreams {
  input(stream: InputName, chunk: Uint8Array): void;
  inputEnd(stream: InputName): void;
  interrupt(): void;
  /** Asks the guest's init for an end. @returns false when it cannot be asked here */
  askForEnd(): boolean;
  resize(port: number, columns: number, rows: number): void;
  consumed(stream: OutputName, bytes: number): void;
  /** Lets everything out that the guest has written. */
  drain(): void;
  close(): void;
}

/** An open console: what the device gets, and the streams behind it. */
export interface OpenConsole extends OpenStreams {
  readonly backend: ConsoleBackend;
}

/** What guest/init takes for SIGTERM to the workload. */
const END_WISH = new TextEncoder().encode('s');

/** Makes the ports of one console and opens its log file. */
export function openConsole(spec: ConsoleSpec, link: ConsoleLink): OpenConsole {
  const file = spec.logFile === undefined ? undefined : new LogFile(spec.logFile);
  const terminals = new Map<number, RemoteTerminal>();
  const inputs = new Map<InputName | 'interrupt' | 'control', InputChannel>();
  const outputs = new Map<OutputName, OutputChannel>();

  const openInput = (input: PortSpec['input']): InputChannel | undefined => {
    if (input === 'none') return undefined;
    // Interrupts and wishes are ours, not sent by the user as input to be acknowledged.
    const channel = new InputChannel((bytes) => {
      if (input !== 'interrupt' && input !== 'control') link.inputTaken(input, bytes);
    });
    inputs.set(input, channel);
    return channel;
  };
  const openOutput = (output: PortSpec['output']): OutputChannel | undefined => {
    if (output === 'none') return undefined;
    const channel = new OutputChannel(link.window, (chunk) => link.output(output, chunk));
    outputs.set(output, channel);
    return channel;
  };
  const openPort = (port: PortSpec, index: number): ConsolePort => {
    const window = port.terminal ?? (index === 0 ? spec.terminal : undefined);
    const terminal = window && new RemoteTerminal({ cols: window.columns, rows: window.rows });
    if (terminal !== undefined) terminals.set(index, terminal);
    const input = openInput(port.input);
    const channel = openOutput(port.output);
    const output = index === 0 && channel !== undefined ? (file?.tee(channel) ?? channel) : channel;
    return {
      name: port.name,
      console: spec.multiport ? terminal !== undefined : index === 0,
      ...(terminal !== undefined && { terminal }),
      ...(input !== undefined && { input }),
      ...(output !== undefined && { output }),
    };
  };

  return {
    backend: { ports: spec.ports.map(openPort) },
    input: (stream, chunk) => inputs.get(stream)?.push(chunk),
    inputEnd: (stream) => inputs.get(stream)?.end(),
    interrupt: () => (inputs.get('interrupt') ?? inputs.get('stdin'))?.interrupt(),
    askForEnd: () => {
      inputs.get('control')?.push(END_WISH);
      return inputs.has('control');
    },
    resize: (port, cols, rows) => terminals.get(port)?.resize({ cols, rows }),
    consumed: (stream, bytes) => outputs.get(stream)?.consumed(bytes),
    drain: () => {
      for (const output of outputs.values()) output.drain();
    },
    close: () => file?.close(),
  };
}
