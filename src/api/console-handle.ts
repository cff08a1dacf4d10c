import type { ConsoleSpec, OutputName } from '../config/spec.ts';
import { InputStream } from './input-stream.ts';
import type { ToVm } from './messages.ts';
import { OutputStream } from './output-stream.ts';
import { PortHandle } from './port-handle.ts';

/** The user's side of one virtio console. */
export class ConsoleHandle {
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Whether the console is the guest's terminal, which carries input and output together. */
  readonly isTerminal: boolean;
  /** The console's ports, when it consists of ports of the user's own; there are no standard streams then. */
  readonly ports: readonly PortHandle[];
  readonly #index: number;
  readonly #post: (message: ToVm) => void;

  /** @internal */
  constructor(index: number, { ports, multiport }: ConsoleSpec, post: (message: ToVm) => void) {
    this.#index = index;
    this.#post = post;
    this.isTerminal = !multiport && ports.some(({ name, input, output }) => isTerminal(name, input, output));
    const output = (stream: OutputName) =>
      new OutputStream((bytes) => post({ type: 'consumed', console: index, stream, bytes }));
    this.stdout = output('stdout');
    this.stderr = output('stderr');
    this.stdin = new InputStream({
      send: (chunk) => post({ type: 'input', console: index, stream: 'stdin', chunk }),
      end: () => post({ type: 'input-end', console: index, stream: 'stdin' }),
    });
    this.ports = multiport ? ports.flatMap((port, number) => this.#port(port, number)) : [];
    if (multiport) this.#endStreams();
  }

  /** Tells the guest the size of its terminal. */
  resize({ columns, rows }: { readonly columns: number; readonly rows: number }): void {
    this.#post({ type: 'resize', console: this.#index, port: 0, columns, rows });
  }

  /** Types the interrupt character (Ctrl-C) on the console. */
  interrupt(): void {
    this.#post({ type: 'interrupt', console: this.#index });
  }

  /** For the owner: bytes came from the guest. @internal */
  push(stream: OutputName, chunk: Uint8Array): void {
    this.#output(stream)?.push(chunk);
  }

  /** For the owner: the guest took input. @internal */
  taken(stream: string, bytes: number): void {
    if (stream === 'stdin') this.stdin.taken(bytes);
    else this.#portOf(stream)?.input.taken(bytes);
  }

  /** For the owner: nothing follows in either direction. */
  end(): void {
    this.#endStreams();
    for (const port of this.ports) port.end();
  }

  /** For the owner: nobody will read. @internal */
  discard(): void {
    for (const output of [this.stdout, this.stderr, ...this.ports.map((port) => port.output)]) output.discard();
  }

  #endStreams(): void {
    this.stdout.end();
    this.stderr.end();
    this.stdin.close();
  }

  #port({ name, input, terminal }: ConsoleSpec['ports'][number], port: number): PortHandle[] {
    if (input === 'control') return [];
    const stream = `port${port}` as const;
    const place = { console: this.#index, port, input: stream, output: stream };
    return [new PortHandle(name, terminal !== undefined, place, this.#post)];
  }

  #output(stream: OutputName): OutputStream | undefined {
    if (stream === 'stdout' || stream === 'stderr') return this[stream];
    return this.#portOf(stream)?.output;
  }

  #portOf(stream: string): PortHandle | undefined {
    return this.ports[Number(stream.slice('port'.length))];
  }
}

/** Port 0 has no name; with standard input or output on it, it is a terminal. */
function isTerminal(name: string, input: string, output: string): boolean {
  return name === '' && (input === 'stdin' || output === 'stdout');
}
